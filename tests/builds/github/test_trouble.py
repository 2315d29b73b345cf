"""Everything that GitHub does to a walk: faults at every request, limits, permissions that are missing."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.builds.forge import STAMP, ForgeError, objects
from service.builds.forge.github import GitHubForge
from tests.builds.github.support import FILES, WRITES, Time, commit, forge_of, git
from tests.servers.github import FakeGitHub

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
    assert sha == objects.objects_of(commit(repo.head)).sha
    assert len(fake.world.repos) == 1
    assert git("--git-dir", str(fake.repo("app-1").path), "rev-list", "--count", "main") == "2"
    assert httpx.get(url + STAMP).content == FILES[STAMP]
    if trouble == "secondary limit without a time":
        assert max(time.waits) >= 60 - 1  # the time that had already passed is not waited for again
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
    """The caller plans a wait of an hour. Other processes of this machine send nothing either."""
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
