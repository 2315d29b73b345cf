"""Helpers of the GitHub forge's tests: a clock on which waiting takes no time, commits, a forge at the fake."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from service.builds.forge import STAMP, Commit, github_api
from service.builds.forge.github import GitHubForge
from tests.servers.github import FakeGitHub

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200ff")
FILES = {
    "index.html": "<h1>Größe\r\n日本</h1>\n".encode(),
    "README.md": b"# it\n",
    "a/b/c.txt": b"x",
    "sample.png": PNG,
    ".nojekyll": b"",
    STAMP: b'{"build": "build-1", "round": 1}\n',
}

WRITES = [  # every request with which a walk changes something at GitHub
    ("POST", "/user/repos$"),
    ("POST", "/git/blobs$"),
    ("POST", "/git/trees$"),
    ("POST", "/git/commits$"),
    ("PATCH", "/git/refs/"),
    ("POST", "/pages$"),
]


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
    def clock(self) -> github_api.GitHubClock:
        return github_api.GitHubClock(self.now, self.sleep)


def forge_of(fake: FakeGitHub, time: Time, tmp_path: Path, owner: str | None = None) -> GitHubForge:
    return GitHubForge(SecretStr(fake.token), owner, fake.url, tmp_path / "state", clock=time.clock)


def commit(parent: str | None, files: dict[str, bytes] | None = None, **more: Any) -> Commit:
    values: dict[str, Any] = {"message": "Round 1: make it\n", "when_s": 1_760_000_123}
    values |= {"author": "Sameboat", "email": "builds@sameboat.invalid"} | more
    return Commit(files or FILES, parent, **values)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
