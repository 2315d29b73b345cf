"""Failure 11: workers that die, stall or are replaced, a database that goes away, a full disk.

Real processes on a real Postgres: one that answers (`ROLE=api`), and workers (`ROLE=worker`) that only build.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.builds.harness import brief, finished, planner, posted, serving, settings_for, until
from tests.builds.processes import Service, asked, commits, reached, service
from tests.servers.evaluator import evaluator
from tests.servers.postgres import Postgres

SOON = {"TEST_SILENT_S": "3"}  # 45 s in a service


@contextlib.contextmanager
def cluster(state: Path, server: Postgres) -> Iterator[tuple[Service, dict[str, str]]]:
    """The answering process, and the environment of workers for it."""
    common = {"DATABASE_URL": server.database(), **SOON}
    with service(state, ROLE="api", **common) as front:
        yield front, {"ROLE": "worker", **common}


def briefs(judge_url: str, count: int) -> list[dict[str, Any]]:
    return [brief(judge_url, task=f"task-{number}", nonce=f"nonce-{number}") for number in range(count)]


def all_finished(front: Service, builds: list[str]) -> list[dict[str, Any]]:
    with front.client() as client:
        return [finished(client, build) for build in builds]


def test_a_dead_workers_build_is_picked_up_elsewhere_and_ends_once(tmp_path: Path, server: Postgres) -> None:
    """Killed after the push, never started again: another worker finds the commit, publishes it and calls back once."""
    state = tmp_path / "state"
    with evaluator() as judge, cluster(state, server) as (front, common):
        with (
            service(state, "push:inside?600", front=front, TEST_STAYS_DEAD="1", **common) as first,
            front.client() as client,
        ):
            build = posted(client, brief(judge.url))["job_id"]
            until(lambda: reached(state))
            with service(state, front=front, **common):
                first.signal(signal.SIGKILL)
                shown = finished(client, build)
        assert shown["status"] == "done"
        assert [len(history) for history in commits(state)] == [1]
        assert (len(judge.heard), asked(state)) == (1, 1)


def test_a_worker_that_was_only_stalled_does_no_harm_when_it_wakes(tmp_path: Path, server: Postgres) -> None:
    """Stopped until it is declared dead, then woken. Another worker has its build by then."""
    state = tmp_path / "state"
    with evaluator() as judge, cluster(state, server) as (front, common), front.client() as client:
        with service(state, "make:inside?1", front=front, **common) as first:
            build = posted(client, brief(judge.url))["job_id"]
            until(lambda: reached(state))
            first.signal(signal.SIGSTOP)
            with service(state, front=front, **common):
                shown = finished(client, build)
                first.signal(signal.SIGCONT)
                again = posted(client, brief(judge.url, nonce="ab12-2", task="another"))["job_id"]
                finished(client, again)
        assert shown["status"] == "done"
        assert shown == {**finished(client, build)}
        assert [len(history) for history in commits(state)] == [1, 1]
        assert len({each.headers["webhook-id"] for each in judge.heard}) == len(judge.heard) == 2


def test_two_workers_are_replaced_one_after_the_other_under_load(tmp_path: Path, server: Postgres) -> None:
    """A rolling deployment: every build ends as if nothing had happened, once, and none is worse for it."""
    state = tmp_path / "state"
    slow = {"TEST_ANSWER_S": "0.7"}
    with evaluator() as judge, cluster(state, server) as (front, common), front.client() as client:
        with contextlib.ExitStack() as running:
            workers = [running.enter_context(service(state, front=front, **common, **slow)) for _ in range(2)]
            builds = [posted(client, each)["job_id"] for each in briefs(judge.url, 12)]
            for old in workers:
                until(lambda: asked(state) > 1)
                old.end()
                running.enter_context(service(state, front=front, **common, **slow))
            shown = all_finished(front, builds)
        assert [each["status"] for each in shown] == ["done"] * 12
        assert [each["outcome"]["maker"] for each in shown] == ["plan"] * 12
        assert [len(history) for history in commits(state)] == [1] * 12
        assert sorted(each.headers["webhook-id"] for each in judge.heard) == sorted(each["public_id"] for each in shown)


def test_who_only_answers_does_not_decide_how_many_builds_a_worker_runs(tmp_path: Path, server: Postgres) -> None:
    """The number is one row for all workers. An api that starts after them, with the default, leaves it alone."""
    url = server.database()
    for role, number in (("worker", 5), ("api", 2)):
        with serving(settings_for(tmp_path, role=role, database_url=url, build_concurrency=number), planner()):
            query = "SELECT worker_concurrency FROM dbos.queues WHERE name = 'builds'"
            assert server.sql(query, url) == "5", role


def test_a_service_on_sqlite_is_replaced_under_load(tmp_path: Path) -> None:
    """Stopped in the middle of builds with SIGTERM and started again: they go on, once, and none is worse for it."""
    state = tmp_path / "state"
    with evaluator() as judge, service(state, TEST_ANSWER_S="0.7") as process:
        with process.client() as client:
            builds = [posted(client, each)["job_id"] for each in briefs(judge.url, 6)]
        until(lambda: asked(state) > 1)
        process.end()
        process.start()
        shown = all_finished(process, builds)
        assert [each["status"] for each in shown] == ["done"] * 6
        assert [each["outcome"]["maker"] for each in shown] == ["plan"] * 6
        assert [len(history) for history in commits(state)] == [1] * 6
        assert sorted(each.headers["webhook-id"] for each in judge.heard) == sorted(each["public_id"] for each in shown)


def test_a_build_of_a_version_that_is_gone_begins_again_and_says_so(tmp_path: Path, database: dict[str, str]) -> None:
    """An upgrade that changes the steps strands nothing: no record of the old version is used, no work is doubled."""
    state = tmp_path / "state"
    with evaluator() as judge:
        # One of the builds is about to be pushed then, and one is done and its callback not begun.
        points = "push:inside?600,finish:inside?600"
        with service(state, points, TEST_VERSION="0", TEST_STAYS_DEAD="1", **SOON, **database) as old:
            with old.client() as client:
                builds = [posted(client, each)["job_id"] for each in briefs(judge.url, 4)]
            until(lambda: len(reached(state)) == 2)
            old.signal(signal.SIGKILL)
            until(old.dead)
        with service(state, **SOON, **database) as new:
            shown = all_finished(new, builds)
            with new.client() as client:
                said = "".join(client.get(f"/builds/{build}/events").text for build in builds)
        assert [each["status"] for each in shown] == ["done"] * 4
        assert said.count("event: stranded") >= 1
        assert [len(history) for history in commits(state)] == [1] * 4
        assert sorted(each.headers["webhook-id"] for each in judge.heard) == sorted(each["public_id"] for each in shown)


def test_a_postgres_that_goes_away_for_ten_seconds(tmp_path: Path, server: Postgres) -> None:
    """The api says when to come again, the workers wait, and everything that was accepted ends once."""
    state = tmp_path / "state"
    with evaluator() as judge, cluster(state, server) as (front, common), front.client() as client:
        with service(state, "verify:inside?4,make:inside?2", front=front, TEST_ANSWER_S="0.5", **common):
            builds = [posted(client, each)["job_id"] for each in briefs(judge.url, 6)]
            until(lambda: reached(state))
            server.stop()
            try:
                late = brief(judge.url, nonce="late", task="late")
                refused = client.post("/api-endpoint", json=late)
                looked = client.get(f"/builds/{builds[0]}")
                assert client.get("/healthz").status_code == 200
                time.sleep(10)  # the outage itself
            finally:
                server.start()
            for answer in (refused, looked):
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) > 0
                assert "the database does not answer" in answer.json()["detail"]
            builds.append(until(lambda: accepted(client, late)))
            shown = all_finished(front, builds)
        assert [each["status"] for each in shown] == ["done"] * 7
        assert [len(history) for history in commits(state)] == [1] * 7
        assert {each.headers["webhook-id"] for each in judge.heard} == {each["public_id"] for each in shown}


def accepted(client: httpx.Client, body: dict[str, Any]) -> str | None:
    answer = client.post("/api-endpoint", json=body)
    return str(answer.json()["job_id"]) if answer.status_code == 200 else None


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A small file system, which a test can fill. Skips if this user may not mount one."""
    folder.mkdir(parents=True)
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        subprocess.run(
            [*rights, "mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder)],
            check=True,
            capture_output=True,
            timeout=30,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small file system")
    try:
        yield
    finally:
        subprocess.run([*rights, "umount", "-l", str(folder)], check=True, capture_output=True, timeout=30)


def test_a_full_disk_delays_builds_and_loses_none(tmp_path: Path) -> None:
    """The api refuses with a reason while the disk is full. When there is room again, accepted builds continue."""
    state = tmp_path / "disk"
    with small_disk(state, "16m"), evaluator() as judge:
        with service(state, "make:inside?3", **SOON) as process, process.client() as client:
            builds = [posted(client, each)["job_id"] for each in briefs(judge.url, 3)]
            until(lambda: reached(state))
            with contextlib.suppress(OSError), (state / "filler").open("wb", buffering=0) as filler:
                while filler.write(b"x" * 4096):
                    pass
            refused = until(lambda: refusal(client, judge.url))
            assert refused["detail"].startswith("Builds cannot be stored or read now: the disk is full")
            until(lambda: "is interrupted: the disk is full" in process.said())
            (state / "filler").unlink()
            shown = all_finished(process, builds)
        assert [each["status"] for each in shown] == ["done"] * 3
        assert [len(history) for history in commits(state)] == [1] * 3


def refusal(client: httpx.Client, judge_url: str) -> dict[str, Any] | None:
    """The refusal of a brief that is larger than the rest of the disk."""
    large = [{"name": "a.txt", "url": "data:text/plain," + "y" * 300_000}]
    answer = client.post(
        "/api-endpoint", json=brief(judge_url, task="large", nonce=str(time.time()), attachments=large)
    )
    found: dict[str, Any] = answer.json()
    return found if answer.status_code == 503 else None
