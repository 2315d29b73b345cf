"""Forges: where code is pushed and published. `local` keeps bare repositories here; `github` uses GitHub's Data API.

A forge knows repositories, commits and sites; nothing of briefs, models or callbacks. Every method looks before it
acts, so a step that runs again after a crash finds its own work and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from service.errors import BuildError

Files: TypeAlias = dict[str, bytes]
BRANCH = "main"
STAMP = "build.json"  # the file by which a served site says which build it is


class ForgeError(BuildError):
    """The forge refused. `wait_s` is set when the same request may succeed later."""

    def __init__(self, message: str, *, wait_s: float | None = None, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Repository:
    """A repository that exists. `head` is the branch's commit, None before the first."""

    name: str
    url: str
    head: str | None


@dataclass(frozen=True)
class Commit:
    """What is to be committed. The same values give the same SHA; time and author come from the build."""

    files: Mapping[str, bytes]
    parent: str | None
    message: str
    when_s: int
    author: str
    email: str


class Forge(Protocol):
    """All methods block; they are called from worker threads."""

    def ensure(self, name: str, description: str) -> Repository:
        """The repository, made if it is missing."""

    def read(self, name: str, sha: str) -> Files:
        """Every file of a commit; none of one with which the forge itself began the repository."""

    def push(self, name: str, commit: Commit) -> str:
        """The commit's SHA, on the branch; forward only. Raises ForgeError."""

    def publish(self, name: str, sha: str, timeout_s: float) -> str:
        """The URL at which this commit's files are, or will soon be, served; `build.json` there tells which it is."""
