"""The GitHub forge against a stateful fake with real repositories: every walk, and everything that GitHub does to one.

Each request and each answer is checked against GitHub's published OpenAPI as well, where npm can fetch it.
Waiting is done on a clock of the test's own, so that a minute of rate limit takes no time.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.builds.forge import STAMP, Commit, ForgeError, github_api, objects
from service.builds.forge.github import GitHubForge, described
from service.errors import SettingsError
from tests.servers.github import TOKEN, FakeGitHub, github
from tests.servers.github_contract import Contract, document

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200ff")
FILES = {
    "index.html": "<h1>Größe\r\n日本</h1>\n".encode(),
    "README.md": b"# it\n",
    "a/b/c.txt": b"x",
    "sample.png": PNG,
    ".nojekyll": b"",
    STAMP: b'{"build": "build-1", "round": 1}\n',
}


class Time:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.at_s = 1_760_000_000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at_s += seconds
            self.waits.append(seconds)

    @property
    def clock(self) -> github_api.Clock:
        return github_api.Clock(self.now, self.sleep)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def contract() -> Contract | None:
    """GitHub's OpenAPI where it can be had; the tests that insist on it are in test_github_contract.py."""
    try:
        return Contract(document())
    except pytest.skip.Exception:
        return None


@pytest.fixture
def fake(tmp_path: Path, time: Time, contract: Contract | None) -> Iterator[FakeGitHub]:
    with github(tmp_path / "github", now=time.now, contract=contract) as server:
        yield server
        assert server.broken == []


@pytest.fixture
def forge(fake: FakeGitHub, time: Time, tmp_path: Path) -> GitHubForge:
    return forge_of(fake, time, tmp_path)


def forge_of(fake: FakeGitHub, time: Time, tmp_path: Path, owner: str | None = None) -> GitHubForge:
    return GitHubForge(SecretStr(fake.token), owner, fake.url, tmp_path / "state", clock=time.clock)


def commit(parent: str | None, files: dict[str, bytes] | None = None, **more: Any) -> Commit:
    values: dict[str, Any] = {"message": "Round 1: make it\n", "when_s": 1_760_000_123}
    values |= {"author": "Sameboat", "email": "builds@sameboat.invalid"} | more
    return Commit(files or FILES, parent, **values)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


# The walk


def test_a_round_is_one_commit_that_a_clone_holds_byte_for_byte(
    forge: GitHubForge, fake: FakeGitHub, tmp_path: Path
) -> None:
    """Repository, one commit, published site; text, a PNG, an empty file and folders, as they were given."""
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
    assert [each.split("/app-1")[-1] for each in fake.writes()[1:]] == [
        "/git/blobs",  # the PNG; text travels in the tree
        "/git/trees",
        "/git/commits",
        "/git/refs/heads%2Fmain",
        "/pages",
    ]


def test_the_sha_is_known_before_it_is_made(forge: GitHubForge) -> None:
    """Dates, author and files come from the build, so the commit's SHA does too."""
    head = forge.ensure("app-1", "").head
    assert forge.push("app-1", commit(head)) == objects.make(commit(head)).sha


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
    """The parent is round 1's commit; files that did not change are named and not sent; what is gone is gone."""
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
    """The push fails in words, and what is there stays there."""
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
    """Whoever comes second gets 422 and finds the first one's. Never are there two writers at a time."""
    forges = [forge_of(fake, time, tmp_path) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda each: each.ensure("app-1", ""), forges))
    assert len({(each.url, each.head) for each in found}) == 1
    assert len(fake.world.repos) == 1
    assert fake.most_writers == 1


def test_a_repository_that_is_empty_is_begun(forge: GitHubForge, fake: FakeGitHub) -> None:
    """An empty repository answers 409 to everything; it gets a first commit, and then takes blobs."""
    fake.world.create("octocat", {"name": "app-1"})
    head = forge.ensure("app-1", "").head
    assert head is not None
    assert forge.push("app-1", commit(head)) == fake.repo("app-1").head()


def test_the_branch_is_the_repositorys_own(forge: GitHubForge, fake: FakeGitHub) -> None:
    """An account may call its default branch otherwise; that one is pushed to and published."""
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


# Whose repositories


def test_an_organisations_repositories_are_made_there(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """By its own route, which an App's installation may use too."""
    fake.token = "ghs_installation"
    assert forge_of(fake, time, tmp_path, "crew").ensure("app-1", "").url.endswith("/crew/app-1")
    assert "POST /orgs/crew/repos" in fake.writes()


def test_an_apps_token_cannot_make_a_users_repository(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """GitHub's OpenAPI says enabledForGitHubApps: false; a test that mocked a 201 would paper over it."""
    fake.token = "ghs_installation"
    with pytest.raises(ForgeError, match="cannot make repositories for a user"):
        forge_of(fake, time, tmp_path).ensure("app-1", "")


@pytest.mark.parametrize(("owner", "said"), [("somebody", "belongs to octocat"), ("nobody-at-all", "has no user")])
def test_an_owner_that_the_token_is_not(fake: FakeGitHub, time: Time, tmp_path: Path, owner: str, said: str) -> None:
    """Said in words and before anything is made."""
    with pytest.raises(ForgeError, match=said):
        forge_of(fake, time, tmp_path, owner).ensure("app-1", "")
    assert fake.writes() == []


# What GitHub does to a walk

WRITES = [
    ("POST", "/user/repos$"),
    ("POST", "/git/blobs$"),
    ("POST", "/git/trees$"),
    ("POST", "/git/commits$"),
    ("PATCH", "/git/refs/"),
    ("POST", "/pages$"),
]
TROUBLES: dict[str, dict[str, Any]] = {
    "5xx": {"status": 502},
    "5xx twice": {"status": 503, "times": 2},
    "5xx though applied": {"status": 500, "applied": True},
    "cut": {"cut": True},
    "cut though applied": {"cut": True, "applied": True},
    "secondary limit": {"status": 403, "message": "You have exceeded a secondary rate limit.",
                        "headers": (("retry-after", "7"),)},
    "secondary limit without a time": {"status": 403, "message": "You have exceeded a secondary rate limit."},
    "429": {"status": 429, "headers": (("retry-after", "3"),)},
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_trouble_at_any_write_leaves_one_of_everything(
    forge: GitHubForge, fake: FakeGitHub, time: Time, method: str, path: str, trouble: str
) -> None:
    """Whatever is answered, and whether or not it was carried out: one repository, one commit, one site."""
    fake.fault(method, path, **TROUBLES[trouble])
    repo = forge.ensure("app-1", "")
    sha = forge.push("app-1", commit(repo.head))
    url = forge.publish("app-1", sha, 60)
    assert fake.faults[0].times == 0
    assert sha == objects.make(commit(repo.head)).sha
    assert len(fake.world.repos) == 1
    assert git("--git-dir", str(fake.repo("app-1").path), "rev-list", "--count", "main") == "2"
    assert httpx.get(url + STAMP).content == FILES[STAMP]
    if trouble == "secondary limit without a time":
        assert max(time.waits) >= 60 - 1  # what had already passed of it is not waited for again
    elif "limit" in trouble:
        assert max(time.waits) >= 7 - 1


@pytest.mark.parametrize("path", ["/user$", "/app-1$", "/git/ref/", "/git/commits/", "/git/trees/", "/pages/builds/"])
def test_trouble_at_any_look_is_looked_again(forge: GitHubForge, fake: FakeGitHub, path: str) -> None:
    """A 502 and a broken connection in a row."""
    fake.fault("GET", path, status=502)
    fake.fault("GET", path, cut=True)
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).status_code == 200


def test_a_primary_limit_is_waited_for_until_it_resets(forge: GitHubForge, fake: FakeGitHub, time: Time) -> None:
    """`x-ratelimit-reset` is a time of day."""
    reset = int(time.now()) + 40
    headers = (("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", str(reset)))
    fake.fault("GET", "/user$", status=403, message="API rate limit exceeded for user ID 1.", headers=headers)
    forge.ensure("app-1", "")
    assert time.now() >= reset


def test_a_limit_that_is_too_long_is_told_with_its_time(
    fake: FakeGitHub, forge: GitHubForge, time: Time, tmp_path: Path
) -> None:
    """An hour is the caller's to plan; and another process of this machine keeps silent too."""
    fake.fault("GET", "/user$", status=429, headers=(("retry-after", "3600"),))
    with pytest.raises(ForgeError) as told:
        forge.ensure("app-1", "")
    assert told.value.wait_s == pytest.approx(3600, abs=1)
    asked = len(fake.seen)
    with pytest.raises(ForgeError, match="rate limit"):
        forge_of(fake, time, tmp_path).ensure("app-1", "")
    assert len(fake.seen) == asked


def test_writes_are_a_second_apart_and_one_at_a_time(fake: FakeGitHub, time: Time, tmp_path: Path) -> None:
    """Over several workers and repositories, as GitHub asks of everyone."""
    forges = [forge_of(fake, time, tmp_path) for _ in range(4)]

    def walk(number: int) -> None:
        name = f"app-{number}"
        forges[number].push(name, commit(forges[number].ensure(name, "").head))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(walk, range(4)))
    times = sorted(each.at_s for each in fake.seen if each.method != "GET")
    assert len(times) == 20
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 1.0
    assert fake.most_writers == 1


@pytest.mark.parametrize(
    ("permission", "walk"), [("administration", "ensure"), ("contents", "push"), ("pages", "publish")]
)
def test_a_permission_that_is_missing_is_named(
    forge: GitHubForge, fake: FakeGitHub, permission: str, walk: str
) -> None:
    """The course's own list forgets Pages."""
    fake.missing = {permission}
    with pytest.raises(ForgeError, match=f"{permission}=write"):
        forge.publish("app-1", forge.push("app-1", commit(forge.ensure("app-1", "").head)), 60)
    done = {"ensure": 0, "push": 1, "publish": 5}[walk]
    assert len([each for each in fake.seen if each.method != "GET" and each.status in (200, 201)]) == done


def test_the_permission_for_workflow_files_is_named(forge: GitHubForge, fake: FakeGitHub) -> None:
    """Needed by those commits only that hold one."""
    fake.missing = {"workflows"}
    base = forge.ensure("app-1", "").head
    with pytest.raises(ForgeError, match="workflows=write"):
        forge.push("app-1", commit(base, {**FILES, ".github/workflows/ci.yml": b"on: push"}))
    assert forge.push("app-1", commit(base))


def test_a_token_that_is_not_accepted(fake: FakeGitHub, forge: GitHubForge) -> None:
    """Said once, with the setting to change, and not tried again."""
    fake.token = "another"
    with pytest.raises(ForgeError, match="SAMEBOAT_GITHUB_TOKEN"):
        forge.ensure("app-1", "")
    assert len(fake.seen) == 1


# Pages


def test_an_old_site_is_not_taken_for_the_new_one(forge: GitHubForge, fake: FakeGitHub, time: Time) -> None:
    """Round 2's build takes a minute, in which the old site answers 200: publishing waits for this commit's build."""
    first = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    url = forge.publish("app-1", first, 60)
    fake.world.timing.build_s = 60
    second = forge.push("app-1", commit(first, {**FILES, STAMP: b"second"}))
    assert httpx.get(url + STAMP).content == FILES[STAMP]
    began = time.now()
    forge.publish("app-1", second, 120)
    assert time.now() - began >= 59
    assert httpx.get(url + STAMP).content == b"second"


def test_time_that_is_up_ends_the_waiting(forge: GitHubForge, fake: FakeGitHub, time: Time) -> None:
    """The site will follow; the URL is known."""
    fake.world.timing.build_s = 600
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    began = time.now()
    assert forge.publish("app-1", sha, 30).endswith("/octocat/app-1/")
    assert time.now() - began <= 32


def test_a_commit_that_no_build_takes_up_gets_one_asked_for(forge: GitHubForge, fake: FakeGitHub) -> None:
    """As after a change of the source, which queues none."""
    first = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    forge.publish("app-1", first, 60)
    fake.world.timing.ignores_pushes = True
    second = forge.push("app-1", commit(first, {**FILES, STAMP: b"second"}))
    url = forge.publish("app-1", second, 60)
    assert fake.writes()[-1].endswith("/pages/builds")
    assert httpx.get(url + STAMP).content == b"second"


def test_a_build_that_fails_once_is_built_again(forge: GitHubForge, fake: FakeGitHub) -> None:
    """GitHub's own troubles end this way."""
    fake.world.timing.failing = 1
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).status_code == 200


def test_a_build_that_keeps_failing_says_why(forge: GitHubForge, fake: FakeGitHub) -> None:
    """In GitHub's words."""
    fake.world.timing.failing = 9
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    with pytest.raises(ForgeError, match="Page build failed"):
        forge.publish("app-1", sha, 60)


def test_pages_that_were_switched_on_otherwise_are_corrected(forge: GitHubForge, fake: FakeGitHub) -> None:
    """POST creates, and answers 409 when there is a site; PUT updates, and queues no build."""
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    fake.repo("app-1").pages = {"build_type": "legacy", "source": {"branch": "main", "path": "/docs"}}
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).status_code == 200
    assert [each.split("/app-1")[-1] for each in fake.writes()[-3:]] == ["/pages", "/pages", "/pages/builds"]


def test_a_commit_whose_workflow_deploys_is_waited_for_as_a_deployment(forge: GitHubForge, fake: FakeGitHub) -> None:
    """`build_type: workflow`: there are no Pages builds then, only deployments of the environment github-pages."""
    workflow = b"jobs:\n  site:\n    steps:\n      - uses: actions/deploy-pages@v4\n"
    files = {**FILES, ".github/workflows/ci.yml": workflow}
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head, files))
    fake.repo("app-1").deployments = [{"id": 7, "sha": sha, "states": ["success", "in_progress"]}]
    forge.publish("app-1", sha, 60)
    assert (fake.repo("app-1").pages or {})["build_type"] == "workflow"
    fake.repo("app-1").deployments = [{"id": 8, "sha": sha, "states": ["failure"]}]
    with pytest.raises(ForgeError, match="it is failure"):
        forge.publish("app-1", sha, 60)


# The token


def test_the_token_is_only_in_the_header(
    forge: GitHubForge, fake: FakeGitHub, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not in URLs, bodies, logs, files or errors, not even where GitHub quotes it back."""
    caplog.set_level("DEBUG")
    fake.fault("PATCH", "/git/refs/", status=422, message=f"no {TOKEN} no")
    base = forge.ensure("app-1", "").head
    with pytest.raises(ForgeError) as told:
        forge.push("app-1", commit(base))
    sha = forge.push("app-1", commit(base))
    forge.publish("app-1", sha, 60)
    assert "***" in str(told.value)
    for each in fake.seen:
        assert TOKEN not in f"{each.path}?{each.query} {each.body}"
    assert TOKEN not in str(told.value) + repr(told.value) + repr(vars(forge)) + caplog.text
    for path in (tmp_path / "state").rglob("*"):
        assert TOKEN.encode() not in path.read_bytes()
    for path in (each for each in fake.repo("app-1").path.rglob("*") if each.is_file()):
        assert TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize("url", ["http://api.github.com", "ftp://127.0.0.1", "api.github.com", "https://"])
def test_the_token_does_not_travel_in_clear(tmp_path: Path, url: str) -> None:
    """Only https, but for tests on this machine."""
    with pytest.raises(SettingsError, match="https://"):
        GitHubForge(SecretStr("x"), None, url, tmp_path)


@pytest.mark.parametrize("path", ["../x", "a/../b", ".git/config", "a//b", "/a", "a\0b", ".GIT/hooks/x"])
def test_a_path_that_no_repository_holds_is_refused(path: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ForgeError, match="cannot be a path"):
        objects.make(commit(None, {path: b"x"}))


def test_a_file_cannot_be_a_folder_too() -> None:
    """Git has one entry per name."""
    for files in ({"a": b"1", "a/b": b"2"}, {"a/b": b"2", "a": b"1"}):
        with pytest.raises(ForgeError, match="already"):
            objects.make(commit(None, files))
