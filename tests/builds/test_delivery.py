"""A callback's whole life, over real sockets: tried with doubling gaps, given up on a 400, delivered again by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.builds import callback, queues
from service.builds.store import Store
from tests.builds.harness import SECRET, brief, finished, planner, posted, serving, settings_for, until
from tests.builds.processes import reached, sent, service
from tests.servers.evaluator import FIELDS, evaluator

pytestmark = pytest.mark.usefixtures("no_browser")
AUTH = {"authorization": f"Bearer {SECRET}"}


def test_four_503s_then_200_are_five_attempts_with_doubling_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes under the same id, each attempt with its own time. A gap is never shorter than the schedule, which
    `test_callback` compares with the contract. It runs four times as fast here.
    """
    monkeypatch.setattr(callback, "GAPS", replace(callback.GAPS, first_s=0.25))
    with evaluator(*[(503, "later")] * 4) as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        shown = finished(client, posted(client, brief(judge.url))["job_id"])
    assert [each["status"] for each in shown["callbacks"]] == [503, 503, 503, 503, 200]
    assert shown["delivery"] == "delivered"
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(judge.heard)]
    assert [gap >= least - 0.01 for gap, least in zip(gaps, (0.25, 0.5, 1, 2), strict=True)] == [True] * 4, gaps
    assert len({each.raw for each in judge.heard}) == 1
    assert {each.headers["webhook-id"] for each in judge.heard} == {shown["public_id"]}
    stamps = [int(each.headers["webhook-timestamp"]) for each in judge.heard]
    times = [each.at_s for each in judge.heard]
    assert all(
        int(before) <= stamp <= heard for before, stamp, heard in zip([0.0, *times], stamps, times, strict=False)
    )


def test_a_400_is_one_attempt_and_can_be_delivered_again_by_hand(tmp_path: Path) -> None:
    """The evaluator's reason is stored. By hand it is sent again with the same id and the same seven fields."""
    with evaluator((400, "no such task")) as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        shown = finished(client, build)
        assert (shown["status"], shown["delivery"], len(judge.heard)) == ("done", "dead", 1)
        assert shown["callbacks"][0]["response_excerpt"] == "no such task"
        assert client.post(f"/builds/{build}/deliver", headers=AUTH).status_code == 202
        until(lambda: client.get(f"/builds/{build}").json()["delivery"] == "delivered")
    assert len(judge.heard) == 2
    assert {each.headers["webhook-id"] for each in judge.heard} == {shown["public_id"]}
    assert len({each.raw for each in judge.heard}) == 1
    assert set(judge.heard[0].body) == FIELDS


def test_an_address_that_is_not_public_is_never_connected_to(tmp_path: Path) -> None:
    """The build is made. Its callback ends with a reason that an operator can see."""
    with evaluator() as judge:
        settings = settings_for(tmp_path / "state", callback_allow="")
        with serving(settings, planner()) as client:
            told = posted(client, brief(judge.url.replace("127.0.0.1", "2130706433")))
            shown = finished(client, told["job_id"])
        [warning] = told["warnings"]
        assert warning["pointer"] == "/evaluation_url"
        assert "SAMEBOAT_CALLBACK_ALLOW=127.0.0.1:" in warning["detail"]
        assert (shown["status"], shown["delivery"]) == ("done", "dead")
        assert "not a public address" in shown["callbacks"][0]["response_excerpt"]
        assert judge.heard == []


@pytest.mark.timeout(300)
def test_killed_between_attempts_the_series_goes_on(tmp_path: Path) -> None:
    """Killed after two attempts, it makes the third one. Recorded attempts are not made again."""
    state = tmp_path / "state"
    with evaluator((503, "1"), (503, "2")) as judge, service(state, "callback 2:after") as process:
        build = sent(process, brief(judge.url))
        until(lambda: reached(state))
        with process.client() as client:
            until(process.alive)
            shown = finished(client, build)
    assert [each["status"] for each in shown["callbacks"]] == [503, 503, 200]
    assert len(judge.heard) == 3


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper looks every 0.2 s, and waits 0.1 s in an outage."""
    monkeypatch.setattr("service.builds.sweeper.BEAT_S", 0.2)
    monkeypatch.setattr("service.builds.workflow.OUTAGE_S", 0.1)


@pytest.mark.parametrize("at", ["service.builds.queues.deliver_later", "service.builds.store.Store.attempt"])
def test_an_outage_between_the_site_and_the_callback_loses_no_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None, at: str
) -> None:
    """The disk is full, once, when the delivery is enqueued, or when its attempt is to be remembered."""
    module, _, name = at.rpartition(".")
    owner = Store if module.endswith("Store") else queues
    real, full = getattr(owner, name), [sa.exc.OperationalError("", {}, Exception("database or disk is full"))]

    def stumbling(*given: Any) -> Any:
        if full:
            raise full.pop()
        return real(*given)

    monkeypatch.setattr(at, stumbling)
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        shown = finished(client, posted(client, brief(judge.url))["job_id"])
    assert full == []
    assert shown["delivery"] == "delivered"
    assert {each.headers["webhook-id"] for each in judge.heard} == {shown["public_id"]}


def test_a_delivery_that_breaks_is_given_up_in_words_and_not_owed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build's site stays, its events end, and the callback can be delivered by hand."""
    real = callback.post

    def broken(*given: Any) -> Any:
        monkeypatch.setattr(callback, "post", real)
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(callback, "post", broken)
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        shown = finished(client, build)
        assert (shown["status"], shown["delivery"]) == ("done", "dead")
        assert "given up: nobody thought of this" in client.get(f"/builds/{build}/events").text
        assert client.post(f"/builds/{build}/deliver", headers=AUTH).status_code == 202
        until(lambda: client.get(f"/builds/{build}").json()["delivery"] == "delivered")
    assert len(judge.heard) == 1
