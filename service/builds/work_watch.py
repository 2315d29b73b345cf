"""Tells when an idle process has work again, without asking a database of builds over and over.

In: the SQLite file of builds or another source of changes, the number of runs here. Out: whether to look for work now.
Not here: the look itself (`dbos_private`, `sweeper`), and the changes in Postgres (`work_notifications`).

SQLite counts the commits of other connections: `PRAGMA data_version` (sqlite.org/pragma.html). The question takes some
microseconds, and a look at DBOS' tables takes milliseconds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

AFTER_CHANGE_S = 3.0
"""Looks go on for so long after a change. A run counts as running for some milliseconds after its end is stored."""
DELAYED = "SELECT min(delay_until_epoch_ms) FROM workflow_status WHERE status = 'DELAYED'"


class Changes(Protocol):
    """A source of changes. Each asking thread has its own."""

    def seen(self) -> bool:
        """Whether something changed since the last question. True for a source that cannot be read."""

    def delayed_ms(self) -> int | None:
        """The Unix time (ms) when the next delayed run is due. None without one, 0 if the source cannot be read."""

    def close(self) -> None:
        """Close the source. The next question opens it again."""


class FileChanges:
    """Whether a SQLite file was changed since the last question. Each asking thread has its own."""

    def __init__(self, path: Path) -> None:
        # Postponed: a connection to a file that is not there yet would make it, with the wrong mode.
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None

    def seen(self) -> bool:
        """Whether something changed. Always True for a file that cannot be read, so that a look tells the error."""
        try:
            version = int(self._ask("PRAGMA data_version") or 0)
        except sqlite3.Error:
            self.close()
            return True
        changed, self._version = version != self._version, version
        return changed

    def delayed_ms(self) -> int | None:
        """The Unix time (ms) when the next delayed run is due. None without one, 0 for a file that cannot be read."""
        try:
            return self._ask(DELAYED)
        except sqlite3.Error:
            return 0

    def _ask(self, query: str) -> int | None:
        """The one number that the query gives. Raises sqlite3.Error if the file cannot be read."""
        if self._connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1, check_same_thread=False)
        number: int | None = self._connection.execute(query).fetchone()[0]
        return number

    def close(self) -> None:
        """Close the file. The next question opens it again, and its answer is True."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._version = None


class WorkWatch:
    """When to look for work in DBOS' tables: after changes, while runs are running, and when a delay has passed."""

    def __init__(self, changes: Changes, running: Callable[[], int]) -> None:
        self._changes = changes
        self._running = running
        self._until = 0.0
        self._delayed_s: float | None = None

    def due(self) -> bool:
        """Whether to look now. Call it at short intervals."""
        now = time.monotonic()
        if self._changes.seen():
            self._until = now + AFTER_CHANGE_S
        if now < self._until:  # later changes may be of the same moment
            due_ms = self._changes.delayed_ms()
            self._delayed_s = None if due_ms is None else due_ms / 1000
            return True
        return self._running() > 0 or (self._delayed_s is not None and self._delayed_s <= time.time())

    def close(self) -> None:
        """Close the source of changes."""
        self._changes.close()
