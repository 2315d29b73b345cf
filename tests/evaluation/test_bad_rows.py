"""One bad row is one failed case, by its id, told before anything is asked. The run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.types import Answer, Request
from service.errors import (
    AnswerUnusable,
    DeadlineExceeded,
    EngineUnavailable,
    EvaluationError,
    PromptTooLong,
    RemoteError,
    RequestFailed,
)
from service.evaluation import cases as case_files
from service.evaluation import promote, recording, runner
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import live, replay
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt, load
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: queue
responseFormat: choice
choices: [billing, bug]
messages: [{role: user, content: "{{text}}"}]
testDataFile: c.jsonl
evaluators: [{name: label, string: {equals: "{{label}}"}}]
"""
GOOD = [{"id": f"g{i}", "text": f"text {i}", "label": "bug"} for i in range(3)]


def bug(request: Request) -> str:
    return "bug"


class Run:
    """A prompt on its own cases beside it, on a scripted engine. It keeps warnings and requests."""

    def __init__(self, folder: Path, rows: list[dict[str, object]], text: str = TEXT) -> None:
        self.warnings: list[str] = []
        (folder / "queue.prompt.yml").write_text(text)
        casefile.write(folder / "c.jsonl", rows)
        self.prompt: Prompt = load(folder / "queue.prompt.yml")
        self.engine = ScriptedEngine(bug)

    def outcomes(
        self, reply: Callable[[Request], str | Answer | Exception] = bug, stop_after: int | None = None
    ) -> dict[str, CaseOutcome]:
        self.engine.reply = reply
        context = EvaluationContext(self.engine, warn=self.warnings.append, stop_after=stop_after)
        outcomes = asyncio.run(runner.run(self.prompt, case_files.load(self.prompt), context))
        return {outcome.case.id: outcome for outcome in outcomes}


@pytest.mark.parametrize("row", [{}, {"label": None}, {"label": ""}], ids=["absent", "null", "empty"])
def test_a_missing_label_is_told_before_anything_is_asked(tmp_path: Path, row: dict[str, object]) -> None:
    run = Run(tmp_path, [*GOOD, {"id": "t9", "text": "where?", **row}])
    asked_when_told: list[int] = []
    run.warnings = type("Told", (list,), {"append": lambda self, text: asked_when_told.append(len(run.engine.asked))})()
    outcomes = run.outcomes()
    assert asked_when_told == [0]
    assert len(run.engine.asked) == 3
    assert [name for name, outcome in outcomes.items() if outcome.broken] == ["t9"]
    assert outcomes["t9"].checks[0].reason == "No value for 'label', which a check compares with."


def test_inputs_that_the_prompt_does_not_take_are_one_failed_case(tmp_path: Path) -> None:
    run = Run(tmp_path, [*GOOD, {"id": "t9", "text": None, "label": "bug"}, {"id": "t8", "label": "bug"}])
    outcomes = run.outcomes()
    assert [name for name, outcome in outcomes.items() if outcome.broken] == ["t9", "t8"]
    assert "/text must be of the type string" in outcomes["t9"].checks[0].reason
    assert [sentence.split(". ")[0] for sentence in run.warnings] == [
        "1 of 5 cases cannot be asked or judged, and fails: t9", "1 of 5 cases cannot be asked or judged, and fails: t8"
    ]  # fmt: skip


def test_a_label_that_no_choice_equals_is_told_and_asked(tmp_path: Path) -> None:
    """A person may have mistyped it. The sentence says how it differs."""
    run = Run(
        tmp_path, [*GOOD, {"id": "t8", "text": "x", "label": "Bug "}, {"id": "t9", "text": "x", "label": "howto"}]
    )
    assert len(run.outcomes()) == len(run.engine.asked) == 5
    assert "can never pass: t8. The expected 'Bug ' is none of the choices, which differs from 'bug'" in run.warnings[0]
    assert run.warnings[1].endswith("The expected 'howto' is none of the choices.")


@pytest.mark.parametrize(
    "error",
    [
        PromptTooLong("The prompt has 20034 tokens.", limit=2048, count=20034),
        AnswerUnusable("it breaks its schema"),
        RequestFailed("the engine failed", id="x"),
        DeadlineExceeded("too late"),
        RemoteError("refused", status=400),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_one_request_is_one_failed_case(tmp_path: Path, error: Exception) -> None:
    run = Run(tmp_path, GOOD)
    outcomes = run.outcomes(lambda request: error if "1" in request.messages[-1].content else "bug")
    assert [outcome.passed for outcome in outcomes.values()] == [True, False, True]
    assert outcomes["g1"].broken
    assert str(error) in outcomes["g1"].checks[0].reason


@pytest.mark.parametrize("error", [EngineUnavailable("it crashed"), RemoteError("no such model", status=404)])
def test_an_error_of_the_engine_ends_the_run(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        Run(tmp_path, GOOD).outcomes(lambda request: error)


def test_a_value_that_no_case_has_is_an_error_of_the_prompt(tmp_path: Path) -> None:
    run = Run(tmp_path, GOOD, TEXT.replace("{{label}}", "{{labl}}"))
    with pytest.raises(EvaluationError, match=r"none of the 3 cases can be asked and judged. g0: No value for 'labl'"):
        run.outcomes()
    assert run.engine.asked == []


def test_a_run_stops_after_as_many_bad_rows_as_the_caller_says(tmp_path: Path) -> None:
    run = Run(tmp_path, [{"id": "a", "text": "x"}, {"id": "b", "text": "x"}, *GOOD])
    assert len(run.outcomes(stop_after=3)) == 5
    with pytest.raises(EvaluationError, match=r"stopped after 2 cases .*: a, b\. No value for 'label'"):
        run.outcomes(stop_after=2)


def test_a_json_answer_may_be_expected_to_hold_null(tmp_path: Path) -> None:
    text = TEXT.replace("responseFormat: choice\nchoices: [billing, bug]\n", "responseFormat: json_object\n").replace(
        "string: {equals:", "json: {equals: {/a:"
    )
    run = Run(
        tmp_path, [{"id": "a", "text": "x", "label": None}, {"id": "b", "text": "x"}], text.replace('"}}', '"}}}')
    )
    outcomes = run.outcomes(lambda request: '{"a": null}')
    assert [outcome.broken for outcome in outcomes.values()] == [False, True]


def test_a_promotion_with_bad_rows_replays_and_a_mended_row_is_asked(tmp_path: Path) -> None:
    """The recording holds the engine's refusal, which a later run does not reuse, and nothing of a row not asked."""
    run = Run(tmp_path, [*GOOD, {"id": "t9", "text": "where?"}, {"id": "long", "text": "long", "label": "bug"}])
    run.engine.reply = lambda request: (
        PromptTooLong("too long", limit=1, count=2) if request.messages[-1].content == "long" else "bug"
    )
    folder, context = PromotedFolder(tmp_path / "prompts" / "queue"), EvaluationContext(run.engine)
    done = asyncio.run(promote.promote(run.prompt, folder, context, accept="a test"))
    assert "2 of 5 cases could not be asked or judged, and count as failed: `t9`, `long`." in done.text
    assert list(recording.read(folder.recording_path)) == ["g0", "g1", "g2", "long"]
    assert [outcome.checks for outcome in replay(folder.prompt(), folder)] == [o.checks for o in done.outcomes]
    assert len(asyncio.run(live(folder.prompt(), folder, replace(context, reuse=False)))) == 5
    again = asyncio.run(promote.compare(run.prompt, folder, context))
    assert again.verdict.reason == "it asks exactly what the promoted prompt asks, on all 5 cases"
    run.engine.reply, asked = bug, len(run.engine.asked)
    outcomes = asyncio.run(promote.evaluate(folder.prompt(), folder, context))
    assert [outcome.passed for outcome in outcomes] == [True, True, True, False, True]
    assert len(run.engine.asked) == asked + 1, "only the case that was too long"


@pytest.mark.parametrize("renamed", [80, 40], ids=["all cases", "half of the cases"])
def test_a_case_that_only_the_draft_takes_is_no_failed_case_of_the_promoted_prompt(
    tmp_path: Path, renamed: int
) -> None:
    """A renamed input would else pass over any promoted prompt. A case that no version can judge is failed in both."""
    rows = [{"id": f"{i:02}", "text": f"text {i}", "label": "bug" if i % 2 else "billing"} for i in range(80)]
    first = Run(tmp_path, rows, TEXT)
    folder, context = PromotedFolder(tmp_path / "prompts" / "queue"), EvaluationContext(first.engine)
    asyncio.run(promote.promote(first.prompt, folder, context, accept="a test"))
    new = [{"id": row["id"], "message": row["text"], "label": row["label"]} for row in rows[:renamed]]
    rest = [{**row, "message": f"new {row['text']}"} for row in rows[renamed:]]
    (tmp_path / "new").mkdir()
    second = Run(
        tmp_path / "new", [*new, *rest, {"id": "none", "message": "no label"}], TEXT.replace("{{text}}", "{{message}}")
    )
    done = asyncio.run(promote.compare(second.prompt, folder, context))
    assert {outcome.case.id for outcome in done.baseline or ()} == {row["id"] for row in rest} | {"none"}
    assert (done.verdict.word, done.verdict.gained) == ("NOT ENOUGH EVIDENCE", ())


def test_a_case_that_only_the_promoted_prompt_takes_is_asked_of_it(tmp_path: Path) -> None:
    """The draft fails there, and the promoted prompt does not."""
    first = Run(tmp_path, [*GOOD, {"id": "g9", "text": "the old text", "label": "bug"}])
    folder, context = PromotedFolder(tmp_path / "prompts" / "queue"), EvaluationContext(first.engine)
    asyncio.run(promote.promote(first.prompt, folder, context, accept="a test"))
    (tmp_path / "new").mkdir()
    rows = [{**row, "message": row["text"]} for row in GOOD] + [{"id": "g9", "text": "a new text", "label": "bug"}]
    second = Run(tmp_path / "new", rows, TEXT.replace("{{text}}", "{{message}}"))
    done = asyncio.run(promote.compare(second.prompt, folder, context))
    assert {outcome.case.id: outcome.passed for outcome in done.baseline or ()}["g9"]
    assert not {outcome.case.id: outcome.passed for outcome in done.outcomes}["g9"]


def test_a_scorer_beside_the_prompt_is_found_read_again_and_promoted(tmp_path: Path) -> None:
    """Wherever the program was started. The promoted copy is judged by its own file."""
    scorer = tmp_path / "my_scorer.py"
    scorer.write_text("def right(values, text, value):\n    return text == values['label']\n")
    run = Run(tmp_path, GOOD, TEXT.replace('string: {equals: "{{label}}"}', "python: 'my_scorer:right'"))
    assert all(outcome.passed for outcome in run.outcomes().values())
    folder = PromotedFolder(tmp_path / "prompts" / "queue")
    asyncio.run(promote.promote(run.prompt, folder, EvaluationContext(run.engine), accept="a test"))
    scorer.write_text("def right(values, text, value):\n    return 1 / 0\n")
    outcomes = run.outcomes()
    assert (
        "my_scorer:right raised ZeroDivisionError: division by zero (my_scorer.py:2)" in outcomes["g0"].checks[0].reason
    )
    assert all(outcome.broken for outcome in outcomes.values())
    assert all(outcome.passed for outcome in replay(folder.prompt(), folder))
    scorer.unlink()
    with pytest.raises(EvaluationError, match=r"cannot be imported: .* Put my_scorer.py beside the prompt file"):
        run.outcomes()


def test_repeats_of_two_cases_are_kept_apart_whatever_their_ids(tmp_path: Path) -> None:
    """`T-1#1` was once also the second answer to `T-1`."""
    rows = [{"id": name, "text": name, "label": "bug"} for name in ("T-1", "T-1#1")]
    run = Run(tmp_path, rows, TEXT + "repeats: 2\n")
    folder = PromotedFolder(tmp_path / "prompts" / "queue")
    asyncio.run(promote.promote(run.prompt, folder, EvaluationContext(run.engine), accept="a test"))
    assert len(recording.read(folder.recording_path)) == 4
    assert len(replay(folder.prompt(), folder)) == 2
