"""Forges: where code is pushed and published. `local` keeps bare repositories here, `github` uses GitHub's Data API.

In: names, commits. Out: repositories, SHAs and site URLs. Every method looks before it acts, so a step that runs again
after a crash finds its own work and does nothing twice.

Not here: briefs, models and callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from service.errors import BuildError

Files: TypeAlias = dict[str, bytes]
BRANCH = "main"
STAMP = "build.json"  # the file of a site that names its build and round


class ForgeError(BuildError):
    """The forge refused. If the same request may succeed later, `wait_s` says after how many seconds."""

    def __init__(self, message: str, *, wait_s: float | None = None, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Repository:
    """An existing repository. `head` is the SHA of the branch's commit, or None before the first one."""

    name: str
    url: str
    head: str | None


@dataclass(frozen=True)
class Commit:
    """A commit to write. The same values give the same SHA. Time (Unix seconds) and author come from the build."""

    files: Mapping[str, bytes]
    parent: str | None
    message: str
    when_s: int
    author: str
    email: str


class Forge(Protocol):
    """One place for repositories and sites. All methods block, so they are called from worker threads."""

    def ensure(self, name: str, description: str) -> Repository:
        """The repository. It is created if it is missing."""

    def read(self, name: str, sha: str) -> Files:
        """Every regular file of a commit. The forge's own first commit counts as empty."""

    def push(self, name: str, commit: Commit) -> str:
        """Put the commit on the branch, forward only. Gives its SHA. Raises ForgeError."""

    def publish(self, name: str, sha: str, timeout_s: float) -> str:
        """Publish this commit within `timeout_s`. Gives the site's URL. `build.json` there names the served build."""
