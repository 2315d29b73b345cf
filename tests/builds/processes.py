"""Services in processes of their own, which tests kill, stop, start again and inspect."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.builds.harness import posted, until
from tests.ports import free_port


class Service:
    """One process under its supervisor. `points` is where it dies or hangs, as `tests.builds.worker` has it."""

    def __init__(self, state: Path, points: str = "", *, front: Service | None = None, **environment: str) -> None:
        self.state, self.points = state, points
        self.port, self.pages = free_port(), free_port()
        self.environment = environment
        if front is not None or environment.get("ROLE") == "api":
            # Of several processes one serves repositories and sites, under URLs that are set for all of them.
            serving = front or self
            self.environment |= {"SAMEBOAT_PUBLIC_URL": serving.url, "SAMEBOAT_PAGES_URL": serving.pages_url}
        self.log = state.parent / f"service-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pages_url(self) -> str:
        return f"http://127.0.0.1:{self.pages}"

    def start(self) -> None:
        words = [str(self.state), str(self.port), str(self.pages), self.points]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.builds.worker", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        until(lambda: self.alive() or self.dead(), 240)

    def alive(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)  # a new httpx client costs 20 ms
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False

    def dead(self) -> bool:
        """Whether the supervisor has ended too."""
        assert self.process is not None
        return self.process.poll() is not None

    def signal(self, how: signal.Signals) -> None:
        """To the process that serves, and not to its supervisor."""
        os.kill(int((self.state / f"child-{self.port}").read_text(encoding="ascii")), how)

    def end(self) -> None:
        """SIGTERM, as an orchestrator does, and wait for the end."""
        assert self.process is not None
        if not self.dead():
            self.process.terminate()
        self.process.wait(90)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8")


@contextlib.contextmanager
def service(state: Path, points: str = "", *, front: Service | None = None, **environment: str) -> Iterator[Service]:
    """A started service, ended at the end."""
    process = Service(state, points, front=front, **environment)
    try:
        process.start()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            process.signal(signal.SIGCONT)
        process.end()


def sent(process: Service, body: dict[str, Any]) -> str:
    """The build's id, from whichever attempt was answered: the sender comes again when the service died on it."""

    def attempt() -> str | None:
        with contextlib.suppress(httpx.TransportError), process.client() as client:
            return str(posted(client, body)["job_id"])
        return None

    found: str = until(attempt, 60)
    return found


def reached(state: Path) -> set[str]:
    """The points that acted."""
    return {each.name.removeprefix("reached-") for each in state.glob("reached-*")}


def commits(state: Path) -> list[list[str]]:
    """For each repository of the local forge, the commits of its branch, newest first."""
    found = []
    for repository in sorted((state / "repositories").glob("*.git")):
        command = ["git", "--git-dir", str(repository), "rev-list", "main"]
        found.append(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())
    return found


def asked(state: Path) -> int:
    """How often the model was asked, by all processes together."""
    with contextlib.suppress(FileNotFoundError):
        return len((state / "asked").read_text(encoding="ascii").splitlines())
    return 0
