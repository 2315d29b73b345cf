"""Builds on GitHub, whole: a brief to a callback through the fake, and processes that die by SIGKILL on the way."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.builds.forge import choose, github_pages
from service.builds.forge.github import GitHubForge
from tests.builds.github.support import WRITES, git
from tests.builds.harness import brief, finished, planner, posted, serving, settings_for, until
from tests.builds.processes import reached, sent, service
from tests.servers.evaluator import evaluator
from tests.servers.github import TOKEN, FakeGitHub, github

pytestmark = pytest.mark.usefixtures("no_browser")
STALE_S = float(os.environ.get("TEST_STALE_S", "3"))  # 60 for the drill in docs/forges.md


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services in this process pause for 0.1 s between two writes, and look at Pages sooner."""
    monkeypatch.setattr(choose, "GitHubForge", functools.partial(GitHubForge, pause_s=0.1))
    monkeypatch.setattr(github_pages, "POLL_S", (0.2, 0.4, 0.6, 1.0))


def commits(fake: FakeGitHub) -> list[str]:
    """Of the only repository, newest first, without the one with which GitHub began it."""
    [remote] = fake.world.repos.values()
    return git("--git-dir", str(remote.path), "rev-list", "main").split()[:-1]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_killed_inside_a_walk_the_same_commit_is_found_again(tmp_path: Path, method: str, path: str) -> None:
    """SIGKILL when GitHub has carried a write out and nobody has heard of it: afterwards there is one of everything."""
    state = tmp_path / "state"
    state.mkdir()
    shas: list[str] = []
    with github(tmp_path / "github") as fake:
        words = [sys.executable, "-m", "tests.builds.pushing", fake.url, str(state)]
        environment = {**os.environ, "TOKEN": TOKEN}
        running: list[subprocess.Popen[str]] = []

        def kill() -> None:
            with contextlib.suppress(AttributeError):
                [remote] = fake.world.repos.values()
                shas.append(remote.head() or "")
            running[0].kill()
            running[0].wait()

        fake.fault(method, path, do=kill)
        running.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
        assert running[0].communicate(timeout=60)[0] == ""
        assert running[0].returncode == -signal.SIGKILL
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
        sha, url = done.stdout.split()
        assert commits(fake) == [sha]
        if method == "PATCH" or path.startswith("/pages"):
            assert shas == [sha]
        assert httpx.get(url).content == b"<h1>it</h1>"


def test_a_brief_becomes_a_repository_on_github_in_two_rounds(tmp_path: Path) -> None:
    """The callback names the commit that a clone and the site hold. Round 2 builds on round 1's commit."""
    settings = settings_for(tmp_path / "state", forge="github", github_token=TOKEN)
    with github(tmp_path / "github") as fake, evaluator() as judge:
        settings = settings.model_copy(update={"github_api_url": fake.url})
        with serving(settings, planner()) as client:
            first = finished(client, posted(client, brief(judge.url))["job_id"])
            assert first["status"] == "done", first
            again = brief(judge.url, round=2, nonce="ab12-2", brief="Add a note.", attachments=[])
            second = finished(client, posted(client, again)["job_id"])
        assert first["outcome"]["failed"] == second["outcome"]["failed"] == []
        assert commits(fake) == [second["outcome"]["commit_sha"], first["outcome"]["commit_sha"]]
        assert [each.body["commit_sha"] for each in judge.heard] == commits(fake)[::-1]
        [remote] = fake.world.repos.values()
        git("clone", "-q", str(remote.path), str(tmp_path / "clone"))
        assert (tmp_path / "clone" / "data.csv").read_bytes() == b"product,sales\nA,1.5\nB,2.5\n"
        assert "MIT License" in (tmp_path / "clone" / "LICENSE").read_text()
        assert httpx.get(second["outcome"]["pages_url"] + "build.json").json()["round"] == 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forbids", [False, True], ids=["the old site answers 200", "the edge answers 403"])
def test_the_callback_waits_until_this_very_build_is_served(tmp_path: Path, forbids: bool) -> None:
    """Round 2 is built at once, and the edge is behind for STALE_S: nobody is called back before the stamp is new."""
    settings = settings_for(tmp_path / "state", forge="github", github_token=TOKEN)
    with github(tmp_path / "github") as fake, evaluator() as judge:
        settings = settings.model_copy(update={"github_api_url": fake.url})
        with serving(settings, planner()) as client:
            finished(client, posted(client, brief(judge.url))["job_id"])
            fake.world.timing.edge_s, fake.world.timing.forbids = STALE_S, forbids
            again = brief(judge.url, round=2, nonce="ab12-2", brief="Add a note.", attachments=[])
            second = finished(client, posted(client, again)["job_id"])
        [remote] = fake.world.repos.values()
        first, last = remote.builds
        assert last.commit == second["outcome"]["commit_sha"]
        assert first.served(judge.heard[0].at_s)
        assert last.served(judge.heard[1].at_s)
        assert not last.served(last.began_s)


@pytest.mark.timeout(300)
def test_killed_inside_every_step_that_touches_github_a_build_ends_once(tmp_path: Path) -> None:
    """The service's own process, dead after each of GitHub's steps was done and before it was recorded."""
    points = [f"{name}:inside" for name in ("repository", "push", "publish", "live")]
    state = tmp_path / "state"
    with github(tmp_path / "github") as fake, evaluator() as judge:
        environment = {"SAMEBOAT_FORGE": "github", "SAMEBOAT_GITHUB_TOKEN": TOKEN, "SAMEBOAT_GITHUB_API_URL": fake.url}
        with service(state, ",".join(points), **environment) as process:
            build = sent(process, brief(judge.url))
            until(lambda: len(reached(state)) == len(points), 240)
            with process.client() as client:
                until(process.alive)
                shown = finished(client, build)
        assert (shown["status"], shown["delivery"]) == ("done", "delivered"), process.said()[-3000:]
        assert commits(fake) == [shown["outcome"]["commit_sha"]]
        assert len(judge.heard) == 1
        assert TOKEN not in process.said()
