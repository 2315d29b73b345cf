"""Locks between processes of one machine, by `flock(2)`: the kernel gives them back when the holder dies, however."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from service.errors import BuildError


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def take(path: Path) -> int:
    """Take the lock for this process's life, or say who has it. The handle must be kept. Raises BuildError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise BuildError(
            f"Another process (pid {other}) already runs builds in {path.parent}.",
            key="state_dir",
            remedy="One process per SQLite file: stop it, set SAMEBOAT_STATE_DIR, or give all of them one DATABASE_URL "
            "of a Postgres.",
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle
