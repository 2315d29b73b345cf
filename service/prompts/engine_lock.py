"""A further engine of a promotion: its identity in the lock, and the rule that recognises it again.

In: identities of engines. Out: the engine's id, its part of a lock, and the differences between two engines.
Not here: the lock as a whole (`lock`), the recording over the engine (`evaluation.promoted_engines`).

The address of a server may change without another answer, so it counts only for a server that tells nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from service.engine.types import Identity

if TYPE_CHECKING:
    from service.prompts.lock import Lock

ADDRESS = "url"  # the setting of a remote engine's identity that may change without another answer
ID = r"^[a-z0-9][a-z0-9._-]{0,99}$"  # it is a part of a file's name
LONGEST_ID = 100


@dataclass(frozen=True)
class EngineLock:
    """One further engine. Digests are sha256 in hexadecimal. `accepted` is the reason if its verdict was no PASS."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    engine: str
    engine_version: str
    model: str
    model_sha256: str | None
    template_sha256: str | None
    recording_sha256: str
    engine_settings: dict[str, Any] = field(default_factory=dict)
    engine_kernels: str | None = None
    template_date: str | None = None
    recorded_with: dict[str, Any] = field(default_factory=dict)
    accepted: str = ""

    @property
    def identity(self) -> Identity:
        """The engine's identity when its recording was made."""
        return locked_identity(self)

    @classmethod
    def of(
        cls, identity: Identity, recording_sha256: str, conditions: Mapping[str, Any] | None = None, accepted: str = ""
    ) -> EngineLock:
        """The part of the lock for an engine with this recording."""
        return cls(
            identity.engine, identity.version, identity.model, identity.model_sha256, identity.template_sha256,
            recording_sha256, dict(identity.settings), identity.kernels, identity.template_date,
            dict(conditions or {}), accepted,
        )  # fmt: skip


def locked_identity(locked: EngineLock | Lock) -> Identity:
    """The identity that the fields of a lock, or of its part for one engine, tell."""
    return Identity(
        locked.engine,  # type: ignore[arg-type]
        locked.engine_version,
        locked.model,
        locked.model_sha256,
        locked.template_sha256,
        locked.engine_settings,
        locked.engine_kernels,
        locked.template_date,
    )


def engine_id(identity: Identity) -> str:
    """The engine's name in a lock and in its recording's file: the kind of server and the model.

    The version is not a part of it, so a recording over a newer version takes the place of the older one.
    """
    kind = identity.version.partition(" ")[0] if identity.engine == "remote" else identity.engine
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{kind}-{identity.model}".lower()).strip("-._")
    return name[:LONGEST_ID] or "engine"


def engine_differences(locked: Identity, other: Identity) -> list[str]:
    """Each difference that makes `other` another engine than `locked`. A server's address is never told.

    A server that describes its model is compared by the description. Its address and its name for the model may be
    others then.
    """
    told = {name: value for name, value in locked.settings.items() if name != ADDRESS}
    here = {name: value for name, value in other.settings.items() if name != ADDRESS}
    mine: dict[str, Any] = {"engine": locked.engine, "version": locked.version, **told}
    theirs: dict[str, Any] = {"engine": other.engine, "version": other.version, **here}
    mine |= {"model_sha256": locked.model_sha256, "template_sha256": locked.template_sha256}
    theirs |= {"model_sha256": other.model_sha256, "template_sha256": other.template_sha256}
    if not told and locked.model_sha256 is None:
        mine |= {"model": locked.model}
        theirs |= {"model": other.model}
    differences = [
        f"{name}: locked {mine.get(name)}, found {theirs.get(name)}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
    ]
    if not told and locked.model_sha256 is None and locked.settings.get(ADDRESS) != other.settings.get(ADDRESS):
        differences.append("its address, by which alone it is known")
    return differences


def same_boat(locked: Identity, other: Identity) -> bool:
    """Whether a remote Sameboat decodes with the local engine of a lock: equal weights, template and decoder."""
    return (
        locked.engine == "local"
        and other.engine == "remote"
        and locked.model_sha256 is not None
        and (other.model_sha256, other.template_sha256) == (locked.model_sha256, locked.template_sha256)
        and other.settings.get("decoder") == locked.version
    )
