"""Write a file whole or not at all.

In: a path and its new content. Out: the file with that content. If the process is killed or the disk is full, the old
file is still there and whole.
Not here: folders, which a promotion exchanges as one (`prompts.promoted`), and locks (`file_lock`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MODE = 0o666  # of a new file, less the umask
SUFFIX = ".part"
"""The end of the name of an unfinished file. A process that was killed may leave one behind."""


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = MODE, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends without an error.

    It lies beside `path`, because a rename is atomic only within one file system. `mode` holds before the first byte
    is written. With `durable`, content and name are on the disk before this returns.

    Raises:
        OSError: if the file cannot be written or renamed. `path` is unchanged then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{SUFFIX}")
    part.unlink(missing_ok=True)  # of an earlier process with the same number
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def replace_bytes(path: Path, data: bytes, *, mode: int = MODE, durable: bool = False) -> None:
    """Give the file this content. `mode` and `durable` are those of `replacing`.

    Raises:
        OSError: if the file cannot be written. It is unchanged then.
    """
    with replacing(path, mode=mode, durable=durable) as file:
        file.write(data)


def replace_text(path: Path, text: str, *, mode: int = MODE, durable: bool = False) -> None:
    r"""Give the file this text, as UTF-8 and with \n at the ends of lines on every system.

    Raises:
        OSError: if the file cannot be written. It is unchanged then.
        UnicodeEncodeError: if the text holds half a surrogate pair.
    """
    replace_bytes(path, text.encode(), mode=mode, durable=durable)


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk only when the folder is (fsync(2))."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
