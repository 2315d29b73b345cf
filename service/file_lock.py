"""A lock between processes of one machine, by `flock(2)`. The kernel releases it when its holder ends, however it ends.

In: the path of a lock file. Out: the lock. The file stays: deleting it would let two processes hold two locks.
Not here: locks between threads, and between machines.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def hold(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Wait for the lock and hold it in the block. `on_wait` is called once if another process has it.

    Raises:
        OSError: if the lock file cannot be opened.
    """
    handle = _open(path)
    try:
        if not _taken(handle):
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def take(path: Path) -> tuple[int, bool]:
    """The opened lock file, and whether this process now has the lock. The lock is held until the handle is closed.

    Raises:
        OSError: if the lock file cannot be opened.
    """
    handle = _open(path)
    return handle, _taken(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
