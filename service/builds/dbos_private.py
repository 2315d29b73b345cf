"""All uses of DBOS' private API, for which its public API has no equivalent.

In: the DBOS instance of this process. Out: its running workflows, its looks for work, a run back in its queue.
Not here: when to look (`work_watch`).

`pyproject.toml` pins DBOS below its next major version, and `tests/builds/test_dbos_private.py` fails when one of these
names is gone or has other parameters.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from dbos import _dbos
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread
from dbos._sys_db import SystemDatabase
from dbos._sys_db_postgres import PostgresSystemDatabase

JOIN_S = 10.0  # for a look that is under way, as DBOS itself allows


class LookSignal(threading.Event):
    """The stop event of the thread of one queue. DBOS waits on it between two looks, and `look` ends that wait."""

    def __init__(self) -> None:
        super().__init__()
        self._due = threading.Event()

    def look(self) -> None:
        """Look for work now, or directly after the look that is under way."""
        self._due.set()

    def set(self) -> None:
        """End the thread."""
        super().set()
        self._due.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for `look` or `set`, and not for the interval of the queue. Returns whether it is the end."""
        self._due.wait()
        self._due.clear()
        return self.is_set()


@contextlib.contextmanager
def without_polling(due: Callable[[], bool], every_s: float) -> Iterator[None]:
    """Launch DBOS in this block, and it looks for work only when `due` says so. It is asked every `every_s` seconds.

    By itself DBOS has five threads that ask the database twice to ten times a second, and on Postgres one that wakes
    a hundred times a second. The others serve messages, events, schedules and time limits of workflows, and builds use
    none of them.
    """

    def nothing(*_: Any) -> None:
        """No thread is needed."""

    def look(stop: threading.Event, _: Any) -> None:
        _look_when_due(stop, due, every_s)

    replacements: list[tuple[Any, str, Callable[..., None]]] = [
        (_dbos, "queue_thread", look),
        (_dbos, "background_jobs_thread", nothing),
        (_dbos, "dynamic_scheduler_loop", nothing),
        (SystemDatabase, "run_notification_listener", nothing),
        (PostgresSystemDatabase, "run_notifier", nothing),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    try:
        for owner, name, replacement in replacements:
            setattr(owner, name, replacement)
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _look_when_due(stop: threading.Event, due: Callable[[], bool], every_s: float) -> None:
    instance = _get_dbos_instance()
    database = instance._sys_db
    named = instance._listening_queues  # None: all of them
    stored = database.list_queues(application_name=database.app_name)
    queues = [queue for queue in stored if named is None or queue.name in named]
    queues.append(instance._registry.get_internal_queue())
    threads: list[tuple[LookSignal, threading.Thread]] = []
    for queue in queues:
        signal = LookSignal()
        thread = threading.Thread(
            target=queue_worker_thread, args=(signal, instance, queue), name=f"queue-{queue.name}", daemon=True
        )
        thread.start()
        threads.append((signal, thread))
    while not stop.wait(every_s):
        if due():
            try:
                database.transition_delayed_workflows()
            except Exception as error:  # noqa: BLE001  (as DBOS' own thread: it is tried again after the next look)
                instance.logger.warning(f"Delayed runs are not enqueued yet: {type(error).__name__}.")
            for signal, _ in threads:
                signal.look()
    for signal, _ in threads:
        signal.set()
    for _, thread in threads:
        thread.join(JOIN_S)


def stop_polling() -> None:
    """Stop the threads that look for work. `DBOS.destroy` would stop them only after a wait of a second."""
    for polling in _get_dbos_instance().background_thread_stop_events:
        polling.set()


def running() -> list[str]:
    """The ids of the workflows that run in this process."""
    return list(_get_dbos_instance()._active_workflows_set.activeList())


def requeue(workflow_id: str, executor: str, queue: str) -> bool:
    """Put a run back into its queue if it is pending at that executor. Returns whether it was.

    One statement decides, so of several callers one succeeds. DBOS' own recovery uses this call. Its public
    `resume_workflow` has no condition. It would take a run from a worker that just came back, and would forget how
    often the run was tried.
    """
    return bool(_get_dbos_instance()._sys_db.reenqueue_for_recovery(workflow_id, [executor], queue))
