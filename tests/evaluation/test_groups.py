"""Promotions that would fool their author: guesses, lost classes, checks that draw."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine.types import Request
from service.errors import EvaluationError, PromptError
from service.evaluation import groups, promote
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.prompts.file import loads
from service.prompts.promoted import PromotedFolder
from tests.evaluation.colour import FREE, POLITE, TEXT, folder, label, number
from tests.scripted import ScriptedEngine

PROGRAM = TEXT.replace('string: {equals: "{{expected}}"}', f"python: {__name__}:is_right")


def is_right(values: dict[str, str], text: str, value: object) -> bool:
    return text == values["expected"]


def right(request: Request) -> str:
    return label(number(request), 10)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with 120 cases of `colour`, 12 of them green. Nothing is promoted."""
    return folder(tmp_path, 120, 10).path.parents[1]


def promoted(
    data: Path, text: str, reply: Callable[[Request], str] = right, accept: str | None = None
) -> promote.Promotion:
    target, context = PromotedFolder(data / "prompts" / "colour"), EvaluationContext(ScriptedEngine(reply))
    return asyncio.run(promote.promote(loads(text), target, context, accept=accept))


def test_a_prompt_that_always_says_one_label_is_not_promoted(data: Path) -> None:
    """It passes 90 %, as many cases as guessing."""
    done = promoted(data, TEXT, lambda request: "red")
    assert (done.verdict.word, done.written) == ("NO BETTER THAN GUESSING", False)
    assert "108 of 120 pass, and always answering 'red' would pass 108: p = 1" in done.text
    assert promoted(data, TEXT).written


def test_a_class_that_is_lost_whole_is_not_promoted(data: Path) -> None:
    """The draft never says green, and gains more cases of red than it loses."""

    def reply(request: Request) -> str:
        polite = "please" in request.messages[-1].content
        return "red" if polite or (number(request) % 10 and number(request) % 7) else "green"

    promoted(data, TEXT, reply, accept="a start")
    done = promoted(data, POLITE, reply)
    assert (len(done.verdict.lost), len(done.verdict.gained), done.written) == (12, 16, False)
    assert done.verdict.word == "REGRESSION"
    assert "label (class green): 12 lost, 0 gained of 12" in done.verdict.reason
    assert "| label (class green) | 12 | 0 | 12 |" in done.text
    assert "Fewer than 23 cases show little: class green." in done.text


def test_a_check_that_draws_is_no_evidence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay would give another result."""
    throws = itertools.count()
    monkeypatch.setattr(sys.modules[__name__], "is_right", lambda *_: next(throws) % 7 > 0)
    done = promoted(data, PROGRAM + "    minimum: 0.5\n")
    assert (done.verdict.word, done.written) == ("NOT ENOUGH EVIDENCE", False)
    assert "label gave two results for one answer, case c00" in done.text


def test_a_program_that_judges_needs_a_minimum(data: Path) -> None:
    """The passes of a guess are unknown then."""
    assert promoted(data, PROGRAM).verdict.word == "NO BETTER THAN GUESSING"
    assert promoted(data, PROGRAM + "    minimum: 0.9\n").verdict.word == "PASS"


def test_answers_in_free_text_are_compared_with_the_most_frequent_ones(data: Path) -> None:
    """Expected values and own answers are tried as constants."""
    assert "always answering 'red' would pass 108" in promoted(data, FREE, lambda request: "blue").verdict.reason
    polite = FREE.replace('string: {equals: "{{expected}}"}', "notContains: rude")
    assert "120 of 120 pass, and always" in promoted(data, polite, lambda request: "blue").verdict.reason


def test_classes_are_the_labels_that_are_right_and_one_slice_is_no_group() -> None:
    prompt = loads(TEXT)
    cases = [Case(str(i), {"thing": "x", "expected": label}, "a") for i, label in enumerate(("red", "green", "blue"))]
    assert groups.groups(prompt, cases) == {"class green": frozenset("1"), "class red": frozenset("0")}
    sliced = [*cases, Case("3", {"thing": "x", "expected": "red"}, "b")]
    assert groups.groups(prompt, sliced) == {
        "class green": frozenset("1"), "class red": frozenset("03"),
        "slice a": frozenset("012"), "slice b": frozenset("3"),
    }  # fmt: skip


def test_a_minimum_names_a_class_and_a_slice_that_exist(data: Path) -> None:
    """The names of the present ones are told."""
    text = TEXT + "    minimum: {all: 0.9, classes: {green: 0.5}, slices: {%s: 0.9}}\n"
    assert promoted(data, text % "all").verdict.word == "PASS"
    done = promoted(data, text % "all" + "modelParameters: {seed: 1}\n", lambda request: "red")
    assert (done.verdict.word, done.verdict.reason) == (
        "BELOW MINIMUM",
        "label (class green): 0 of 12 pass (0.0 %), the minimum is 50 %",
    )
    with pytest.raises(EvaluationError, match="'label' names the slice long, and it judges no case there"):
        promoted(data, text % "long")
    with pytest.raises(PromptError, match="the minimum of 'label' names 'gren', which is no choice"):
        loads(TEXT + "    minimum: {classes: {gren: 0.5}}\n")


def test_a_class_of_free_answers_that_is_lost_whole_is_not_promoted(data: Path) -> None:
    """The expected texts are the classes then, and a minimum may name one."""
    promoted(data, FREE)
    polite = FREE.replace("Colour of", "Colour, please, of")
    done = promoted(data, polite, lambda request: "red")
    assert (done.verdict.word, done.written) == ("REGRESSION", False)
    assert "label (class green): 12 lost, 0 gained of 12" in done.verdict.reason
    text = polite + "    minimum: {classes: {%s: 0.5}}\n"
    assert promoted(data, text % "green", lambda request: "red").verdict.word == "BELOW MINIMUM"
    with pytest.raises(EvaluationError, match="'label' names the class blue, and it judges no case there"):
        promoted(data, text % "blue")
