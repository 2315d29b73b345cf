"""DBOS' private API is as this service uses it. A new release that changes it fails here first."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, _dbos, _sys_db

from service.builds import dbos_private

ROOT = Path(__file__).parents[2]


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[None]:
    config: DBOSConfig = {
        "name": "private",
        "system_database_url": f"sqlite:///{tmp_path / 'dbos.sqlite'}",
        "enable_otlp": False,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)


def test_the_private_functions_have_the_known_parameters() -> None:
    assert list(inspect.signature(_dbos._get_dbos_instance).parameters) == []
    requeue = inspect.signature(_sys_db.SystemDatabase.reenqueue_for_recovery)
    assert list(requeue.parameters) == ["self", "workflow_id", "executor_ids", "recovery_queue_name"]


@pytest.mark.usefixtures("launched")
def test_running_workflows_are_listed_and_polling_ends() -> None:
    """A workflow is listed while it runs. After `stop_polling` no thread of DBOS looks for work."""
    inside, go = threading.Event(), threading.Event()

    @DBOS.workflow(name="waits")
    def waits() -> None:
        inside.set()
        go.wait(60)

    handle = DBOS.start_workflow(waits)
    assert inside.wait(60)
    assert dbos_private.running() == [handle.workflow_id]
    go.set()
    handle.get_result()
    dbos_private.stop_polling()
    instance = _dbos._get_dbos_instance()
    assert instance.background_thread_stop_events
    assert all(event.is_set() for event in instance.background_thread_stop_events)


@pytest.mark.usefixtures("launched")
def test_a_run_that_is_not_pending_there_is_not_put_back() -> None:
    assert dbos_private.requeue("no-such-run", "nobody", "builds") is False


def test_without_polling_work_begins_when_it_is_due_and_nothing_is_asked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting queues send no statement to the database until `due` says so. Then both runs begin, one is delayed."""
    url = f"sqlite:///{tmp_path / 'dbos.sqlite'}"
    config: DBOSConfig = {"name": "private", "system_database_url": url, "enable_otlp": False, "log_level": "WARNING"}
    DBOS(config=config)
    done: list[str] = []

    @DBOS.workflow(name="notes")
    def notes(text: str) -> None:
        done.append(text)

    due = threading.Event()
    asked: list[float] = []
    waits: list[dbos_private.LookSignal] = []
    wait = dbos_private.LookSignal.wait

    def counted(signal: dbos_private.LookSignal, timeout: float | None = None) -> bool:
        waits.append(signal)
        return wait(signal, timeout)

    monkeypatch.setattr(dbos_private.LookSignal, "wait", counted)
    DBOS.migrate(url)
    client = DBOSClient(system_database_url=url, application_name="private")
    client.register_queue("notes", polling_interval_sec=0.01)
    client.destroy()
    with dbos_private.without_polling(lambda: asked.append(0) or due.is_set(), 0.01):
        DBOS.launch()
    try:
        assert {_dbos.queue_thread.__module__, _dbos.background_jobs_thread.__module__} == {
            "dbos._queue",
            "dbos._workflow_commands",
        }
        for name, delay in (("a", {}), ("b", {"delay_seconds": 0.05})):
            DBOS.enqueue_workflow_with_options(
                {"workflow_name": "notes", "queue_name": "notes", "workflow_id": name, **delay}, name
            )
        while len(waits) < 2:  # "notes" and the internal one: each is read once before the first wait
            time.sleep(0.01)
        statements: list[str] = []
        engine = _dbos._get_dbos_instance()._sys_db.engine
        sa.event.listen(engine, "before_cursor_execute", lambda *values: statements.append(values[2]))
        asked.clear()
        while len(asked) < 20:
            time.sleep(0.01)
        assert (statements, done) == ([], [])
        due.set()
        ends = time.monotonic() + 60
        while len(done) < 2 and time.monotonic() < ends:
            time.sleep(0.01)
        assert sorted(done) == ["a", "b"]
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)


def test_private_names_of_dbos_are_used_in_one_file() -> None:
    users = {
        path.name
        for path in (ROOT / "service").rglob("*.py")
        if "dbos._" in (text := path.read_text(encoding="utf-8")) or "_sys_db" in text
    }
    assert users == {"dbos_private.py"}


def test_the_next_major_version_of_dbos_is_excluded() -> None:
    assert '"dbos>=3.4,<4"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert version("dbos").startswith("3.")
