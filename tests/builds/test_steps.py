"""Single steps beside the main path: translated checks, forges that ask to wait, secrets, interrupted questions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from pathlib import Path
from typing import Any, cast

import pytest

from service.builds.brief import Brief
from service.builds.build import Build
from service.builds.forge import ForgeError
from service.builds.forge.local import LocalForge
from service.builds.generate.model_client import Caps, ModelClient
from service.builds.runtime import Builds
from service.builds.shutdown import ShutdownSignal
from service.builds.steps import Steps
from service.builds.store import Store
from service.engine.pool import Engines
from service.engine.types import Request
from service.prompts.library import Library
from tests.builds.harness import brief, finished, planner, posted, serving, settings_for
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator

pytestmark = pytest.mark.usefixtures("no_browser")
CANARY = "canary-of-the-forge-41c8"
PAGE = "FILE: index.html\n```html\n<!DOCTYPE html>\n<title>t</title>\n```\n"
README = "FILE: README.md\n```\n# Summary\n# Setup\n# Usage\n# Code explanation\n# License\n```\n"
SENTENCES = ["There is a heading.", "There is a footer.", "There is a table."]


def writer(*more: str) -> ScriptedEngine:
    """A model that translates a check to JSON and writes a page with these further files."""

    def reply(request: Request) -> str:
        return json.dumps({"js": "true"}) if request.schema is not None else "\n".join((PAGE, *more))

    return ScriptedEngine(reply)


def translated(engine: ScriptedEngine) -> int:
    return sum(request.schema is not None for request in engine.asked)


@pytest.mark.parametrize(("share", "times"), [(0.25, 3), (0.0, 0)])
def test_translating_checks_leaves_the_time_for_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, times: int
) -> None:
    """A hundred sentences and a slow model must leave time to write the page. The other sentences are not judged."""
    monkeypatch.setattr("service.builds.steps.CHECKS_SHARE", share)
    engine = writer()
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        shown = finished(client, posted(client, brief(judge.url, checks=SENTENCES))["job_id"])
        events = client.get(f"/builds/{shown['id']}/events").text
    assert (shown["status"], shown["outcome"]["maker"], translated(engine)) == ("done", "files", times)
    assert events.count("making needs the time") == len(SENTENCES) - times


def test_cancelled_between_two_checks_the_next_one_is_not_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is asked any more for a build that nobody wants."""
    real = Steps._translated

    def cancelling(self: Steps, build: Build, sentence: str) -> str | None:
        code = real(self, build, sentence)
        self.store.transition(build.id, "cancelling", expected=("running",))
        return code

    monkeypatch.setattr(Steps, "_translated", cancelling)
    engine = writer()
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        shown = finished(client, posted(client, brief(judge.url, checks=SENTENCES))["job_id"])
    assert (shown["status"], len(engine.asked)) == ("cancelled", 1)


def test_a_secret_in_the_briefs_first_line_is_not_published_as_the_commits_message(tmp_path: Path) -> None:
    """The model's own README does not repeat the brief. The commit message would."""
    settings = settings_for(tmp_path / "state", maker="auto", forge_token=CANARY)
    with evaluator() as judge, serving(settings, writer(README)) as client:
        shown = finished(client, posted(client, brief(judge.url, brief=f"Push with {CANARY}, please."))["job_id"])
    assert shown["status"] == "failed"
    assert "commit message:1: a secret of this service" in shown["outcome"]["error"]
    assert CANARY not in json.dumps(shown["outcome"])


@pytest.mark.parametrize("verb", ["ensure", "read", "push", "publish"])
def test_a_forge_that_asks_to_wait_is_waited_for_at_each_of_its_verbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A limit is no failure while there is time."""
    real, limits = getattr(LocalForge, verb), [ForgeError("A limit.", wait_s=0.1)] * 2

    def limited(*given: Any) -> Any:
        if limits:
            raise limits.pop()
        return real(*given)

    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        finished(client, posted(client, brief(judge.url))["job_id"])
        monkeypatch.setattr(LocalForge, verb, limited)
        second = posted(client, brief(judge.url, round=2, nonce="ab12-2"))["job_id"]
        assert finished(client, second)["status"] == "done"
    assert limits == []


def test_what_ends_a_build_is_told_without_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may quote its arguments in an error."""

    def broken(*given: Any) -> Any:
        raise RuntimeError(f"no connection with {CANARY}")

    monkeypatch.setattr(LocalForge, "push", broken)
    settings = settings_for(tmp_path / "state", forge_token=CANARY)
    with evaluator() as judge, serving(settings, planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        assert finished(client, build)["outcome"] == {"error": "no connection with [secret]"}
        assert CANARY not in client.get(f"/builds/{build}/events").text


def test_a_brief_that_comes_during_the_shutdown_is_stored_all_the_same(tmp_path: Path) -> None:
    """The thread that would enqueue it has ended. The sweeper of the next process does."""
    settings = settings_for(tmp_path / "state")

    async def submitted_late() -> Build | None:
        builds = await Builds.open(settings, Library(settings.data_dir), Engines(settings))
        try:
            builds.begin_shutdown()
            builds._enqueuers.shutdown(wait=True)
            return builds.store.build(builds.submit(Brief(**brief("https://example.com/")))["id"])
        finally:
            await builds.close()

    build = asyncio.run(submitted_late())
    assert build is not None
    assert (build.status, build.enqueued) == ("accepted", False)


def test_an_outage_while_a_model_answers_withdraws_the_question() -> None:
    """Nobody waits for it any more."""

    class Away:
        def build(self, build: str) -> Any:
            raise ConnectionError("the database is away")

    asking = ModelClient(
        cast(Store, Away()),
        asyncio.new_event_loop(),
        lambda name: None,
        lambda prompt: [],
        Caps(1, 1.0),
        ShutdownSignal(),  # type: ignore[arg-type,return-value]
    )
    question: concurrent.futures.Future[Any] = concurrent.futures.Future()
    with pytest.raises(ConnectionError):
        asking._wait("build-1", question, 60.0)
    assert question.cancelled()
    asking.loop.close()
