"""Takes up builds that were dropped: by a crash, a dead worker, an outage, another version. Deletes old builds.

In: the store, this worker's name, a launched DBOS. Out: builds that continue. Not here: the steps of a build (`steps`).

DBOS recovers only runs that its own executor began, and only at its launch (DBOS docs: production/workflow-recovery).
The rest of a cluster's recovery is here. Each change is one statement that names the state it expects. So several
sweepers may run, and a worker that was wrongly declared dead does no harm.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from dbos import DBOS, WorkflowStatus

from service.builds import dbos_private, queues
from service.builds.build import ACTIVE
from service.builds.database import sqlite_path, unavailable_reason
from service.builds.delivery import give_up
from service.builds.store import Store
from service.builds.work_notifications import PostgresChanges
from service.builds.work_watch import Changes, FileChanges

log = logging.getLogger("sameboat.builds")

BEAT_S = 5.0
SILENT_S = 45.0  # a worker without a heartbeat for so long is dead. Its builds go on within 60 s
SWEEPS = 3  # after a change. The first may come too early to see a run that was interrupted
QUIET_S = 300.0  # between sweeps of a SQLite file that does not change and has nothing pending
QUIET_POSTGRES_S = 15.0  # the same on Postgres, whose other workers may die at any time
RETENTION_EVERY_S = 3600.0
UNSTARTED_S = 2.0  # an older brief that is not enqueued was lost by the process that received it
LOCK_KEY = int.from_bytes(hashlib.sha256(b"sameboat sweeper").digest()[:8], "big", signed=True)
DELIVER = "-deliver-"
GIVEN_UP = f"Whatever worked on this build died, {queues.MAX_RUNS} times; it is given up."


class Sweeper:
    """Threads of one process. `active` holds the ids of the runs that live in it.

    A SQLite file has one process. It needs a sweep only after a change, and no heartbeat after the first.
    """

    def __init__(self, store: Store, worker: str, active: set[str], *, works: bool, retention_s: float) -> None:
        self.store = store
        self.worker = worker
        self.active = active
        self.works = works
        self.retention_s = retention_s
        file = sqlite_path(store.engine.url)
        self._changes: Changes = FileChanges(file) if file is not None else PostgresChanges(store.engine.url)
        self._quiet_s = QUIET_S if file is not None else QUIET_POSTGRES_S
        self._sweeps = SWEEPS
        self._swept = time.monotonic()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._interrupted: set[str] = set()
        self._trusted_from = time.monotonic()

    def start(self) -> None:
        """Record a heartbeat, take up dropped builds, and repeat both in threads."""
        self._heartbeat()
        self._sweep()
        jobs: list[tuple[str, float, Callable[[], None]]] = []
        if self.store.postgres:
            jobs += [("heartbeat", BEAT_S, self._heartbeat)]
        if self.works:
            jobs += [("sweeper", BEAT_S, self._sweep_if_due), ("retention", RETENTION_EVERY_S, self._apply_retention)]
        for name, every_s, work in jobs:
            thread = threading.Thread(
                target=self._repeat, args=(name, every_s, work), name=f"builds-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads. The last heartbeat is still believed for SILENT_S."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(5.0)

    def sign_off(self) -> None:
        """If nothing runs here any more, remove this worker's heartbeat, so that others need not wait for SILENT_S."""
        if self.active or not self.store.postgres:
            return
        try:
            self.store.remove_worker(self.worker)
        except sa.exc.SQLAlchemyError as error:
            reason = unavailable_reason(error) or error
            log.warning("this worker could not sign off (%s); its builds go on in %s s", reason, SILENT_S)

    def _repeat(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        """Work every so often until the end. A failure is logged and tried again, because databases come back."""
        while not self._stopping.wait(every_s):
            try:
                work()
            except Exception as error:
                if reason := unavailable_reason(error):
                    log.warning("the builds' %s must wait: %s", name, reason)
                else:
                    log.exception("the builds' %s failed; it is tried again in %s s", name, every_s)

    def _heartbeat(self) -> None:
        try:
            self.store.heartbeat(self.worker, queues.VERSION)
        except Exception:
            # During an outage no worker could record a heartbeat. Declare none dead until all had time for one.
            self._trusted_from = time.monotonic() + SILENT_S
            raise

    # Dropped builds

    def _sweep_if_due(self) -> None:
        """Sweep, unless nothing happened since the last sweeps, and they left nothing."""
        if self._changes.seen():
            self._sweeps = SWEEPS
        elif not self._sweeps and time.monotonic() - self._swept < self._quiet_s:
            return
        self._sweep()
        self._swept = time.monotonic()
        self._sweeps = max(self._sweeps - 1, 1 if self.active or self._interrupted else 0)

    def _sweep(self) -> None:
        self._enqueue_missing()
        if not self.works:
            return
        self._recover_interrupted()
        self._end_given_up()
        with self.store.try_advisory_lock(LOCK_KEY) as locked:
            if locked:
                self._recover_from_dead_workers()
                self._restart_other_versions()

    def _enqueue_missing(self) -> None:
        """Enqueue briefs that were stored and, after a crash or during an outage, not enqueued."""
        for build in self.store.not_enqueued(before_s=time.time() - UNSTARTED_S):
            queues.enqueue(self.store, build.id, build.repository)

    def _recover_interrupted(self) -> None:
        """Continue runs that are pending here and do not run, because an outage interrupted them.

        A run must be seen so twice, because a run that was just taken from its queue looks the same.
        """
        pending = DBOS.list_workflows(status="PENDING", executor_id=self.worker, load_input=False, load_output=False)
        idle = {run.workflow_id for run in pending} - self.active
        for run_id in idle & self._interrupted:
            log.warning("%s was interrupted; it goes on", run_id)
            self._requeue(run_id, self.worker)
        self._interrupted = idle - self._interrupted

    def _recover_from_dead_workers(self) -> None:
        """Runs of workers that are silent continue at other workers."""
        if not self.store.postgres or time.monotonic() < self._trusted_from:
            return
        alive = {worker for worker, _ in self.store.live_workers(SILENT_S)}
        pending = DBOS.list_workflows(status="PENDING", app_version=queues.VERSION, load_input=False, load_output=False)
        for run in pending:
            if run.executor_id is not None and run.executor_id not in alive:
                log.warning("worker %s is silent; %s goes on elsewhere", run.executor_id, run.workflow_id)
                self._requeue(run.workflow_id, run.executor_id)

    @staticmethod
    def _requeue(run_id: str, executor: str) -> None:
        dbos_private.requeue(run_id, executor, queues.DELIVERIES if DELIVER in run_id else queues.BUILDS)

    def _end_given_up(self) -> None:
        """End the builds of runs that were tried too often. Each time, the worker died."""
        given_up = DBOS.list_workflows(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", load_input=False, load_output=False)
        for run in given_up:
            build_id, _, series = run.workflow_id.partition(DELIVER)
            build = self.store.build(build_id)
            owed = build is not None and build.delivery == "pending"
            if series:
                if owed:
                    give_up(self.store, build_id, f"whatever worked on it died, {queues.MAX_RUNS} times")
            elif owed:  # it was done, and its worker died before the callback was enqueued
                queues.deliver_later(build_id, "1", 0.0)
            else:
                ended = {"outcome": {"error": GIVEN_UP}, "finished_s": time.time()}
                expected = (*ACTIVE, "cancelling")
                self.store.transition(build_id, "failed", expected=expected, event=("failed", GIVEN_UP), **ended)

    def _restart_other_versions(self) -> None:
        """Runs of another version of the steps begin again here if no worker of that version lives.

        Their records have another meaning, so none is used. A restarted build looks first, and so finds its commit.
        """
        living = {version for _, version in self.store.live_workers(SILENT_S)}
        known = {version["version_name"] for version in DBOS.list_application_versions()}
        for version in sorted(known - living - {queues.VERSION}):
            for run in DBOS.list_workflows(status=list(queues.WAITING), app_version=version, load_output=False):
                log.warning(
                    "%s was begun by version %s, which no worker has; it begins again", run.workflow_id, version
                )
                self._restart(run, version)

    def _restart(self, run: WorkflowStatus, version: str) -> None:
        build_id, _, series = run.workflow_id.partition(DELIVER)
        DBOS.delete_workflow(run.workflow_id)
        if series:
            first = run.input["args"][1] if run.input is not None else 1
            queues.deliver_later(build_id, series, 0.0, first)
            return
        build = self.store.build(build_id)
        if build is None:
            return
        done = build.status == "done"  # only its callback had not begun
        text = f"Version {version} of the steps is gone; the {'callback' if done else 'build'} begins again."
        self.store.event(build_id, "stranded", text)
        if done:
            queues.deliver_later(build_id, "1", 0.0)
        else:
            self.store.update(build_id, enqueued=False)
            queues.enqueue(self.store, build_id, build.repository)

    # Retention

    def _apply_retention(self) -> None:
        """Delete finished builds that are older than the retention, here and in DBOS' own tables."""
        for build_id in self.store.delete_finished(time.time() - self.retention_s):
            for run in DBOS.list_workflows(workflow_id_prefix=build_id, load_input=False, load_output=False):
                DBOS.delete_workflow(run.workflow_id)
