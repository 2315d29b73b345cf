"""The lock of a promoted prompt: the digests of everything that decided its recorded answers.

In: a prompt, its folder, the identity of an engine. Out: a lock, or the differences between two locks.
Not here: the folder as a whole (`promoted`). Only a promotion writes a lock, and the service verifies it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

from service import text_files
from service.engine.types import Identity
from service.errors import LockMismatch, short_name
from service.prompts.engine_lock import ID, EngineLock, locked_identity
from service.prompts.file import Prompt
from service.prompts.file_names import CASES, RECORDING, engine_recording

VERSION = 2  # 2: kernels, template_date, llguidance's version, every parameter of llama.cpp that can change a token
OPTIONAL = ("judges", "recorded_with", "accepted", "engines")  # parts that a lock may lack


@dataclass(frozen=True)
class Lock:
    """Digests are sha256 in hexadecimal. `engine_settings` are those that decide tokens."""

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
    """The date that the chat template was given, or null."""
    version: int = VERSION
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Identities of the models that judged answers, by name. Only a replay and a live run need them."""
    recorded_with: dict[str, Any] = field(default_factory=dict)
    """Threads, sequences and machine of the recording. They must not decide a token. The doctor shows them."""
    accepted: str = ""
    """The reason for a promotion without the verdict PASS."""
    engines: dict[Annotated[str, StringConstraints(pattern=ID)], EngineLock] = field(default_factory=dict)
    """Further engines that the prompt was promoted on, by id. Each has a recording of its own."""

    @property
    def identity(self) -> Identity:
        """The engine's identity at the promotion. With it a request has its fingerprint without the engine."""
        return locked_identity(self)

    def engine_lock(self, name: str) -> EngineLock:
        """The further engine with this id.

        Raises:
            LockMismatch: if the prompt was not promoted on it.
        """
        if name not in self.engines:
            known = ", ".join(self.engines) or "none"
            raise LockMismatch(f"The lock names no further engine {short_name(name)}. It names: {known}.", key="engine")
        return self.engines[name]

    def decoded_by(self, identity: Identity) -> Lock:
        """A copy of the lock with `identity` as the engine. The date is an input, so it stays."""
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
        """The identities of the judges, by the model's name."""
        return {name: Identity(**fields) for name, fields in self.judges.items()}

    def digest(self) -> str:
        """One digest of the whole lock. `/version` and the image's labels carry it."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The file's text: sorted, one key a line, so that a diff is readable."""
        raw = {key: value for key, value in asdict(self).items() if key not in OPTIONAL or value}
        return json.dumps(raw, indent=2, sort_keys=True) + "\n"


def file_sha256(path: Path) -> str:
    """Digest of a text file as git stores it. An absent file has the digest of an empty one.

    A checkout with CRLF line ends (git's core.autocrlf) has the same digest as one with LF.
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
    engines: Mapping[str, EngineLock] | None = None,
) -> Lock:
    """The lock of the prompt with the present files of `folder`. `engines` are those whose recordings are there."""
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
        template_date=identity.template_date,
        judges={name: _fields(judge) for name, judge in sorted((judges or {}).items())},
        recorded_with=dict(recorded_with or {}),
        accepted=accepted,
        engines={
            name: replace(engine, recording_sha256=file_sha256(folder / engine_recording(name)))
            for name, engine in sorted((engines or {}).items())
        },
    )


def read(path: Path) -> Lock:
    """Read a lock of this version or of version 1.

    Raises:
        LockMismatch: if the file is missing, is not a lock, or is of another version.
    """
    remedy = "Promote the prompt: sameboat promote"
    text = text_files.read(path, LockMismatch, key="lock", remedy=remedy)
    raw = text_files.from_json(text, str(path), LockMismatch, form=remedy, key="lock")
    try:
        lock = TypeAdapter(Lock).validate_json(json.dumps(raw))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise LockMismatch(f"{path}: not a lock: {place}: {problem['msg']}.", key="lock", remedy=remedy) from None
    if lock.version not in (1, VERSION):
        raise LockMismatch(
            f"{path}: lock version {lock.version}, and this Sameboat reads 1 and {VERSION}.",
            key="version",
            remedy=remedy,
        )
    return _renamed(lock) if lock.version == 1 else lock


def differences(lock: Lock, current: Lock) -> list[str]:
    """Each difference, as "key: locked x, found y". An optional part counts only if both have it.

    A part that a lock of version 1 does not name cannot differ from it.
    """
    if lock.version == 1:
        current = _named_by_version_1(lock, current)
    mine, theirs = asdict(lock), asdict(current)
    return [
        f"{key}: locked {_short(mine[key])}, found {_short(theirs[key])}"
        for key in mine
        if mine[key] != theirs[key] and key != "engines" and (key not in OPTIONAL or (mine[key] and theirs[key]))
    ] + [
        f"engines.{name}.recording_sha256: locked {_short(engine.recording_sha256)}, "
        f"found {_short(current.engines[name].recording_sha256)}"
        for name, engine in lock.engines.items()
        if name in current.engines and engine.recording_sha256 != current.engines[name].recording_sha256
    ]


def _renamed(lock: Lock) -> Lock:
    """A lock of version 1 with the present names of its settings."""
    settings = dict(lock.engine_settings)
    if "flash_attention" in settings:
        settings["flash_attn_type"] = "enabled" if settings.pop("flash_attention") else "disabled"
    if "kv" in settings:
        settings["type_k"] = settings["type_v"] = settings.pop("kv")
    return replace(lock, engine_settings=settings)


def _named_by_version_1(lock: Lock, current: Lock) -> Lock:
    """`found` without the parts that a lock of version 1 does not name: kernels, llguidance and most settings."""
    return replace(
        current,
        version=1,
        engine_version=current.engine_version.partition(", ")[0],
        engine_settings={name: current.engine_settings.get(name) for name in lock.engine_settings},
        engine_kernels=None,
        template_date=None,
    )


def _fields(identity: Identity) -> dict[str, Any]:
    """The fields of an identity, without the date of a template that reads none."""
    fields = asdict(identity)
    if identity.template_date is None:
        del fields["template_date"]
    return fields


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
