"""Folders and files that only this user may read: 0700 and 0600 whatever the umask is, wider ones narrowed.

In: paths. Out: the same paths, made or narrowed. And keys that are made once.
Not here: their content, and the check that a folder can be written (`folders`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import tempfile
from pathlib import Path

from service.errors import SettingsError

FOLDER, FILE = 0o700, 0o600
KEY_BYTES = 32
log = logging.getLogger("sameboat")


def folder(path: Path) -> Path:
    """Make the folder where it is missing, and leave it to its owner alone. Raises OSError when it cannot be made."""
    path.mkdir(FOLDER, parents=True, exist_ok=True)
    _narrow(path, FOLDER)
    return path


def file(path: Path) -> Path:
    """Make the file, empty, where it is missing, and leave it to its owner alone. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))
    _narrow(path, FILE)
    return path


def narrow(path: Path) -> None:
    """Leave a folder, and the files and folders directly in it, to their owner alone. Raises OSError."""
    folder(path)
    for entry in path.iterdir():
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            _narrow(entry, FOLDER)
        elif stat.S_ISREG(mode):
            _narrow(entry, FILE)


def key(path: Path) -> bytes:
    """The random key in this file, made once: of several processes that start at the same time all get the same one.

    Raises:
        OSError: if there is no key and none can be made.
        SettingsError: if the file holds no key.
    """
    folder(path.parent)
    if not path.exists():
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w") as whole:
                whole.write(secrets.token_hex(KEY_BYTES) + "\n")
            with contextlib.suppress(FileExistsError):  # another process was quicker
                os.link(name, path)  # atomic, unlike opening and then writing
        finally:
            os.unlink(name)
    _narrow(path, FILE)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SettingsError(f"{path} holds no key.", key="SAMEBOAT_STATE_DIR", remedy="Delete it: a new one is made.")
    return secret


def _narrow(path: Path, mode: int) -> None:
    """Take away the rights of others. Logs a warning if that fails (another owner, a read-only volume)."""
    there = stat.S_IMODE(path.stat().st_mode)
    if not there & ~mode:
        return
    try:
        path.chmod(there & mode)
    except OSError as error:
        log.warning("%s is open to others (mode %o), which cannot be changed: %s.", path, there, error.strerror)
