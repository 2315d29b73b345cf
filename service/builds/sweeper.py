"""Who picks up what was dropped: heartbeats, dead workers' builds, strandings, dead letters, retention.

What comes in: the store, this worker's name, and a launched DBOS. What goes out: builds that go on. It does not know
what a build does. DBOS itself only recovers what its own executor had begun, at launch (docs: production/
workflow-recovery); the rest of a cluster's recovery is this file. All its changes are single statements that state
what they expect, so two sweepers, or a worker that comes back while it is being buried, do no harm.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from dbos import DBOS, WorkflowStatus
from dbos._dbos import _get_dbos_instance

from service.builds import workflow
from service.builds.database import unavailable_reason
from service.builds.delivery import give_up
from service.builds.store import OPEN, Store

log = logging.getLogger("sameboat.builds")

BEAT_S = 5.0
SILENT_S = 45.0  # a worker not seen for so long is dead; with the beat its builds go on within 60 s
RETENTION_EVERY_S = 3600.0
UNSTARTED_S = 2.0  # a brief that is older and not enqueued has lost whoever was about to enqueue it
LOCK_KEY = int.from_bytes(hashlib.sha256(b"sameboat sweeper").digest()[:8], "big", signed=True)
DELIVER = "-deliver-"
KILLER = f"Whatever worked on this build died, {workflow.MAX_RUNS} times; it is given up."


class Sweeper:
    """Threads of one process. `active` holds the ids of the runs that live in it."""

    def __init__(self, store: Store, worker: str, active: set[str], *, works: bool, retention_s: float) -> None:
        self.store = store
        self.worker = worker
        self.active = active
        self.works = works
        self.retention_s = retention_s
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._interrupted: set[str] = set()
        self._trusted_from = time.monotonic()

    def start(self) -> None:
        """Say that this worker lives, take up what was dropped, and go on doing both."""
        self._heartbeat()
        self._sweep()
        jobs: list[tuple[str, float, Callable[[], None]]] = [("beat", BEAT_S, self._heartbeat)]
        if self.works:
            jobs += [("sweeper", BEAT_S, self._sweep), ("retention", RETENTION_EVERY_S, self._apply_retention)]
        for name, every_s, work in jobs:
            thread = threading.Thread(
                target=self._repeat, args=(name, every_s, work), name=f"builds-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop looking. The last heartbeat is still believed for a while."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(5.0)

    def sign_off(self) -> None:
        """When nothing runs here any more, say so, so that others need not wait until it is believed."""
        if self.active or not self.store.postgres:
            return
        try:
            self.store.remove_worker(self.worker)
        except sa.exc.SQLAlchemyError as error:
            log.warning(
                "could not say good-bye (%s); the builds here go on in %s s",
                unavailable_reason(error) or error,
                SILENT_S,
            )

    def _repeat(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        """Do it every so often until the end; a failure is logged and tried again, for databases come back."""
        while not self._stopping.wait(every_s):
            try:
                work()
            except Exception as error:
                if what := unavailable_reason(error):
                    log.warning("the builds' %s must wait: %s", name, what)
                else:
                    log.exception("the builds' %s failed; it is tried again in %s s", name, every_s)

    def _heartbeat(self) -> None:
        try:
            self.store.heartbeat(self.worker, workflow.VERSION)
        except Exception:
            # While the database was away nobody could be seen alive; believe nobody dead until everyone had time.
            self._trusted_from = time.monotonic() + SILENT_S
            raise

    # What was dropped

    def _sweep(self) -> None:
        self._enqueue_missing()
        if not self.works:
            return
        self._recover_interrupted()
        self._dead_letters()
        with self.store.try_advisory_lock(LOCK_KEY) as alone:
            if alone:
                self._recover_from_dead_workers()
                self._restart_other_versions()

    def _enqueue_missing(self) -> None:
        """Briefs that were stored but, for a crash or an outage, not enqueued."""
        for row in self.store.not_enqueued(before_s=time.time() - UNSTARTED_S):
            self.enqueue(row["id"], row["repository"])

    def enqueue(self, build: str, repository: str) -> None:
        """Have a stored brief built, behind those of its repository that came before it: they are enqueued first."""
        for row in self.store.in_arrival_order(repository, until=build):
            if not row["enqueued"] and row["status"] in OPEN:
                if row["retried"]:
                    workflow.forget_finished(row["id"])
                workflow.enqueue(row["id"], repository, row["place"])
                self.store.update(row["id"], enqueued=True)

    def _recover_interrupted(self) -> None:
        """Runs that are ours and are not running: they were interrupted by an outage. Seen twice, they go on."""
        ours = DBOS.list_workflows(status="PENDING", executor_id=self.worker, load_input=False, load_output=False)
        lost = {each.workflow_id for each in ours} - self.active
        for each in lost & self._interrupted:
            log.warning("%s was interrupted; it goes on", each)
            self._requeue(each, self.worker)
        self._interrupted = lost - self._interrupted

    def _recover_from_dead_workers(self) -> None:
        """Runs of workers that are silent go on elsewhere."""
        if not self.store.postgres or time.monotonic() < self._trusted_from:
            return
        alive = {worker for worker, _ in self.store.live_workers(SILENT_S)}
        running = DBOS.list_workflows(
            status="PENDING", app_version=workflow.VERSION, load_input=False, load_output=False
        )
        for each in running:
            if each.executor_id is not None and each.executor_id not in alive:
                log.warning("worker %s is silent; %s goes on elsewhere", each.executor_id, each.workflow_id)
                self._requeue(each.workflow_id, each.executor_id)

    @staticmethod
    def _requeue(run: str, executor: str) -> None:
        """Back into its queue, if it is still pending at that executor: one statement decides, so it happens once.

        DBOS's own recovery uses this call. Its public `resume_workflow` would do so unconditionally, which takes a run
        away from a worker that just came back, and forgets how often it has been tried.
        """
        queue = workflow.DELIVERIES if DELIVER in run else workflow.BUILDS
        _get_dbos_instance()._sys_db.reenqueue_for_recovery(run, [executor], queue)

    def _dead_letters(self) -> None:
        """Runs that were tried too often: each time, whatever worked on them died."""
        given_up = DBOS.list_workflows(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", load_input=False, load_output=False)
        for each in given_up:
            build, _, series = each.workflow_id.partition(DELIVER)
            row = self.store.build(build)
            owed = row is not None and row["delivery"] == "pending"
            if series:
                if owed:
                    give_up(self.store, build, f"whatever worked on it died, {workflow.MAX_RUNS} times")
            elif owed:  # it was done, and died before its callback was enqueued
                workflow.deliver_later(build, "1", 0.0)
            elif self.store.transition(
                build, "failed", expected=(*OPEN, "cancelling"), outcome={"error": KILLER}, finished_s=time.time()
            ):
                self.store.event(build, "failed", KILLER)

    def _restart_other_versions(self) -> None:
        """Runs begun by another version of the steps, when no worker of that version lives: they begin again here.

        Their records mean something else than ours, so none is used. What they pushed is found by looking first.
        """
        living = {version for _, version in self.store.live_workers(SILENT_S)}
        known = {each["version_name"] for each in DBOS.list_application_versions()}
        for version in sorted(known - living - {workflow.VERSION}):
            for each in DBOS.list_workflows(status=list(workflow.WAITING), app_version=version, load_output=False):
                log.warning(
                    "%s was begun by version %s, which no worker has; it begins again", each.workflow_id, version
                )
                self._restart(each, version)

    def _restart(self, run: WorkflowStatus, version: str) -> None:
        build, _, series = run.workflow_id.partition(DELIVER)
        DBOS.delete_workflow(run.workflow_id)
        if series:
            first = run.input["args"][1] if run.input is not None else 1
            workflow.deliver_later(build, series, 0.0, first)
            return
        row = self.store.build(build)
        if row is None:
            return
        done = row["status"] == "done"  # only its callback had not begun
        said = f"Version {version} of the steps is gone; the {'callback' if done else 'build'} begins again."
        self.store.event(build, "stranded", said)
        if done:
            workflow.deliver_later(build, "1", 0.0)
        else:
            self.store.update(build, enqueued=False)
            self.enqueue(build, row["repository"])

    # What is over

    def _apply_retention(self) -> None:
        """Delete what is older than the retention, here and in DBOS's own tables."""
        for build in self.store.delete_finished(time.time() - self.retention_s):
            for status in DBOS.list_workflows(workflow_id_prefix=build, load_input=False, load_output=False):
                DBOS.delete_workflow(status.workflow_id)
