"""`lock.json` beside a promoted prompt: the digests of everything that decided its recorded answers.

What comes in: a prompt, its cases, what decodes. What goes out: a lock, or what differs from one. A lock is written by
a promotion and by nothing else; the service verifies it before it serves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from service import text_files
from service.engine.types import Identity
from service.errors import LockMismatch
from service.prompts.file import Prompt
from service.prompts.file_names import CASES, RECORDING

VERSION = 2  # 2: kernels, template_date
OPTIONAL = ("judges", "recorded_with", "accepted")  # what the service does not need


@dataclass(frozen=True)
class Lock:
    """Digests are sha256 in hexadecimal; `engine` is name, version and the settings that decide tokens."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    prompt_sha256: str
    cases_sha256: str
    recording_sha256: str
    model: str
    model_sha256: str | None
    template_sha256: str | None
    grammar_sha256: str | None
    engine: str
    engine_version: str
    engine_settings: dict[str, Any] = field(default_factory=dict)
    engine_kernels: str | None = None
    """The kernels that computed the recording: llama.cpp's CPU variant and its instruction sets."""
    template_date: str | None = None
    """The date that the chat template was given; null where it was given none."""
    version: int = VERSION
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Identities of the models that judged answers, by name; only a replay and a live run look at them."""
    recorded_with: dict[str, Any] = field(default_factory=dict)
    """Threads, sequences and machine of the recording: what must not decide a token, to look at when one differs."""
    accepted: str = ""
    """Why it was promoted although its verdict was not PASS."""

    @property
    def identity(self) -> Identity:
        """What decoded, as the lock has it: enough to fingerprint a request without the engine."""
        return Identity(
            self.engine,  # type: ignore[arg-type]
            self.engine_version,
            self.model,
            self.model_sha256,
            self.template_sha256,
            self.engine_settings,
            self.engine_kernels,
        )

    def decoded_by(self, identity: Identity) -> Lock:
        """The lock as it would be had this decoded."""
        return replace(
            self,
            model=identity.model,
            model_sha256=identity.model_sha256,
            template_sha256=identity.template_sha256,
            engine=identity.engine,
            engine_version=identity.version,
            engine_settings=dict(identity.settings),
            engine_kernels=identity.kernels,
        )

    @property
    def judge_identities(self) -> dict[str, Identity]:
        """Who judged, by the model's name."""
        return {name: Identity(**each) for name, each in self.judges.items()}

    def digest(self) -> str:
        """One digest for all of it; `/version` and the image's labels carry it."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The file's text: stable order, one key a line, so that a diff is readable."""
        raw = {key: value for key, value in asdict(self).items() if key not in OPTIONAL or value}
        return json.dumps(raw, indent=2, sort_keys=True) + "\n"


def file_sha256(path: Path) -> str:
    """Digest of a text file as git stores it, or of nothing when there is none: an absent file is a state too.

    A checkout with CRLF at the ends of lines (git's core.autocrlf) has the digest of the one with LF.
    """
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n") if path.exists() else b"").hexdigest()


def make(
    prompt: Prompt,
    folder: Path,
    identity: Identity,
    *,
    judges: Mapping[str, Identity] | None = None,
    recorded_with: Mapping[str, Any] | None = None,
    accepted: str = "",
) -> Lock:
    """The lock of the prompt in `folder` as it is now."""
    return Lock(
        prompt_sha256=prompt.sha256,
        cases_sha256=file_sha256(folder / (prompt.spec.testDataFile or CASES)),
        recording_sha256=file_sha256(folder / RECORDING),
        model=identity.model,
        model_sha256=identity.model_sha256,
        template_sha256=identity.template_sha256,
        grammar_sha256=prompt.grammar.digest if prompt.grammar is not None else None,
        engine=identity.engine,
        engine_version=identity.version,
        engine_settings=dict(identity.settings),
        engine_kernels=identity.kernels,
        judges={name: asdict(each) for name, each in sorted((judges or {}).items())},
        recorded_with=dict(recorded_with or {}),
        accepted=accepted,
    )


def read(path: Path) -> Lock:
    """Read a lock. Raises LockMismatch when it is none, with path and key."""
    remedy = "Promote the prompt: sameboat promote"
    text = text_files.read(path, LockMismatch, key="lock", remedy=remedy)
    raw = text_files.from_json(text, str(path), LockMismatch, form=remedy, key="lock")
    try:
        lock = TypeAdapter(Lock).validate_json(json.dumps(raw))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        what = ".".join(map(str, problem["loc"])) or "the file"
        raise LockMismatch(f"{path}: not a lock: {what}: {problem['msg']}.", key="lock", remedy=remedy) from None
    if lock.version != VERSION:
        raise LockMismatch(
            f"{path}: lock version {lock.version}, and this Sameboat reads {VERSION}.", key="version", remedy=remedy
        )
    return lock


def differences(lock: Lock, found: Lock) -> list[str]:
    """What differs, each as "what: locked x, found y"; what is optional only where both have it."""
    mine, theirs = asdict(lock), asdict(found)
    return [
        f"{key}: locked {_short(mine[key])}, found {_short(theirs[key])}"
        for key in mine
        if mine[key] != theirs[key] and (key not in OPTIONAL or (mine[key] and theirs[key]))
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
