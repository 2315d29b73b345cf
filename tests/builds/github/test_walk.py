"""The GitHub forge's walk: repository, commit, site, again, further, and the refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.builds.forge import STAMP, ForgeError, objects
from service.builds.forge.github import GitHubForge, described
from tests.builds.github.support import FILES, Time, commit, forge_of, git
from tests.servers.github import FakeGitHub

# The walk


def test_a_round_is_one_commit_that_a_clone_holds_byte_for_byte(
    forge: GitHubForge, fake: FakeGitHub, tmp_path: Path
) -> None:
    """Repository, one commit, published site: text, a PNG, an empty file and folders, as they were given."""
    repo = forge.ensure("app-1", "Built from a brief")
    assert forge.read("app-1", repo.head or "") == {}
    sha = forge.push("app-1", commit(repo.head))
    url = forge.publish("app-1", sha, 60)
    assert repo.url == f"{fake.url}/octocat/app-1"
    assert httpx.get(url + STAMP).content == FILES[STAMP]
    git("clone", "-q", str(fake.repo("app-1").path), str(tmp_path / "clone"))
    assert git("-C", str(tmp_path / "clone"), "rev-parse", "HEAD") == sha
    assert {path: (tmp_path / "clone" / path).read_bytes() for path in FILES} == FILES
    assert git("-C", str(tmp_path / "clone"), "log", "--format=%at %ct %an %ae", "-1") == (
        "1760000123 1760000123 Sameboat builds@sameboat.invalid"
    )
    assert forge.read("app-1", sha) == FILES
    assert [write.split("/app-1")[-1] for write in fake.writes()[1:]] == [
        "/git/blobs",  # the PNG. Text travels in the tree
        "/git/trees",
        "/git/commits",
        "/git/refs/heads%2Fmain",
        "/pages",
    ]


def test_the_sha_is_known_before_it_is_made(forge: GitHubForge) -> None:
    """Dates, author and files come from the build, so the commit's SHA does too."""
    head = forge.ensure("app-1", "").head
    assert forge.push("app-1", commit(head)) == objects.objects_of(commit(head)).sha


def test_everything_again_does_nothing_again(forge: GitHubForge, fake: FakeGitHub) -> None:
    """Walked a second time, nothing is written: it is looked for first, and found."""
    repo = forge.ensure("app-1", "")
    sha = forge.push("app-1", commit(repo.head))
    url = forge.publish("app-1", sha, 60)
    before = fake.writes()
    assert forge.ensure("app-1", "").head == sha
    assert forge.push("app-1", commit(repo.head)) == sha
    assert forge.publish("app-1", sha, 60) == url
    assert fake.writes() == before


def test_round_two_goes_forward_and_sends_only_what_is_new(forge: GitHubForge, fake: FakeGitHub) -> None:
    """The parent is round 1's commit. Unchanged files are named and not sent, and deleted ones are gone."""
    first = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    forge.publish("app-1", first, 60)
    files = {path: data for path, data in FILES.items() if path != "a/b/c.txt"} | {"new.txt": b"new"}
    again = forge.ensure("app-1", "")
    assert again.head == first
    assert forge.read("app-1", first) == FILES
    second = forge.push("app-1", commit(first, files, when_s=1_760_000_999))
    url = forge.publish("app-1", second, 60)
    assert forge.read("app-1", second) == files
    assert git("--git-dir", str(fake.repo("app-1").path), "rev-list", "main").split()[:2] == [second, first]
    [*_, tree] = [each for each in fake.seen if each.path.endswith("/git/trees") and each.method == "POST"]
    assert [each["path"] for each in tree.body["tree"] if "content" in each] == ["new.txt"]
    assert httpx.get(url + "new.txt").text == "new"


def test_round_two_after_a_round_one_that_pushed_nothing(forge: GitHubForge) -> None:
    """The repository is there, with nothing but GitHub's first commit: that is no content, and a base to go on from."""
    forge.ensure("app-1", "")
    again = forge.ensure("app-1", "")
    assert forge.read("app-1", again.head or "") == {}
    sha = forge.push("app-1", commit(again.head))
    assert forge.read("app-1", sha) == FILES


def test_a_branch_that_somebody_moved_is_not_rewritten(forge: GitHubForge, fake: FakeGitHub) -> None:
    """The push fails in words, and the repository stays as it is."""
    base = forge.ensure("app-1", "").head
    theirs = forge.push("app-1", commit(base, {"index.html": b"theirs", STAMP: b"{}"}))
    with pytest.raises(ForgeError, match="history is never rewritten"):
        forge.push("app-1", commit(base))
    assert fake.repo("app-1").head() == theirs


def test_a_branch_that_moves_between_look_and_push_is_not_rewritten(forge: GitHubForge, fake: FakeGitHub) -> None:
    """The look was right and the world moved on: `force: false` refuses, the second look says why."""
    remote = fake.repo("app-1") if forge.ensure("app-1", "") else None
    assert remote is not None
    base = remote.head()

    def somebody() -> None:
        theirs = remote.add_commit(
            {"message": "theirs", "tree": objects_tree(remote, base), "parents": [base]}, 5, "octocat"
        )
        remote.move(theirs, force=False)

    fake.fault("POST", "/git/commits$", do=somebody)
    with pytest.raises(ForgeError, match="history is never rewritten"):
        forge.push("app-1", commit(base))


def objects_tree(remote: Any, sha: str | None) -> str:
    from dulwich.objects import Commit as GitCommit

    return str(remote.object(sha, GitCommit).tree.decode())


# Repositories


def test_a_strangers_repository_of_that_name_is_left_alone(forge: GitHubForge, fake: FakeGitHub) -> None:
    """It has commits and no build's stamp: nothing is pushed over it."""
    remote = fake.world.create("octocat", {"name": "app-1", "auto_init": True})
    tree = remote.add_tree([{"path": "thesis.txt", "mode": "100644", "content": "years of work"}], None)
    remote.move(remote.add_commit({"message": "x", "tree": tree, "parents": [remote.head()]}, 1, "octocat"), False)
    with pytest.raises(ForgeError, match="was not made by a build"):
        forge.ensure("app-1", "")


def test_twenty_workers_at_once_make_one_repository(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """The second one gets 422 and finds the first one's repository. Never are there two writers at a time."""
    forges = [forge_of(fake, time, tmp_path) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda each: each.ensure("app-1", ""), forges))
    assert len({(each.url, each.head) for each in found}) == 1
    assert len(fake.world.repos) == 1
    assert fake.most_writers == 1


def test_a_repository_that_is_empty_is_begun(forge: GitHubForge, fake: FakeGitHub) -> None:
    """An empty repository answers 409 to everything. It gets a first commit, and then takes blobs."""
    fake.world.create("octocat", {"name": "app-1"})
    head = forge.ensure("app-1", "").head
    assert head is not None
    assert forge.push("app-1", commit(head)) == fake.repo("app-1").head()


def test_the_branch_is_the_repositorys_own(forge: GitHubForge, fake: FakeGitHub) -> None:
    """An account may call its default branch otherwise. That one is pushed to and published."""
    fake.world.default_branch = "trunk"
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).content == FILES[STAMP]


@pytest.mark.parametrize(
    "text",
    ["x" * 1000, "line\nline\r\ttab\x00\x7f", "\x1b[31mred\x1b[0m", "a\u2028b\u0085c", "Größe " * 100, ""],
)
def test_a_description_is_one_that_github_takes(forge: GitHubForge, fake: FakeGitHub, text: str) -> None:
    """At most 350 characters and no control characters, else the real one answers 422 and there is no repository."""
    forge.ensure("app-1", text)
    said = fake.repo("app-1").description
    assert said == described(text)
    assert len(said) <= 350
    assert said.isprintable()


@pytest.mark.parametrize(("state", "value"), [("archived", True), ("private", True)])
def test_a_repository_that_cannot_be_used_says_so(
    forge: GitHubForge, fake: FakeGitHub, state: str, value: bool
) -> None:
    """Before anything is generated for it."""
    setattr(fake.world.create("octocat", {"name": "app-1", "auto_init": True}), state, value)
    with pytest.raises(ForgeError, match=f"is {state}"):
        forge.ensure("app-1", "")


# The owner of the repositories


def test_an_organisations_repositories_are_made_there(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """By its own route, which an App's installation may use too."""
    fake.token = "ghs_installation"
    assert forge_of(fake, time, tmp_path, "crew").ensure("app-1", "").url.endswith("/crew/app-1")
    assert "POST /orgs/crew/repos" in fake.writes()


def test_an_apps_token_cannot_make_a_users_repository(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """GitHub's OpenAPI says enabledForGitHubApps: false. A test that mocked a 201 would paper over it."""
    fake.token = "ghs_installation"
    with pytest.raises(ForgeError, match="cannot make repositories for a user"):
        forge_of(fake, time, tmp_path).ensure("app-1", "")


@pytest.mark.parametrize(("owner", "said"), [("somebody", "belongs to octocat"), ("nobody-at-all", "has no user")])
def test_an_owner_that_the_token_is_not(fake: FakeGitHub, time: Time, tmp_path: Path, owner: str, said: str) -> None:
    """Said in words and before anything is made."""
    with pytest.raises(ForgeError, match=said):
        forge_of(fake, time, tmp_path, owner).ensure("app-1", "")
    assert fake.writes() == []
