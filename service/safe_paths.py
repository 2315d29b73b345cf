"""Relative paths that are safe on every system: for attachments, for a model's files, for commits, for prompt files.

In: one path or several, chosen by a stranger or a model. Out: the reason why a path is refused, as the end of a
sentence, or None.
Not here: names that a build writes itself (`builds.brief`) and files that a tool obeys (`builds.automation`).

A repository is cloned on any system. A path is refused if it leaves the folder, if a file system reads it as Git's own
folder, or if a file system cannot hold it. Two paths are refused together if a file system reads them as one. Git
refuses most of these only at a checkout or in `git fsck --strict` (path.c, utf8.c: is_ntfs_dotgit, is_hfs_dotgit).
Characters that only Windows forbids (? * " < > |) are allowed, because people use them elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

MAX_PART_BYTES = 255  # of every common file system
MAX_PATH_BYTES = 1000
IGNORED = dict.fromkeys(
    map(ord, "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff")
)
"""Code points that HFS+ leaves out when it compares names (Git's utf8.c, next_hfs_char)."""
# Controls, the controls of writing direction (a name that reads as another), line ends, halves of surrogate pairs.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.DOTALL)
# The names that Windows makes of .git, .gitmodules and their like for programs that know eight letters.
SHORT = re.compile(r"(git|gi[0-9a-f]{4}|git[a-z]{3})~[0-9]+(\..*)?", re.DOTALL)


def wrong_path(path: str) -> str | None:
    """The reason why a path is refused, as the end of a sentence, or None. Folders are separated by `/`."""
    if UNPRINTABLE.search(path):
        return "must hold no control characters"
    if "\\" in path or ":" in path:
        return "must be a plain file name, without \\ and :"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    for part in path.split("/"):
        if part.strip() in ("", ".", ".."):
            return "must not leave its folder"
        if part != part.strip() or part.endswith("."):
            return "must not begin with a space or end with a space or a dot"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a part that is longer than {MAX_PART_BYTES} bytes"
        folded = key(part)
        if folded in (".git", "") or SHORT.fullmatch(folded):
            return "is a name that Git keeps for itself"
        if DEVICES.fullmatch(folded):
            return "is a name that Windows keeps for a device"
    return None


def key(path: str) -> str:
    """Equal for two paths that a file system reads as one: by case, composed accents or ignored code points."""
    plain = unicodedata.normalize("NFD", path.translate(IGNORED))
    return unicodedata.normalize("NFD", plain.casefold())


def without_twins(files: Mapping[str, T], of: Collection[str]) -> dict[str, T]:
    """The files without those that a file system reads as one of `of` in another spelling."""
    keys = {key(path): path for path in of}
    return {path: data for path, data in files.items() if keys.get(key(path), path) == path}


class PathSet:
    """Paths that can lie in one repository together."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        """`paths` are in the set without a check."""
        self._files: dict[str, str] = {key(path): path for path in paths}
        self._folders: dict[str, str] = {
            folder: name for path in self._files.values() for folder, name in _folders(path)
        }

    def add(self, path: str) -> str | None:
        """Add a path, or return the reason why it cannot be in the set, as the end of a sentence."""
        if wrong := wrong_path(path):
            return wrong
        folded, folders = key(path), dict(_folders(path))
        if folded in self._files:
            if self._files[folded] == path:
                return "is given twice"
            return f"is the same as {self._files[folded][:80]} for some file systems"
        if folded in self._folders or not self._files.keys().isdisjoint(folders):
            return "is a file and a folder"
        for folder, name in folders.items():
            if self._folders.get(folder, name) != name:
                return f"has the same folder as {self._folders[folder][:80]} for some file systems, in another spelling"
        self._files[folded] = path
        self._folders.update(folders)
        return None


def _folders(path: str) -> Iterable[tuple[str, str]]:
    """Every folder above a path, as its key and as it is written."""
    parts = path.split("/")[:-1]
    written = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return [(key(folder), folder) for folder in written]
