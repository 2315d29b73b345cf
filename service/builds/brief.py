"""The brief: its exact form, and its identity.

In: JSON of the public contract. Out: a checked `Brief`, the attachments as bytes, and a digest that finds the same
brief again. Not here: storing it (`store`), names of files (`safe_paths`). Attachments are `data:` URIs (RFC 2397)
only, so nothing is fetched for a sender.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

from service import safe_paths
from service.builds import automation as automation_files
from service.errors import InputsError, join_first

MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024
RESERVED = {"license", "readme.md", "build.json", ".nojekyll"}  # names that a build writes itself
# RFC 2397 as browsers read it (fetch.spec.whatwg.org, "data: URL processor"): any case, blanks around `base64`, and
# parameters that hold anything but a comma.
DATA_URI = re.compile(
    r"\s*data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;[ ]*base64[ ]*)?,(?P<data>.*)", re.DOTALL | re.I
)
NO_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Sentence = Annotated[str, Field(min_length=1, max_length=10_000)]


class JsCheck(BaseModel):
    """A check given as a JavaScript expression that is truthy in the page when it passes. Further keys are ignored."""

    model_config = ConfigDict(extra="ignore")
    js: Annotated[str, Field(min_length=1, max_length=10_000)]


class AttachmentUri(BaseModel):
    """An attachment as it is posted. Further keys are ignored."""

    model_config = ConfigDict(extra="ignore")
    name: Annotated[str, Field(min_length=1, max_length=200)]
    url: str


class Brief(BaseModel):
    """The body of `/api-endpoint`. Unknown keys are ignored, because senders add their own."""

    model_config = ConfigDict(extra="ignore")
    email: Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]
    secret: Annotated[SecretStr, Field(max_length=10_000)]
    task: Annotated[str, Field(min_length=1, max_length=200)]
    round: Annotated[int, Field(ge=1, le=1000)]
    nonce: Annotated[str, Field(min_length=1, max_length=200)]
    brief: Annotated[str, Field(min_length=1, max_length=50_000)]
    checks: Annotated[list[Sentence | JsCheck], Field(max_length=100)] = []
    evaluation_url: HttpUrl
    attachments: Annotated[list[AttachmentUri], Field(max_length=50)] = []

    @field_validator("checks", "attachments", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        """Many serializers write an empty list as null."""
        return [] if value is None else value

    @field_validator("task", "nonce", "email")
    @classmethod
    def _printable(cls, value: str) -> str:
        if NO_CONTROL.search(value):
            raise ValueError("must not hold control characters")
        return value

    @property
    def identity(self) -> str:
        """The digest of email, task, round and nonce. Two briefs with the same digest are the same brief.

        A stranger can compute it from guesses, so no answer contains it, and the id of a build is random.
        """
        key = json.dumps([self.email, self.task, self.round, self.nonce], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(key.encode()).hexdigest()

    @property
    def repository(self) -> str:
        """The repository's name: from the task, and unique to (email, task), so that every round finds the same one."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.task.lower()).strip("-")[:60] or "app"
        mark = hashlib.sha256(json.dumps([self.email, self.task]).encode()).hexdigest()[:8]
        return f"{slug}-{mark}"

    def public(self) -> dict[str, Any]:
        """The stored part: all but the secret and the contents of the attachments."""
        return {
            "email": self.email,
            "task": self.task,
            "round": self.round,
            "nonce": self.nonce,
            "brief": self.brief,
            "checks": [check if isinstance(check, str) else {"js": check.js} for check in self.checks],
            "evaluation_url": str(self.evaluation_url),
        }


@dataclass(frozen=True)
class Attachment:
    """A file that came with the brief, decoded."""

    name: str
    media_type: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Its digest."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def text(self) -> str | None:
        """Its text, if it is text."""
        try:
            return None if b"\0" in self.data else self.data.decode("utf-8")
        except UnicodeDecodeError:
            return None


def attachments(brief: Brief, *, automation: bool = False) -> list[Attachment]:
    """The attachments, decoded. `automation` allows files that CI, Git or an editor runs or obeys.

    Raises:
        InputsError: with a JSON pointer for each attachment that cannot be used.
    """
    decoded: list[Attachment] = []
    problems: list[tuple[str, str]] = []
    names = safe_paths.PathSet()
    for index, given in enumerate(brief.attachments):
        where = f"/attachments/{index}"
        if wrong := _wrong_name(given.name, automation=automation) or names.add(given.name):
            problems.append((f"{where}/name", wrong))
            continue
        try:
            decoded.append(decode(given.name, given.url))
        except ValueError as error:
            problems.append((f"{where}/url", str(error)))
    if problems:
        raise InputsError(join_first([f"{pointer}: {problem}" for pointer, problem in problems]), problems)
    return decoded


def decode(name: str, url: str) -> Attachment:
    """Decode one `data:` URI.

    Raises:
        ValueError: if it cannot be used. The message does not repeat the URI.
    """
    match = DATA_URI.fullmatch(url)
    if match is None:
        raise ValueError("must be a data: URI; nothing is fetched")
    if match["base64"]:
        raw = re.sub(r"\s+", "", urllib.parse.unquote(match["data"])).replace("-", "+").replace("_", "/")
        try:
            data = base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True)
        except ValueError:
            raise ValueError("is not valid base64") from None
    else:
        data = urllib.parse.unquote_to_bytes(match["data"])
    if len(data) > MAX_ATTACHMENT_BYTES:
        raise ValueError(f"is larger than {MAX_ATTACHMENT_BYTES} bytes")
    return Attachment(name, match["type"].strip().lower() or "text/plain", data)


def _wrong_name(name: str, *, automation: bool) -> str | None:
    """The reason if an attachment cannot have this name although a repository may hold it, else None."""
    folded = safe_paths.key(name)
    if folded in RESERVED or ("/" in name and folded.split("/")[0] in RESERVED | {"index.html"}):
        return "is a name that the build writes itself"
    if not automation and automation_files.obeyed(name):
        return "is run or obeyed by CI, Git or an editor; an operator can allow it with SAMEBOAT_BUILD_AUTOMATION"
    return None
