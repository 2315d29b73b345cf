"""The folder of one promoted prompt: `data/prompts/NAME/` with prompt, cases, recording, baseline and lock.

In: the folder's path. Out: its parts, the differences from its lock, and a new folder that takes its place as a whole.
Not here: the content of a recording (`evaluation.recording`), and which prompts are served (`library`).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service import atomic_files
from service.prompts import file as prompt_files
from service.prompts import lock as locks
from service.prompts.file import Prompt
from service.prompts.file_names import (
    BASELINE,
    ENGINE_RECORDINGS,
    LOCK,
    RECORDING,
    SCHEMA,
    engine_recording,
    prompt_file,
)
from service.prompts.lock import Lock

AT_FDCWD = -100  # fcntl.h: a path is relative to the working directory
RENAME_EXCHANGE = 2  # linux/fs.h


@dataclass(frozen=True)
class PromotedFolder:
    """A folder that holds, or will hold, the promoted prompt of its name."""

    path: Path

    @property
    def name(self) -> str:
        """The prompt's name, which is the folder's."""
        return self.path.name

    @property
    def prompt_path(self) -> Path:
        """The prompt file."""
        return self.path / prompt_file(self.name)

    @property
    def recording_path(self) -> Path:
        """The answers of the prompt to its cases."""
        return self.path / RECORDING

    @property
    def baseline_path(self) -> Path:
        """The answers of the previous prompt to cases that its own recording does not hold."""
        return self.path / BASELINE

    @property
    def engine_recordings(self) -> Path:
        """The folder of the recordings over further engines."""
        return self.path / ENGINE_RECORDINGS

    def engine_recording_path(self, engine: str) -> Path:
        """The answers of a further engine, by its id in the lock."""
        return self.path / engine_recording(engine)

    @property
    def lock_path(self) -> Path:
        """The digests of everything that decided the recorded answers."""
        return self.path / LOCK

    @property
    def has_lock(self) -> bool:
        """Whether the prompt here was promoted. A prompt without a lock is a draft."""
        return self.lock_path.exists()

    @property
    def is_complete(self) -> bool:
        """Whether prompt, recording and lock are all here."""
        return all(path.exists() for path in (self.prompt_path, self.recording_path, self.lock_path))

    def prompt(self) -> Prompt:
        """The prompt.

        Raises:
            PromptError: if the file cannot be used.
        """
        return prompt_files.load(self.prompt_path)

    def lock(self) -> Lock:
        """The lock.

        Raises:
            LockMismatch: if there is no usable lock.
        """
        return locks.read(self.lock_path)

    def differences(self, prompt: Prompt, lock: Lock) -> list[str]:
        """Each difference between the files here and the lock, as "part: locked x, found y"."""
        return locks.differences(lock, locks.make(prompt, self.path, lock.identity, engines=lock.engines))

    def save_prompt(self, prompt: Prompt) -> Prompt:
        """Write the prompt file, with the line that names its schema for editors.

        Raises:
            PromptError: if the resulting file cannot be used.
            OSError: if it cannot be written.
        """
        return prompt_files.save(prompt, self.prompt_path, schema=SCHEMA)

    def save_lock(self, lock: Lock) -> None:
        """Write the lock.

        Raises:
            OSError: if it cannot be written.
        """
        atomic_files.replace_text(self.lock_path, lock.text())

    @contextmanager
    def replacing(self) -> Iterator[PromotedFolder]:
        """A copy of this folder to change. It replaces this folder when the block ends without an error.

        The copy keeps notes and further case files. It is empty if this folder does not exist.

        Raises:
            OSError: if a folder cannot be written or exchanged. The old folder is unchanged then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.path.parent) as temporary:
            staged = PromotedFolder(Path(temporary) / self.name)
            if self.path.exists():
                shutil.copytree(self.path, staged.path)
            else:
                staged.path.mkdir()
            yield staged
            swap(staged.path, self.path)


def swap(staged: Path, target: Path) -> None:
    """Put `staged` where `target` is. At every moment a whole folder is there.

    Linux exchanges two folders atomically (renameat2(2), RENAME_EXCHANGE). Elsewhere, and on file systems without it,
    the old folder is moved aside first, and back if the second step fails.

    Raises:
        OSError: if a folder cannot be moved. The old folder is in its place then.
    """
    if not target.exists():
        staged.rename(target)
        return
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange and not exchange(AT_FDCWD, os.fsencode(staged), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE):
        return
    aside = staged.with_name("aside")
    target.rename(aside)
    try:
        staged.rename(target)
    except OSError:
        aside.rename(target)
        raise
