"""The locks of processes that run builds: one process per SQLite file, and one name per worker."""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path

from service import file_lock
from service.errors import BuildError


def take(path: Path) -> int:
    """Take the lock for this process's life. Keep the returned handle.

    Raises:
        BuildError: if another process has the lock. The message has its pid.
    """
    handle, taken = file_lock.take(path)
    if not taken:
        other = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise BuildError(
            f"Another process (pid {other}) already runs builds in {path.parent}.",
            key="state_dir",
            remedy="One process per SQLite file: stop it, set SAMEBOAT_STATE_DIR, or give all of them one DATABASE_URL "
            "of a Postgres.",
        )
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def claim_worker_slot(folder: Path) -> tuple[int, str]:
    """The first free place among this folder's processes, for this process's life: a handle to keep, and a name.

    The name stays with the place: a process that is started again finds the builds of the one that died in it. Two
    processes that live at the same time never share one.
    """
    numbers = itertools.count()
    while True:
        handle, taken = file_lock.take(folder / f"worker-{next(numbers)}.lock")
        if not taken:
            os.close(handle)
            continue
        name = os.read(handle, 64).decode("ascii", errors="replace").strip()
        if not name:
            name = secrets.token_hex(4)
            os.write(handle, name.encode())
        return handle, name
