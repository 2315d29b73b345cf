"""An idle process looks for work only after a change, while something runs, and when a delay has passed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.builds import sweeper, work_watch
from service.builds.database import make_engine, sqlite_path
from service.builds.store import Store
from service.builds.work_watch import FileChanges, WorkWatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a file with spaces ?.sqlite"


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    """Another connection, as DBOS has it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE workflow_status (status TEXT, delay_until_epoch_ms INTEGER)")
    yield connection
    connection.close()


def test_a_commit_is_seen_once_and_reading_and_rolling_back_are_no_changes(
    file: Path, other: sqlite3.Connection
) -> None:
    changes = FileChanges(file)
    assert changes.seen()  # the first question
    assert not changes.seen()
    other.execute("SELECT * FROM workflow_status").fetchall()
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO workflow_status VALUES ('ENQUEUED', NULL)")
    other.execute("ROLLBACK")
    other.execute("UPDATE workflow_status SET status = 'X' WHERE status = 'no such'")
    assert not changes.seen()
    other.execute("INSERT INTO workflow_status VALUES ('ENQUEUED', NULL)")
    assert changes.seen()
    assert not changes.seen()
    changes.close()


def test_a_file_that_cannot_be_read_counts_as_changed_and_is_not_made(file: Path) -> None:
    changes = FileChanges(file)
    assert changes.seen()
    assert changes.seen()
    assert not file.exists()


def test_looks_end_some_time_after_the_last_change_and_go_on_while_runs_are_running(
    file: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = 0
    watch = WorkWatch(FileChanges(file), lambda: running)
    assert watch.due()
    assert watch.due()  # it goes on for a while
    monkeypatch.setattr(work_watch, "AFTER_CHANGE_S", 0.0)
    watch = WorkWatch(FileChanges(file), lambda: running)
    watch.due()
    assert not watch.due()
    running = 1
    assert watch.due()
    running = 0
    assert not watch.due()
    watch.close()


def test_a_delay_that_has_passed_is_due_and_one_that_has_not_is_not(
    file: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = WorkWatch(FileChanges(file), lambda: 0)
    passes_ms = int(time.time() * 1000) + 3_600_000
    other.execute("INSERT INTO workflow_status VALUES ('DELAYED', ?)", (passes_ms,))
    watch.due()
    now = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not watch.due()
    monkeypatch.setattr(time, "time", lambda: passes_ms / 1000 + 0.001)
    assert watch.due()
    other.execute("UPDATE workflow_status SET status = 'ENQUEUED'")
    watch.due()
    now += 60
    assert not watch.due()
    watch.close()


def test_only_a_sqlite_file_has_a_path() -> None:
    assert sqlite_path("sqlite:////srv/builds.sqlite") == Path("/srv/builds.sqlite")
    assert sqlite_path("sqlite://") is None
    assert sqlite_path("postgresql+psycopg://somebody@db/x") is None


def test_the_sweeper_rests_until_the_file_changes_and_not_while_runs_are_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(make_engine(f"sqlite:///{tmp_path / 'builds.sqlite'}"))
    store.create()
    active: set[str] = set()
    ours = sweeper.Sweeper(store, "sqlite", active, works=True, retention_s=1.0)
    sweeps: list[float] = []
    monkeypatch.setattr(ours, "_sweep", lambda: sweeps.append(0))

    def swept(times: int) -> int:
        sweeps.clear()
        for _ in range(times):
            ours._sweep_if_due()
        return len(sweeps)

    assert swept(10) == sweeper.SWEEPS
    store.heartbeat("sqlite", "2")
    assert swept(10) == sweeper.SWEEPS
    active.add("build-1")
    store.heartbeat("sqlite", "2")
    assert swept(10) == 10
    active.clear()
    assert swept(10) == 1
    monkeypatch.setattr(ours, "_quiet_s", 0.0)
    assert swept(2) == 2
