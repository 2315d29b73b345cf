"""A build that is killed anywhere goes on from there. Real processes get SIGKILL in and after every step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.builds import locks
from service.errors import BuildError
from tests.builds.harness import SECRET, brief, finished, until
from tests.builds.processes import Service, commits, reached, sent, service
from tests.servers.evaluator import evaluator

STEPS = ("begin", "repository", "checks", "make", "verify", "go on 1", "scan", "push", "publish", "live", "finish",
         "callback 1", "wait 1")  # fmt: skip
# Within steps: the repository made and not filled, answers kept, the branch moved, the site switched, the POST sent.
EFFECTS = ("stored:after", "enqueued:before", "enqueued:after", "init:before", "init:after", "kept:after", "ref:before",
           "ref:after", "published:before", "published:after", "post:before", "post:after")  # fmt: skip
EVERYWHERE = [*(f"{name}:{when}" for name in STEPS for when in ("inside", "after")), *EFFECTS]


# The steps with an effect that others see: a push, a site and a callback.
PUSHED = ["push:inside", "push:after", "ref:after"]
PUBLISHED = ["publish:inside", "publish:after"]
# Each of two kills between the receipt of a callback and its record repeats the callback.
REPORTED, CALLBACKS = ["post:after", "callback 1:inside", "callback 1:after"], 3


def ends_once(folder: Path, points: list[str], callbacks: int, **environment: str) -> None:
    """Failure 1. One build, a death at each point: one repository, one commit, one site.

    The service sends a callback again when it died between the answer and its record. The id is the same, so that the
    receiver sees the repetition. In the same way it asks the model again only when no answer was recorded.
    """
    state = folder / "state"
    with evaluator() as judge, service(state, ",".join(points), **environment) as process:
        build = sent(process, brief(judge.url))
        names = {point.replace(" ", "-").replace(":", "-") for point in points}
        until(lambda: names <= reached(state), 300)
        with process.client() as client:
            until(process.alive)
            status = finished(client, build)
        assert status["status"] == "done", process.said()[-3000:]
        assert status["delivery"] == "delivered"
        assert [len(history) for history in commits(state)] == [1]
        assert {callback.headers["webhook-id"] for callback in judge.heard} == {status["public_id"]}
        assert len({callback.raw for callback in judge.heard}) == 1
        assert len(judge.heard) == callbacks
        assert SECRET not in process.said()


@pytest.mark.parametrize(
    ("points", "callbacks"), [(PUSHED, 1), (PUBLISHED, 1), (REPORTED, CALLBACKS)], ids=["push", "site", "callback"]
)
def test_killed_where_others_see_an_effect_a_build_ends_once(tmp_path: Path, points: list[str], callbacks: int) -> None:
    ends_once(tmp_path, points, callbacks)


def test_killed_inside_and_after_every_step_and_effect_a_build_ends_once(
    tmp_path: Path, database: dict[str, str]
) -> None:
    ends_once(tmp_path, EVERYWHERE, CALLBACKS, TEST_BROWSER="1", **database)


def test_the_lock_of_a_sqlite_file_is_refused_in_words(tmp_path: Path) -> None:
    """Failure 11. Two processes on one file would run the same step twice."""
    handle = locks.take(tmp_path / "builds.lock")
    with pytest.raises(BuildError, match=f"pid {os.getpid()}.*already runs builds in") as refusal:
        locks.take(tmp_path / "builds.lock")
    assert "DATABASE_URL" in str(refusal.value)
    os.close(handle)
    os.close(locks.take(tmp_path / "builds.lock"))


def test_a_second_process_on_the_same_sqlite_does_not_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with service(state):
        second = Service(state)
        second.start()
        assert second.dead()
        assert "already runs builds in" in second.said()
