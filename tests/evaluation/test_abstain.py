"""A prompt that abstains gives its own answer if its best label is not probable enough, in CI and when it is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.engine.types import Answer, Request, Timings, Usage
from service.errors import PromptError
from service.evaluation import promote
from service.evaluation.calibration import ScoredAnswer, coverage_curve, threshold_for
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import replay
from service.prompts.file import loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests.evaluation import colour
from tests.http.conftest import Make, ask
from tests.http.conftest import make as make
from tests.http.conftest import promote as put
from tests.scripted import ScriptedEngine

TEXT = colour.TEXT.replace("]\n", "]\nabstain: {below: 0.7, answer: a person}\n", 1)


def label(request: Request) -> Answer:
    """Red for odd things and green for even ones, at 60 % below thing 20 and at 90 % from there."""
    thing = colour.number(request)
    best, other = colour.label(thing), colour.label(thing + 1)
    share = 0.6 if thing < 20 else 0.9
    shares = {best: share, other: 1 - share}
    return Answer(best, (1,), "stop", Usage(3, 1), Timings(0, 0, 0), probabilities=shares)


@pytest.fixture
def folder(tmp_path: Path) -> PromotedFolder:
    return colour.folder(tmp_path, 100)


def test_coverage_and_the_rate_of_the_answered_cases_are_told(folder: PromotedFolder) -> None:
    """A case without an answer does not pass a check that wants its label."""
    engine = ScriptedEngine(label)
    done = asyncio.run(promote.promote(loads(TEXT), folder, EvaluationContext(engine)))
    assert (done.verdict.word, done.verdict.passed) == ("PASS", 80)
    assert "It answers 80 of 100 cases (80.0 % coverage), and passes 100.0 % (95.4 to 100.0) of these." in done.text
    assert "expected 'red', got 'a person'" in done.text
    prompt = Library(folder.path.parents[1])["colour"]
    assert sum(outcome.passed for outcome in replay(prompt, folder)) == 80


def test_another_threshold_judges_the_same_answers_again(folder: PromotedFolder) -> None:
    """The request is the same, so nothing is asked."""
    engine = ScriptedEngine(label)
    asyncio.run(promote.promote(loads(TEXT), folder, EvaluationContext(engine)))
    engine.asked.clear()
    lower = loads(TEXT.replace("below: 0.7", "below: 0.6"))
    done = asyncio.run(promote.promote(lower, folder, EvaluationContext(engine)))
    assert (done.verdict.passed, engine.asked, done.written) == (100, [], True)


def test_an_abstention_that_a_check_accepts_beats_no_guess(folder: PromotedFolder) -> None:
    """Always asking a person would pass every case, so the prompt has to state a minimum."""
    kind = TEXT.replace('string: {equals: "{{expected}}"}', 'oneOf: ["{{expected}}", a person]')
    done = asyncio.run(promote.promote(loads(kind), folder, EvaluationContext(ScriptedEngine(label))))
    assert done.verdict.word == "NO BETTER THAN GUESSING"
    assert "always answering 'a person' would pass 100" in done.verdict.reason


def test_a_served_prompt_abstains_as_its_recording_does(make: Make, tmp_path: Path) -> None:
    """`text` is the label and `value` the prompt's own answer, in whole and streamed answers and in the types."""
    engine = ScriptedEngine(label)
    app = make(engine)
    put(tmp_path / "data", engine, TEXT, "colour")
    path = "/prompts/colour"
    unsure = ask(app, "POST", path, json={"inputs": {"thing": "thing 3"}}).json()
    assert (unsure["value"], unsure["text"], unsure["abstained"]) == ("a person", "red", True)
    sure = ask(app, "POST", path, json={"inputs": {"thing": "thing 33"}}).json()
    assert (sure["value"], sure["text"], sure["abstained"]) == ("red", "red", False)
    streamed = ask(app, "POST", path, json={"inputs": {"thing": "thing 3"}, "stream": True}).text
    assert '"value": "a person"' in streamed.split("event: answer")[1].replace('":"', '": "')
    operation = ask(app, "GET", "/openapi.json").json()["paths"][path]["post"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["value"] == {"enum": ["red", "green", "a person"]}


def test_a_threshold_is_the_lowest_one_that_reaches_the_accuracy() -> None:
    """Its coverage is the largest."""
    right = [True, True, True, False, True, False]
    answers = [ScoredAnswer(share, good) for share, good in zip((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), right, strict=True)]
    points = coverage_curve(answers, 10)
    for accuracy, threshold, answered in ((1, 0.7, 3), (0.8, 0.5, 5), (0.75, 0.5, 5), (0.6, 0.4, 6)):
        point = threshold_for(points, accuracy)
        assert point is not None
        assert (point.threshold, point.answered, point.n) == (threshold, answered, 10)
    assert threshold_for(coverage_curve([ScoredAnswer(0.9, False)]), 0.5) is None


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (TEXT.replace("a person", "red"), "one of the choices"),
        (TEXT.replace("below: 0.7", "below: 1.7"), "abstain.below"),
        (TEXT.replace("responseFormat: choice\nchoices: [red, green]\n", ""), "abstain is for responseFormat: choice"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(changed: str, error: str) -> None:
    with pytest.raises(PromptError, match=error):
        loads(changed)
