"""Milliseconds for SQLite libraries that have none, so that DBOS works on Debian 12 and Ubuntu 22.04.

In: nothing. Out: `unixepoch('subsec')` on all SQLite connections of this process. Not here: other SQL functions.

DBOS calls the function on Python 3.12 and newer. But the modifier came with SQLite 3.42
(sqlite.org/releaselog/3_42_0.html). An older library answers NULL, and DBOS' first insert fails on it.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy as sa

SINCE = (3, 42, 0)


def install() -> None:
    """Give the function to every SQLite connection that SQLAlchemy opens from now on, where the library needs it."""
    if sqlite3.sqlite_version_info < SINCE and not sa.event.contains(sa.Engine, "connect", _prepare):
        sa.event.listen(sa.Engine, "connect", _prepare)


def _prepare(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("unixepoch", -1, unixepoch)


def unixepoch(*arguments: str) -> float:
    """Seconds since 1970 as SQLite's function gives them for "now", with a fraction if that is asked for.

    Raises:
        ValueError: for another argument than "now", "subsec" and "subsecond".
    """
    if set(arguments) - {"now", "subsec", "subsecond"}:
        raise ValueError(f"unixepoch{arguments} is not known here")
    now = time.time()
    return round(now, 3) if {"subsec", "subsecond"} & set(arguments) else float(int(now))
