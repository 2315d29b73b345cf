"""Killed anywhere, a build goes on from there: real processes, SIGKILL inside and after every step."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.builds.harness import SECRET, brief, finished, free_port, posted, until
from tests.servers.evaluator import evaluator

STEPS = ("begin", "repository", "checks", "make", "verify", "go on 1", "scan", "push", "publish", "live", "finish",
         "callback 1", "wait 1")  # fmt: skip


class Worker:
    """A service process that can die, and be started again."""

    def __init__(self, state: Path, kills: str, **environment: str) -> None:
        self.state, self.kills, self.port, self.pages = state, kills, free_port(), free_port()
        self.environment = environment
        self.log = state.parent / f"{state.name}-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [
            sys.executable,
            "-m",
            "tests.builds.worker",
            str(self.state),
            str(self.port),
            str(self.pages),
            self.kills,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **self.environment})
        until(lambda: self.alive() or self.dead(), 60)

    def alive(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        return False

    def dead(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def end(self, how: int = signal.SIGTERM) -> None:
        assert self.process is not None
        if not self.dead():
            self.process.send_signal(how)
        self.process.wait(60)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)


@contextlib.contextmanager
def worker(state: Path, kills: str = "", **environment: str) -> Iterator[Worker]:
    process = Worker(state, kills, **environment)
    process.start()
    try:
        yield process
    finally:
        process.end()


def deaths(state: Path) -> int:
    return len(list(state.glob("killed-*")))


@pytest.mark.timeout(900)
def test_killed_inside_and_after_every_step_a_build_ends_once(tmp_path: Path) -> None:
    """One build, a death inside and after each of its steps: one repository, one commit, one site.

    A callback whose answer was heard but not recorded is sent again, with the same id: nobody can do better, and the
    receiver can tell.
    """
    points = [f"{name}:{when}" for name in STEPS for when in ("inside", "after")]
    state = tmp_path / "state"
    with evaluator() as judge, worker(state, ",".join(points)) as process:
        with process.client() as client, contextlib.suppress(httpx.HTTPError):
            client.post("/api-endpoint", json=brief(judge.url))
        ends = time.monotonic() + 600
        while deaths(state) < len(points) and time.monotonic() < ends:
            if process.dead():
                process.start()
            time.sleep(0.1)
        assert deaths(state) == len(points), process.log.read_text()[-3000:]
        until(process.dead)
        process.start()
        with process.client() as client:
            build = posted(client, brief(judge.url))["job_id"]
            shown = finished(client, build)
        assert shown["status"] == "done"
        assert shown["delivery"] == "delivered"
        [repository] = (state / "repositories").glob("*.git")
        count = ["git", "--git-dir", str(repository), "rev-list", "--count", "main"]
        assert subprocess.run(count, check=True, capture_output=True, text=True).stdout == "1\n"
        assert {each.headers["webhook-id"] for each in judge.heard} == {build}
        assert len({each.raw for each in judge.heard}) == 1
        assert len(judge.heard) == 2
        assert SECRET not in process.log.read_text()


def test_a_second_process_on_the_same_sqlite_is_refused_in_words(tmp_path: Path) -> None:
    """Two processes on one file would run the same step twice; the second does not start, and says why."""
    state = tmp_path / "state"
    with worker(state):
        second = Worker(state, "")
        second.start()
        assert second.dead()
        assert "already runs builds in" in second.log.read_text()
