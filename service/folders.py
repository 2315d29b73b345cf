"""Whether a directory can be written, and where it cannot, whose it is and what repairs it.

Volumes keep the owner they were born with: one that root made stays root's, and a container that runs as uid 1000 may
not take it. What comes in: a path. What goes out: nothing, or an explanation. It does not know what is kept there.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.errors import SettingsError


@dataclass(frozen=True)
class Unwritable:
    """What stands against writing, and what to do about it."""

    what: str
    remedy: str


def problem(folder: Path, key: str) -> Unwritable | None:
    """Make the folder where it is missing and write to it; what came in the way. `key` is the setting that names it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        said = error.strerror or str(error)
    there = next(each for each in (folder, *folder.parents) if os.path.exists(each))
    if not there.is_dir():
        return Unwritable(f"{folder} cannot be written: {there} is not a directory.", f"Move it away, or set {key}.")
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return Unwritable(f"{folder} is on a read-only file system.", f"Mount a volume there, or set {key}.")
    owner, me = there.stat().st_uid, os.getuid()
    what = f"{folder} cannot be written by uid {me}: {said}"
    if owner == me:
        return Unwritable(f"{what}.", f"Make it writable (chmod u+rwx {there}), or set {key}.")
    return Unwritable(
        f"{what}; {there} belongs to uid {owner}.",
        f"Give it away as root: chown -R {me}:{os.getgid()} {there} (in a container: run the image with --user 0 "
        f"--entrypoint chown and the volume mounted), or set {key}.",
    )


def require(folder: Path, key: str) -> None:
    """Make the folder and see that it can be written. Raises SettingsError with owner and remedy."""
    if found := problem(folder, key):
        raise SettingsError(found.what, key=key, remedy=found.remedy)
