"""The promoted prompts: `data/prompts/NAME/`, each with its cases, recording and lock.

What comes in: the data directory, and for the engine's part of a lock an identity. What goes out: prompts that are what
was promoted. Nothing else is served: a prompt without a lock is a draft, wherever it lies.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from service.engine.types import Identity
from service.errors import LockMismatch, PromptError, UnknownPrompt
from service.prompts import lock as locks
from service.prompts.file import Prompt, load
from service.prompts.lock import Lock


class Library:
    """Promoted prompts by name; read once, when asked for."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "prompts"
        self._prompts: dict[str, Prompt] = {}

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
        if name not in self._prompts:
            if name not in self.names():
                near = difflib.get_close_matches(name, self.names(), 1, 0.5)
                raise UnknownPrompt(
                    f"No promoted prompt is called {name!r}.",
                    key="name",
                    remedy=f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(self.names()) or 'none'}.",
                )
            prompt = load(self.folder(name) / f"{name}.prompt.yml")
            if prompt.name != name:
                raise PromptError(f"{prompt.path}: name is {prompt.name!r}, and its folder is {name!r}.", key="name")
            self._check_files(prompt)
            self._prompts[name] = prompt
        return self._prompts[name]

    def lock(self, name: str) -> Lock:
        """The prompt's lock."""
        return locks.read(self.folder(name) / "lock.json")

    def digests(self) -> dict[str, dict[str, str]]:
        """Of every promoted prompt: the digests of its file and lock. `/version` and the image's label carry them."""
        return {name: {"prompt": self[name].sha256, "lock": self.lock(name).digest()} for name in self.names()}

    def _check_files(self, prompt: Prompt) -> None:
        """The files are the ones that were promoted, whatever decodes."""
        lock = self.lock(prompt.name)
        found = locks.make(prompt, self.folder(prompt.name), lock.identity)
        self._refuse(prompt, locks.differences(lock, found))

    def verify(self, name: str, identity: Identity) -> None:
        """What decodes is what the prompt was promoted with. Raises LockMismatch naming every difference.

        A remote engine tells no digests, so there only the files can be verified; its answers carry that they are
        remote in their fingerprint.
        """
        prompt = self[name]
        if identity.engine != "local":
            return
        lock = self.lock(name)
        self._refuse(prompt, locks.differences(lock, locks.make(prompt, self.folder(name), identity)))

    @staticmethod
    def _refuse(prompt: Prompt, found: list[str]) -> None:
        if found:
            raise LockMismatch(
                f"{prompt.name} is not what was promoted: {'; '.join(found)}.",
                key="lock",
                remedy=f"Promote what is there (sameboat promote {prompt.name}) or restore what was.",
            )
