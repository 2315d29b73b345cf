"""The database of builds: one SQLite file, or Postgres when a URL is set. Tells passing errors from others.

In: settings, errors. Out: an SQLAlchemy engine, the same URL for DBOS, the reason of an outage. Not here: tables
(`store`).
"""

from __future__ import annotations

import contextlib
import errno
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service import private_files
from service.errors import SettingsError
from service.postgres import postgres_url
from service.settings import Settings

CONNECT_TIMEOUT_S = 5
CHECK_S = 1.0  # for the check of a SQLite file: enough for 200 MB. Damage in the rest shows when it is read
# SQLSTATE classes (PostgreSQL, appendix A) of a server that is unreachable, full or shutting down.
UNAVAILABLE = ("08", "53", "57P", "58")
FULL = {errno.ENOSPC, errno.EDQUOT}


def database_url(settings: Settings) -> str:
    """The URL of the database in SQLAlchemy's form."""
    return postgres_url(settings) or f"sqlite:///{settings.state_dir / 'builds.sqlite'}"


def sqlite_path(url: str | sa.URL) -> Path | None:
    """The file of a SQLite database. None for another database, and for one in memory."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def require_intact(path: Path) -> None:
    """Check the SQLite file, for CHECK_S at most.

    Raises:
        SettingsError: if the file is damaged.
    """
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            ends = time.monotonic() + CHECK_S
            connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
            result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # interrupted, locked or not readable: opening it raises the error
        return
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        why = result.splitlines()[-1][:200]
        raise SettingsError(
            f"{path}, the database of builds, is damaged: {why}.",
            key="SAMEBOAT_STATE_DIR",
            remedy=f"Move it away, and the next start makes a new one: mv {shlex.quote(str(path))}* ELSEWHERE. "
            "What is whole in it can be read with: sqlite3 FILE .recover",
        )


def make_engine(url: str) -> sa.Engine:
    """An engine. SQLite uses WAL, so readers do not wait for a writer, and it has one writer at a time.

    Only this user may read SQLite's file, because it holds briefs and mail addresses.

    Raises:
        OSError: if the file cannot be made.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(
            url,
            pool_size=5,
            max_overflow=15,
            pool_timeout=10,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
    path = sa.make_url(url).database
    if path and path != ":memory:":
        private_files.file(Path(path))  # SQLite gives the files beside it, -wal and -shm, the same mode
    engine = sa.create_engine(url, connect_args={"timeout": 30}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin ourselves: IMMEDIATE for writers, below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a 200 means that it is on disk
        connection.execute("PRAGMA busy_timeout=30000")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return engine


def unavailable_reason(error: BaseException | None) -> str | None:
    """The reason if the error is an outage: the disk is full, or the database does not answer. Else None.

    An outage passes. A caller should ask again later, and a build waits.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return "the disk is full"
        if isinstance(error, sa.exc.TimeoutError):
            return "the database has no connection free"
        if isinstance(error, sa.exc.DBAPIError):
            return _driver(error)
        error = error.__cause__ or error.__context__
    return None


def _driver(error: sa.exc.DBAPIError) -> str | None:
    message = str(error.orig)
    if "disk is full" in message:
        return "the disk is full"
    if "database is locked" in message or "disk I/O error" in message:
        return "the database file cannot be written"
    state = getattr(error.orig, "sqlstate", None)
    if state == "53100":
        return "the database's disk is full"
    lost = error.connection_invalidated or (
        isinstance(error, sa.exc.OperationalError) and state is None and "sqlite" not in type(error.orig).__module__
    )
    if lost or (state or "").startswith(UNAVAILABLE):
        return "the database does not answer"
    return None
