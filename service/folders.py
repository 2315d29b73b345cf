"""A check that a directory can be written. If it cannot, the answer has its owner and the remedy.

Volumes keep the owner they were born with: one that root made stays root's, and a container that runs as uid 1000 may
not take it.

In: a path. Out: None, or an explanation.
Not here: the files in the directory.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.errors import SettingsError


@dataclass(frozen=True)
class Unwritable:
    """The reason why a folder cannot be written, and the remedy."""

    what: str
    remedy: str


def problem(folder: Path, key: str) -> Unwritable | None:
    """Make the folder if it is missing, and write to it. The problem, or None. `key` is the setting for the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        reason = error.strerror or str(error)
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not there.is_dir():
        return Unwritable(f"{folder} cannot be written: {there} is not a directory.", f"Move it away, or set {key}.")
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return Unwritable(f"{folder} is on a read-only file system.", f"Mount a volume there, or set {key}.")
    owner, me = there.stat().st_uid, os.getuid()
    what = f"{folder} cannot be written by uid {me}: {reason}"
    if owner == me:
        return Unwritable(f"{what}.", f"Make it writable (chmod u+rwx {there}), or set {key}.")
    return Unwritable(
        f"{what}; {there} belongs to uid {owner}.",
        f"Give it away as root: chown -R {me}:{os.getgid()} {there} (in a container: run the image with --user 0 "
        f"--entrypoint chown and the volume mounted), or set {key}.",
    )


def require(folder: Path, key: str) -> None:
    """Make the folder if it is missing, and write to it.

    Raises:
        SettingsError: if it cannot be written. The message has its owner, and the remedy.
    """
    if unwritable := problem(folder, key):
        raise SettingsError(unwritable.what, key=key, remedy=unwritable.remedy)
