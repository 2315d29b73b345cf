"""The routes of evaluations judge a promoted prompt's recording again. Their numbers are those of `evaluation`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service import settings as settings_module
from service.drift.store import KeptAnswerStore
from service.engine.pool import Engines
from service.evaluation.replay import replay
from service.evaluation.report import guessing
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests.http.conftest import Make, ask, looks
from tests.scripted import ScriptedEngine

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def app(catalog: Catalog) -> FastAPI:
    """A service with this repository's prompts. Its engines are never asked."""

    class Unasked(Engines):
        def _make(self, name: str) -> ScriptedEngine:
            return ScriptedEngine(lambda request: AssertionError("an evaluation asks no model"))

    settings = settings_module.load(port=0, data_dir=DATA)
    return create_app(settings, engines=Unasked(settings, catalog), library=Library(DATA))


def test_an_evaluation_has_the_numbers_of_the_recording(app: FastAPI) -> None:
    """Classes, slices, coverage and every case, of a prompt that scores labels."""
    listed, document = (answer.json() for answer in looks(app, "/evaluations", "/prompts/language/evaluation"))
    folder = PromotedFolder(DATA / "prompts" / "language")
    prompt = folder.prompt()
    outcomes = replay(prompt, folder)
    passed = sum(outcome.passed for outcome in outcomes)
    assert (document["passed"], document["cases"]) == (passed, len(outcomes))
    assert document["interval"][0] < passed / len(outcomes) < document["interval"][1]
    assert document["guessing"] == guessing(prompt, outcomes)
    assert document["scores"][-1] == {"slice": "all", "check": "label", "passed": passed, "of": len(outcomes),
                                      "interval": document["interval"]}  # fmt: skip
    matrix = document["matrix"]
    assert sum(matrix["counts"][at][at] for at in range(len(matrix["labels"]))) == passed
    assert document["coverage"][0]["coverage"] == 1.0
    assert document["coverage"][0]["accuracy"] == pytest.approx(passed / len(outcomes))
    by_id = {outcome.case.id: outcome for outcome in outcomes}
    assert {row["id"] for row in document["rows"]} == set(by_id)
    for row in document["rows"]:
        assert (row["state"] == "passed") == by_id[row["id"]].passed
        assert row["answers"] == [by_id[row["id"]].record.text]
    assert {"name": "language", "passed": passed, "refused": None}.items() <= next(
        row for row in listed if row["name"] == "language"
    ).items()
    assert not any(row["refused"] for row in listed)


def test_a_prompt_with_a_schema_has_checks_and_no_classes(app: FastAPI) -> None:
    document = ask(app, "GET", "/prompts/extract-contact/evaluation").json()
    assert document["matrix"] is None
    assert document["coverage"] == []
    assert len({row["check"] for row in document["scores"]}) > 1


def test_a_recording_that_does_not_fit_is_told_and_the_others_are_listed(make: Make) -> None:
    """The prompts of this service have no evaluators and empty recordings."""
    app = make(ScriptedEngine(lambda request: "x"))
    listed, one, unknown = looks(app, "/evaluations", "/prompts/greet/evaluation", "/prompts/nobody/evaluation")
    assert [row["name"] for row in listed.json()] == ["greet", "person"]
    assert all("no evaluators" in row["refused"] for row in listed.json())
    assert one.status_code >= 400
    assert "no evaluators" in one.json()["detail"]
    assert unknown.status_code == 404


def test_a_promotion_is_judged_anew(app: FastAPI) -> None:
    """The document is kept for one lock."""
    service = app.state.service
    first = ask(app, "GET", "/prompts/sender/evaluation").text
    lock, document = service.evaluations["sender"]
    service.evaluations["sender"] = (lock, {"kept": True})
    assert ask(app, "GET", "/prompts/sender/evaluation").json() == {"kept": True}
    service.evaluations["sender"] = ("another lock", {"kept": True})
    assert json.loads(first) == ask(app, "GET", "/prompts/sender/evaluation").json() == document


def test_kept_answers_are_compared_with_the_recording(tmp_path: Path, catalog: Catalog) -> None:
    """Without any there is a word too. All answers in one language are drift."""
    settings = settings_module.load(port=0, data_dir=DATA, state_dir=tmp_path / "state")
    app = create_app(settings, engines=Engines(settings, catalog), library=Library(DATA))
    client = TestClient(app, base_url="http://127.0.0.1")  # no lifespan, so that no model is loaded
    none = client.get("/prompts/language/drift").json()
    assert (none["word"], none["kept"], none["recorded"], none["share"]) == ("NOT ENOUGH ANSWERS", 0, 200, 0.0)
    prompt = PromotedFolder(DATA / "prompts" / "language").prompt()
    shares = {label: 0.96 if label == "German" else 0.01 for label in prompt.spec.choices}
    row = {
        "prompt": "language", "prompt_sha256": prompt.sha256, "model": "m", "request_id": "r", "fingerprint": "f",
        "label": "German", "probabilities": shares, "abstained": False, "invalid": False, "prompt_tokens": 30,
        "answer_tokens": 1, "queued_s": 0.0, "first_token_s": 0.1, "total_s": 0.2,
    }  # fmt: skip
    store = KeptAnswerStore(settings)
    store.add([row] * 100)
    store.close()
    drift = client.get("/prompts/language/drift").json()
    assert (drift["word"], drift["kept"]) == ("DRIFT", 100)
    labels = drift["distributions"][0]
    assert [(part["name"], part["kept"]) for part in labels["bins"] if part["kept"]] == [("German", 100)]
    assert sum(part["recorded"] for part in labels["bins"]) == 200
    assert client.get("/prompts/no-such/drift").status_code == 404
