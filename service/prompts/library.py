"""The promoted prompts: `data/prompts/NAME/`, each with its cases, recording and lock.

What comes in: the data directory, and for the engine's part of a lock an identity. What goes out: prompts that are what
was promoted. Nothing else is served: a prompt without a lock is a draft, wherever it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from service.engine.types import Identity
from service.errors import LockMismatch, PromptError, UnknownPrompt, did_you_mean, join_first, short_name
from service.prompts import lock as locks
from service.prompts.file import Prompt, load
from service.prompts.lock import Lock

FolderState = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of every file of a folder: whether anything may have changed in it."""


@dataclass(frozen=True)
class _Promoted:
    prompt: Prompt
    lock: Lock
    state: FolderState


class Library:
    """Promoted prompts by name, read and verified when asked for, and again when their files have changed: a promotion
    is served without a restart, and what no promotion has written is refused."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "prompts"
        self._kept: dict[str, _Promoted] = {}

    def folder(self, name: str) -> Path:
        """Where the prompt's files are."""
        return self.root / name

    def names(self) -> list[str]:
        """Every prompt that has a lock."""
        return sorted(path.parent.name for path in self.root.glob("*/lock.json"))

    def __iter__(self) -> Iterator[Prompt]:
        return (self[name] for name in self.names())

    def __getitem__(self, name: str) -> Prompt:
        """The promoted prompt. Raises UnknownPrompt, PromptError, LockMismatch."""
        return self._promoted(name).prompt

    def lock(self, name: str) -> Lock:
        """The prompt's lock."""
        return locks.read(self.folder(name) / "lock.json")

    def digests(self) -> dict[str, dict[str, str]]:
        """Of every promoted prompt: the digests of its file and lock. `/version` and the image's label carry them.

        Raises PromptError, LockMismatch for the first that is not what was promoted.
        """
        return {name: self.digest(name) for name in self.names()}

    def digest(self, name: str) -> dict[str, str]:
        """The digests of one prompt's file and lock. Raises UnknownPrompt, PromptError, LockMismatch."""
        promoted = self._promoted(name)
        return {"prompt": promoted.prompt.sha256, "lock": promoted.lock.digest()}

    def verify(self, name: str, identity: Identity) -> None:
        """What decodes is what the prompt was promoted with. Raises LockMismatch naming every difference.

        A remote engine tells no digests, so there only the files can be verified; its answers carry that they are
        remote in their fingerprint. Other kernels than the recording's are no mismatch: the same prompt is served on
        other CPUs, and the fingerprint of each answer names the kernels that computed it.
        """
        kept = self._promoted(name)
        if identity.engine == "local":
            here = replace(kept.lock.decoded_by(identity), engine_kernels=kept.lock.engine_kernels)
            self._refuse(name, locks.differences(kept.lock, here))

    def _promoted(self, name: str) -> _Promoted:
        """What is kept, as long as no file in the folder has changed."""
        kept = self._kept.get(name)
        if kept is not None and kept.state == _state_of(self.folder(name)):
            return kept
        if name not in self.names():
            known = self.names()
            raise UnknownPrompt(
                f"No promoted prompt is called {short_name(name)}.",
                key="name",
                remedy=did_you_mean(name, known, f"There are: {join_first(known, ', ') or 'none'}."),
            )
        self._kept[name] = found = self._read(name, self.folder(name))
        return found

    def _read(self, name: str, folder: Path) -> _Promoted:
        """The files, which must be the ones that were promoted, whatever decodes."""
        while True:
            state = _state_of(folder)
            try:
                prompt, lock = load(folder / f"{name}.prompt.yml"), self.lock(name)
                if prompt.name != name:
                    raise PromptError(
                        f"{prompt.path}: name is {prompt.name!r}, and its folder is {name!r}.", key="name"
                    )
                self._refuse(name, locks.differences(lock, locks.make(prompt, folder, lock.identity)))
                return _Promoted(prompt, lock, state)
            except PromptError:  # a LockMismatch is one
                if _state_of(folder) == state:  # else a promotion took the folder's place in the middle of it
                    raise

    @staticmethod
    def _refuse(name: str, found: list[str]) -> None:
        if found:
            raise LockMismatch(
                f"{name} is not what was promoted: {'; '.join(found)}.",
                key="lock",
                remedy=f"Promote what is there (sameboat promote {name}) or restore what was.",
            )


def _state_of(folder: Path) -> FolderState:
    """Empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, each.st_ino, each.st_size, each.st_mtime_ns) for name, each in stats))
