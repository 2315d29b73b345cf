"""A build as its steps see it, and the versions of the app that they make.

In: a row of the table of builds, or the JSON of a recorded step. Out: `Build` and `Candidate`, both frozen.
Not here: reading and writing rows (`store`), recording steps (`workflow`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service import request_id, tracing
from service.builds.browser import Check
from service.builds.budget import Budget

ACTIVE = ("accepted", "running")
"""The statuses in which steps of a build may still begin."""


@dataclass(frozen=True)
class AttachmentRef:
    """An attachment. The store holds its bytes under their sha256."""

    name: str
    media_type: str
    sha256: str


@dataclass(frozen=True)
class Base:
    """The repository's URL, and the commit that the build edits. `head` is None in an empty repository."""

    url: str
    head: str | None


@dataclass(frozen=True)
class Origin:
    """The request that a build came with: its id, and the headers that carry its trace, if it has one.

    Every process that works on the build continues with both.
    """

    request_id: str = ""
    trace: Mapping[str, str] | None = None

    @classmethod
    def now(cls) -> Origin:
        """Of the request that this task works for. A span of its trace is reserved for the build."""
        return cls(request_id.current.get(), tracing.reserve())

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Origin:
        """As stored. Builds of earlier versions have none."""
        return cls() if value is None else cls(value["request_id"], value["trace"])

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the table of builds has them."""
        return {"request_id": self.request_id, "trace": None if self.trace is None else dict(self.trace)}

    @contextlib.contextmanager
    def continued(self) -> Iterator[None]:
        """Log lines, requests to other servers and spans of this block belong to the request."""
        token = request_id.current.set(self.request_id)
        try:
            with tracing.continuing(self.trace):
                yield
        finally:
            request_id.current.reset(token)


@dataclass(frozen=True)
class Build:
    """One build: its brief, its repository and its state at the time of reading. Times are Unix seconds."""

    id: str
    public_id: str
    email: str
    task: str
    round: int
    nonce: str
    brief: str
    checks: tuple[Check, ...]  # a check without `js` is a sentence
    evaluation_url: str
    attachments: tuple[AttachmentRef, ...]
    payload_sha256: str
    repository: str
    base: Base | None
    budget: Budget
    enqueued: bool
    status: str
    delivery: str
    outcome: Mapping[str, Any] | None
    finished_s: float | None
    origin: Origin = Origin()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Build:
        """The build of a row of the table of builds."""
        brief, base = row["brief"], row["base"]
        return cls(
            id=row["id"],
            public_id=public_id(row["id"], row["identity"]),
            email=brief["email"],
            task=brief["task"],
            round=brief["round"],
            nonce=brief["nonce"],
            brief=brief["brief"],
            checks=tuple(
                Check(check) if isinstance(check, str) else Check(check["js"], check["js"]) for check in brief["checks"]
            ),
            evaluation_url=brief["evaluation_url"],
            attachments=tuple(
                AttachmentRef(attachment["name"], attachment["type"], attachment["sha256"])
                for attachment in row["attachments"]
            ),
            payload_sha256=row["payload_sha256"],
            repository=row["repository"],
            base=None if base is None else Base(base["url"], base["head"]),
            budget=Budget(row["received_s"], row["deadline_s"]),
            enqueued=row["enqueued"],
            status=row["status"],
            delivery=row["delivery"],
            outcome=row["outcome"],
            finished_s=row["finished_s"],
            origin=Origin.from_json(row["origin"]),
        )

    @property
    def active(self) -> bool:
        """Whether further steps may begin: the build is neither over nor cancelled."""
        return self.status in ACTIVE

    @property
    def stamp(self) -> dict[str, Any]:
        """The content of `build.json` in the repository and on the site."""
        return {"build": self.public_id, "round": self.round}


@dataclass(frozen=True)
class Candidate:
    """One version of the app. The fields from `passed` on are set by its verification.

    `files` maps paths to the sha256 under which the store holds the bytes.
    """

    files: Mapping[str, str]
    maker: str
    cut: bool = False  # the model's answer was truncated, and the page is closed there
    own_readme: bool = False
    passed: int = 0
    kept: int = 0  # the part of `passed` that earlier rounds asked for
    failed: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    leaks: int = 0
    report: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Candidate:
        """The candidate that a step has recorded. Fields that older releases did not record have their default."""
        lists = {name: tuple(value.get(name, ())) for name in ("failed", "not_judged")}
        return cls(**{**value, **lists})

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a step records them."""
        return {
            "files": dict(self.files),
            "maker": self.maker,
            "cut": self.cut,
            "own_readme": self.own_readme,
            "passed": self.passed,
            "kept": self.kept,
            "failed": list(self.failed),
            "not_judged": list(self.not_judged),
            "leaks": self.leaks,
            "report": None if self.report is None else dict(self.report),
        }


def public_id(build: str, identity: str | None) -> str:
    """The id for stamps in repositories and sites, and for callbacks. The build's id cannot be computed from it.

    Builds from before ids were random have no identity. They keep their one id, so that a running build still
    recognises its own commit.
    """
    if identity is None:
        return build
    return "site-" + hashlib.sha256(f"sameboat public id {build}".encode()).hexdigest()[:32]
