"""The two queues of DBOS: builds, and deliveries of their callbacks.

In: stored builds. Out: runs in the queues, in the order of the briefs' arrival. Not here: the work of a run
(`workflow`), runs that were dropped (`sweeper`).
"""

from __future__ import annotations

from dbos import DBOS, DBOSClient, EnqueueOptions

from service.builds.store import Store

VERSION = "4"
"""The version of the steps. Raise it when their order or meaning changes. Builds of other versions begin again."""
APPLICATION = "sameboat"  # by which DBOS tells applications on one database apart
BUILDS = "builds"
DELIVERIES = "deliveries"
WAITING = ("PENDING", "ENQUEUED", "DELAYED")
"""DBOS' names for a run that is not over."""
MAX_RUNS = 50  # after so many, a build that kills its worker is given up
DELIVERIES_AT_A_TIME = 64  # of one worker
POLL_S = 0.5
"""Between looks for work on Postgres, each about 4 ms of CPU. On SQLite: between questions whether the file changed."""


def register(url: str, builds_at_a_time: int) -> None:
    """Make the queues. Call it before DBOS is launched: after that DBOS looks for new queues only once a second.

    The queues are rows that all workers share. If workers have different settings, the last one that starts decides for
    all of them. A process with ROLE=api does not register queues.
    """
    DBOS.migrate(url)
    client = DBOSClient(system_database_url=url, application_name=APPLICATION)
    try:
        client.register_queue(
            BUILDS,
            worker_concurrency=builds_at_a_time,
            partition_concurrency=1,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )
        client.register_queue(
            DELIVERIES,
            worker_concurrency=DELIVERIES_AT_A_TIME,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )
    finally:
        client.destroy()


def enqueue(store: Store, build: str, repository: str) -> None:
    """Enqueue a stored build, after earlier builds of its repository that are stored and not enqueued yet."""
    for earlier, place, retried in store.in_arrival_order(repository, until=build):
        if not earlier.enqueued and earlier.active:
            if retried:
                forget_finished(earlier.id)
            enqueue_run(earlier.id, repository, place)
            store.update(earlier.id, enqueued=True)


def enqueue_run(build: str, repository: str, place: int) -> None:
    """Enqueue the run of a build. A run that exists already stays as it is.

    `place` is the build's place among those of its repository, by arrival. DBOS takes the smallest first. DBOS' own
    time stamps are whole seconds on SQLite, and it would break ties by the id.
    """
    options: EnqueueOptions = {
        "workflow_name": "build",
        "queue_name": BUILDS,
        "workflow_id": build,
        "app_version": VERSION,
        "queue_partition_key": repository,  # the rounds of a task never overlap
        "priority": place,
    }
    DBOS.enqueue_workflow_with_options(options, build)


def forget_finished(build: str) -> None:
    """Delete the build's run if it is over, so that its id is free for another one."""
    run = DBOS.get_workflow_status(build)
    if run is not None and run.status not in WAITING:
        DBOS.delete_workflow(build)


def deliver_later(build: str, series: str, delay_s: float, first: int = 1) -> None:
    """Enqueue a delivery, whose first attempt has the number `first`. A series that exists already stays as it is."""
    options: EnqueueOptions = {
        "workflow_name": "deliver",
        "queue_name": DELIVERIES,
        "workflow_id": f"{build}-deliver-{series}",
        "app_version": VERSION,
    }
    if delay_s > 0:
        options["delay_seconds"] = delay_s
    DBOS.enqueue_workflow_with_options(options, build, first)
