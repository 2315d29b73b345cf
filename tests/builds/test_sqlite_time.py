"""The function that old SQLite libraries lack. DBOS' default of a column works with it."""

from __future__ import annotations

import sqlite3
import time

import pytest
import sqlalchemy as sa

from service.builds import sqlite_time


def test_a_default_in_milliseconds_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The declaration is DBOS' own. The function is installed for any library, and removed again."""
    monkeypatch.setattr(sqlite_time, "SINCE", (99, 0, 0))
    sqlite_time.install()
    sqlite_time.install()
    try:
        engine = sa.create_engine("sqlite://")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x, at BIGINT NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
            connection.exec_driver_sql("INSERT INTO t (x) VALUES (1)")
            [[at]] = connection.exec_driver_sql("SELECT at FROM t").fetchall()
        engine.dispose()
    finally:
        sa.event.remove(sa.Engine, "connect", sqlite_time._prepare)
    assert abs(at / 1000 - time.time()) < 60


def test_a_library_that_has_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_time, "SINCE", (3, 0, 0))
    sqlite_time.install()
    assert not sa.event.contains(sa.Engine, "connect", sqlite_time._prepare)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not known here"):
        sqlite_time.unixepoch("2026-01-01")
    assert sqlite3.sqlite_version_info >= (3, 35)
