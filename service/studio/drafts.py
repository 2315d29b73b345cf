"""The drafts of the workspace: prompt files in one folder, by name.

In: a name from a browser, a text. Out: the draft's text, its mistakes with their lines, and the usable prompt.
Not here: routes (`routes`), and the checks of a prompt file (`prompts.file`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from service import atomic_files, text_files
from service.errors import PromptError, RequestError
from service.prompts import file as files
from service.prompts.file import Prompt
from service.prompts.file_names import prompt_file

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")
ENDING = prompt_file("")


@dataclass(frozen=True)
class CheckedDraft:
    """A draft's text, and either the usable prompt or the mistakes, each with its line."""

    name: str
    text: str
    prompt: Prompt | None
    mistakes: tuple[tuple[int, str], ...] = ()

    @property
    def notes(self) -> list[tuple[int, str]]:
        """The parts that are read otherwise than written, each with its line."""
        if self.prompt is None:
            return []
        parts = (note.removeprefix(f"{self.prompt.path}:").partition(": ") for note in self.prompt.notes)
        return [(int(line), sentence) for line, _, sentence in parts]

    @property
    def sha256(self) -> str:
        """The digest of the text. A page sends it back, so that it replaces no text that it has not shown."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class DraftFolder:
    """The folder of drafts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The file of a draft.

        Raises:
            RequestError: if the name is not one of a draft.
        """
        if not NAME.fullmatch(name):
            raise RequestError(
                "A draft's name has small letters, digits, dots, hyphens and underscores, at most 80.", key="name"
            )
        return self.root / f"{name}{ENDING}"

    def names(self) -> list[str]:
        """The names of all drafts, sorted."""
        names = (path.name.removesuffix(ENDING) for path in self.root.glob(f"*{ENDING}"))
        return sorted(name for name in names if NAME.fullmatch(name))

    def check(self, name: str, text: str) -> CheckedDraft:
        """Check a text as the draft of this name, without writing it."""
        try:
            return CheckedDraft(name, text, files.loads(text, self.path(name)))
        except PromptError as error:
            return CheckedDraft(name, text, None, error.mistakes or ((1, str(error)),))

    def read(self, name: str) -> CheckedDraft:
        """A draft.

        Raises:
            FileNotFoundError: if there is none of this name.
            PromptError: if the file is not UTF-8.
        """
        path = self.path(name)
        if not path.is_file():
            raise FileNotFoundError(name)
        return self.check(name, text_files.read(path, PromptError))

    def usable(self, name: str) -> Prompt:
        """The prompt of a draft without mistakes.

        Raises:
            FileNotFoundError: if there is none of this name.
            PromptError: if the file has mistakes.
        """
        self.path(name)
        if name not in self.names():
            raise FileNotFoundError(name)
        return files.load(self.path(name))

    def write(self, name: str, text: str) -> CheckedDraft:
        """Write a draft. A text with mistakes is written too, because a person goes on with it later.

        Raises:
            OSError: if the file cannot be written.
        """
        atomic_files.replace_text(self.path(name), text)
        return self.check(name, text)
