"""Killed anywhere, a build goes on from there: real processes, SIGKILL in and after every step, on both databases."""

from __future__ import annotations

from pathlib import Path

from tests.builds.harness import SECRET, brief, finished, until
from tests.builds.processes import Service, commits, reached, sent, service
from tests.servers.evaluator import evaluator

STEPS = ("begin", "repository", "checks", "make", "verify", "go on 1", "scan", "push", "publish", "live", "finish",
         "callback 1", "wait 1")  # fmt: skip
# Within steps: the repository made and not filled, answers kept, the branch moved, the site switched, the POST sent.
EFFECTS = ("stored:after", "enqueued:before", "enqueued:after", "init:before", "init:after", "kept:after", "ref:before",
           "ref:after", "published:before", "published:after", "post:before", "post:after")  # fmt: skip
EVERYWHERE = [*(f"{name}:{when}" for name in STEPS for when in ("inside", "after")), *EFFECTS]


def test_killed_inside_and_after_every_step_and_effect_a_build_ends_once(
    tmp_path: Path, database: dict[str, str]
) -> None:
    """Failure 1. One build, a death at each point: one repository, one commit, one site.

    A callback whose answer was heard but not recorded is sent again, with the same id: nobody can do better, and the
    receiver can tell. The same holds for the model: what it answered is asked again only when it was not recorded.
    """
    state = tmp_path / "state"
    with evaluator() as judge, service(state, ",".join(EVERYWHERE), TEST_BROWSER="1", **database) as process:
        build = sent(process, brief(judge.url))
        names = {point.replace(" ", "-").replace(":", "-") for point in EVERYWHERE}
        until(lambda: names <= reached(state), 300)
        with process.client() as client:
            until(process.alive)
            shown = finished(client, build)
        assert shown["status"] == "done", process.said()[-3000:]
        assert shown["delivery"] == "delivered"
        assert [len(each) for each in commits(state)] == [1]
        assert {each.headers["webhook-id"] for each in judge.heard} == {shown["public_id"]}
        assert len({each.raw for each in judge.heard}) == 1
        # post:after and callback 1:inside each killed between the evaluator's hearing and the record of it
        assert len(judge.heard) == 3
        assert SECRET not in process.said()


def test_a_second_process_on_the_same_sqlite_is_refused_in_words(tmp_path: Path) -> None:
    """Failure 11. Two processes on one file would run the same step twice; the second does not start, and says why."""
    state = tmp_path / "state"
    with service(state):
        second = Service(state)
        second.start()
        assert second.dead()
        assert "already runs builds in" in second.said()
        assert "DATABASE_URL" in second.said()
