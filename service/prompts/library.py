"""The promoted prompts: `data/prompts/NAME/`, each with its cases, recording and lock.

In: the data directory, and an identity for the engine's part of a lock. Out: prompts whose files are those that were
promoted. A prompt without a lock is a draft and is not served.
Not here: how a prompt is promoted (`evaluation.promote`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.engine.types import Identity
from service.errors import InputsError, LockMismatch, PromptError, UnknownPrompt, did_you_mean, join_first, short_name
from service.prompts import lock as locks
from service.prompts.engine_lock import engine_differences, engine_id, same_boat
from service.prompts.file import Prompt
from service.prompts.file_names import ENGINE_RECORDINGS, LOCK
from service.prompts.lock import Lock
from service.prompts.promoted import PromotedFolder

FolderState = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of every file in a folder. If it is equal, no file has changed."""


@dataclass(frozen=True)
class PromotedPrompt:
    """A prompt whose files are those of its lock."""

    prompt: Prompt
    lock: Lock

    def verify(self, identity: Identity, *, allow_unpromoted: bool = False) -> None:
        """Check that the engine is one of those that the prompt was promoted on.

        Other kernels than the recording's are no mismatch: a prompt is served on every CPU, and the fingerprint of each
        answer names the kernels that computed it. `allow_unpromoted` lets every remote engine pass.

        Raises:
            LockMismatch: if it is another one. The message names every difference from the nearest one.
        """
        further = [engine_differences(engine.identity, identity) for engine in self.lock.engines.values()]
        if [] in further or same_boat(self.lock.identity, identity):
            return
        if identity.engine == "local":
            here = replace(self.lock.decoded_by(identity), engine_kernels=self.lock.engine_kernels)
            _refuse_if(self.prompt.name, locks.differences(self.lock, here))
        elif identity.engine == "remote" and not allow_unpromoted:
            primary = engine_differences(self.lock.identity, identity) if self.lock.engine == "remote" else None
            candidates = further + ([primary] if primary is not None else [])
            if [] not in candidates:
                self._refuse_engine(identity, min(candidates, key=len, default=[]))

    def _refuse_engine(self, identity: Identity, nearest: list[str]) -> None:
        """Raise LockMismatch for a remote engine, with its differences from the nearest promoted one."""
        known = join_first([engine_id(self.lock.identity), *self.lock.engines], ", ")
        differences = f": {'; '.join(nearest)}" if nearest else ""
        raise LockMismatch(
            f"{self.prompt.name} was promoted on {known}, and not on this {engine_id(identity)}{differences}.",
            key="engine",
            remedy=f"Record its cases over this engine (sameboat promote {self.prompt.name} --engine remote), or "
            "allow engines without a recording (SAMEBOAT_UNPROMOTED_ENGINES=allow).",
        )


class Library:
    """Promoted prompts by name.

    A prompt is read and verified on the first request for it, and again after its files have changed. So a promotion is
    served without a restart, and files that no promotion has written are refused.
    """

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "prompts"
        self._read_before: dict[str, tuple[FolderState, PromotedPrompt]] = {}

    def folder(self, name: str) -> Path:
        """The folder of the prompt's files."""
        return self.root / name

    def names(self) -> list[str]:
        """The names of all prompts that have a lock, sorted."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{LOCK}"))

    def __iter__(self) -> Iterator[Prompt]:
        return (self[name] for name in self.names())

    def __getitem__(self, name: str) -> Prompt:
        """The promoted prompt.

        Raises:
            UnknownPrompt: if no promoted prompt has this name.
            PromptError: if its file cannot be used.
            LockMismatch: if its files are not those of its lock.
        """
        return self.promoted(name).prompt

    def lock(self, name: str) -> Lock:
        """The prompt's lock, without a check of the other files.

        Raises:
            LockMismatch: if there is no usable lock.
        """
        return PromotedFolder(self.folder(name)).lock()

    def digests(self) -> dict[str, dict[str, str]]:
        """The digests of file and lock of every promoted prompt, by name. `/version` and the image's label carry them.

        Raises:
            PromptError: if a prompt's file cannot be used.
            LockMismatch: if its files are not those of its lock.
        """
        return {name: self.digest(name) for name in self.names()}

    def digest(self, name: str) -> dict[str, str]:
        """The digests of one prompt's file and lock. Raises as `promoted` does."""
        promoted = self.promoted(name)
        return {"prompt": promoted.prompt.sha256, "lock": promoted.lock.digest()}

    def verify(self, name: str, identity: Identity) -> None:
        """Check that the engine is one that the prompt was promoted on. Raises as `promoted` and its `verify`."""
        self.promoted(name).verify(identity)

    def promoted(self, name: str) -> PromotedPrompt:
        """The promoted prompt with its lock. Its files are read again only if one of them has changed.

        Raises:
            UnknownPrompt: if no promoted prompt has this name.
            PromptError: if its file cannot be used.
            LockMismatch: if its files are not those of its lock.
        """
        state, promoted = self._read_before.get(name, (None, None))
        if promoted is not None and state == _state_of(self.folder(name)):
            return promoted
        known = self.names()
        if name not in known:
            raise UnknownPrompt(
                f"No promoted prompt is called {short_name(name)}.",
                key="name",
                remedy=did_you_mean(name, known, f"There are: {join_first(known, ', ') or 'none'}."),
            )
        state, promoted = _read(PromotedFolder(self.folder(name)))
        self._read_before[name] = state, promoted
        return promoted


def _read(folder: PromotedFolder) -> tuple[FolderState, PromotedPrompt]:
    """The folder's state, and its prompt and lock in this state. Raises PromptError, LockMismatch."""
    while True:
        state = _state_of(folder.path)
        try:
            prompt, lock = folder.prompt(), folder.lock()
            if prompt.name != folder.name:
                raise PromptError(
                    f"{prompt.path}: name is {prompt.name!r}, and its folder is {folder.name!r}.", key="name"
                )
            _refuse_if(prompt.name, folder.differences(prompt, lock))
            return state, PromotedPrompt(prompt, lock)
        except PromptError:  # a LockMismatch is a PromptError
            if _state_of(folder.path) == state:  # otherwise a promotion replaced the folder during the reading
                raise


def _refuse_if(name: str, differences: list[str]) -> None:
    if differences:
        raise LockMismatch(
            f"{name} is not what was promoted: {'; '.join(differences)}.",
            key="lock",
            remedy=f"Promote the files that are there (sameboat promote {name}), or restore the promoted ones.",
        )


def _state_of(folder: Path) -> FolderState:
    """The state of a folder and of its recordings over further engines. It is empty if there is no such folder."""
    try:
        stats = _stats(folder)
    except OSError:
        return ()
    with contextlib.suppress(OSError):  # most prompts have none
        stats += _stats(folder / ENGINE_RECORDINGS)
    return tuple(sorted((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats))


def _stats(folder: Path) -> list[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.stat()) for entry in entries]


def example_of(prompt: Prompt) -> dict[str, Any] | None:
    """The inputs of the prompt's first case, to try the prompt with. None if it has no usable first case.

    Only the first line of a file of cases is read. An evaluation reports its mistakes.
    """
    if prompt.spec.testData:
        return prompt.inputs_of(prompt.spec.testData[0])
    if prompt.spec.testDataFile is None or prompt.path is None:
        return None
    try:
        with (prompt.path.parent / prompt.spec.testDataFile).open(encoding="utf-8-sig") as file:
            inputs = prompt.inputs_of(json.loads(file.readline()))
        prompt.check_inputs(inputs)
    except (OSError, ValueError, AttributeError, InputsError):
        return None
    return inputs
