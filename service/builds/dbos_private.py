"""All uses of DBOS' private API, for which its public API has no equivalent.

In: the DBOS instance of this process. Out: its running workflows, its polling stopped, a run back in its queue.
`pyproject.toml` pins DBOS below its next major version, and `tests/builds/test_dbos_private.py` fails when one of these
names is gone or has other parameters.
"""

from __future__ import annotations

from dbos._dbos import _get_dbos_instance


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
