"""A check with `when` judges some cases only: counts, the verdict, judges and classes keep to them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.errors import EvaluationError, PromptError
from service.evaluation import bad_rows, groups, html_report, judge, report, result_rows
from service.evaluation.cases import Case
from service.evaluation.promote import verdict_of
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome, apply_checks
from service.prompts.conditions import judges
from service.prompts.convert import to_portable
from service.prompts.file import Prompt, loads
from service.prompts.promptfoo import to_promptfoo
from service.prompts.spec import Evaluator

TEXT = """
name: colours
messages: [{role: user, content: "Colour of {{thing}}?"}]
evaluators:
- {name: colour, when: expected, string: {equals: "{{expected}}"}}
- {name: short, when: {kind: [brief, 2]}, regex: '^.{1,5}$'}
"""


def outcome(prompt: Prompt, name: str, answer: str, **values: Any) -> CaseOutcome:
    return apply_checks(prompt, Case(name, {"thing": name, **values}), [Record(name, "f", answer, (1,), "stop")])


def evaluator(when: Any) -> Evaluator:
    return Evaluator.model_validate({"name": "x", "regex": ".", "when": when})


@pytest.mark.parametrize(
    ("when", "values", "applies"),
    [
        (None, {}, True),
        ("a", {"a": "x"}, True),
        ("a", {"a": False}, True),
        ("a", {"a": 0}, True),
        ("a", {"a": ""}, False),
        ("a", {"a": None}, False),
        ("a", {"a": float("nan")}, False),
        ("a", {}, False),
        ({"a": "x"}, {"a": "x"}, True),
        ({"a": "x"}, {"a": "X"}, False),
        ({"a": 3}, {"a": "3"}, True),
        ({"a": True}, {"a": "true"}, True),
        ({"a": ["x", "y"], "b": 1}, {"a": "y", "b": 1}, True),
        ({"a": ["x", "y"], "b": 1}, {"a": "y"}, False),
        ({"a": "null"}, {"a": None}, False),
    ],
)
def test_the_cases_of_a_check(when: Any, values: dict[str, Any], applies: bool) -> None:
    assert judges(evaluator(when), values) is applies


@pytest.mark.parametrize("when", ["''", "[]", "{}", "{a: []}", "{a: null}", "{a: {b: 1}}", "3"])
def test_another_form_is_refused_with_its_place(when: str) -> None:
    with pytest.raises(PromptError, match=r":5: evaluators\.0\.when"):
        loads(TEXT.replace("when: expected", f"when: {when}"))


def test_counts_are_those_of_the_judged_cases() -> None:
    prompt = loads(TEXT)
    outcomes = [
        outcome(prompt, "a", "red", expected="red"),
        outcome(prompt, "b", "green", expected="red", kind="brief"),
        outcome(prompt, "c", "a long answer", kind=2),
        outcome(prompt, "d", "anything"),
    ]
    assert [one.state for one in outcomes] == ["passed", "failed", "failed", "not judged"]
    text = report.markdown(prompt, outcomes)
    assert "| all | colour | 1 | 2 |" in text
    assert "| all | short | 1 | 2 |" in text
    assert "1 of 4 cases are judged by no check: `d`." in text
    rows = result_rows.table_rows(prompt, outcomes)
    assert [row["passed"] for row in rows] == [True, False, False, None]
    assert [row["check.short"] for row in rows] == [None, True, False, None]
    page = html_report.page(prompt, outcomes)
    assert "1 of 3 cases pass every check" in page
    assert 'data-state="not judged"' in page


def test_a_missing_value_is_no_fault_of_a_case_that_the_check_does_not_judge() -> None:
    prompt = loads(TEXT)
    cases = [Case("a", {"thing": "a", "expected": "red"}), Case("b", {"thing": "b"})]
    assert bad_rows.problems_of(prompt, cases) == {}
    assert bad_rows.expected_label(prompt, cases[1]) is None


def test_the_verdict_compares_the_judged_cases_and_a_pass_needs_all_judged() -> None:
    prompt = loads(TEXT.replace("when: expected, ", "when: expected, minimum: 0.5, "))
    good = [outcome(prompt, f"a{number}", "red", expected="red", kind="brief") for number in range(80)]
    assert verdict_of(prompt, good, good).word == "PASS"
    assert verdict_of(prompt, good, None).word == "PASS"
    bare = outcome(prompt, "bare", "red")
    for before in (good, None):
        verdict = verdict_of(prompt, [*good, bare], before)
        assert (verdict.word, verdict.n) == ("NOT ENOUGH EVIDENCE", 80)
        assert "no check judges 1 of 81 cases, first bare" in verdict.reason
    idle = [outcome(prompt, f"a{number}", "red", expected="red") for number in range(80)]
    assert "'short' judges no case" in verdict_of(prompt, idle, None).reason
    worse = [outcome(prompt, f"a{number}", "green", expected="red", kind="brief") for number in range(60)] + good[60:]
    compared = verdict_of(prompt, [*worse, *idle[60:]], good).compared
    assert {row.check: row.n for row in compared} == {"colour": 80, "short": 80}
    half = [
        outcome(prompt, f"a{number}", "red", expected="red", **({"kind": 2} if number < 40 else {}))
        for number in range(80)
    ]
    assert {row.check: row.n for row in verdict_of(prompt, half, half).compared} == {"colour": 80, "short": 40}


def test_a_minimum_needs_a_case_that_its_check_judges() -> None:
    prompt = loads(TEXT.replace("when: {kind", "minimum: {slices: {long: 0.5}}, when: {kind"))
    cases = [
        Case("a", {"thing": "a", "expected": "red"}, "long"),
        Case("b", {"thing": "b", "expected": "red", "kind": 2}, "short"),
    ]
    with pytest.raises(EvaluationError, match="names the slice long, and it judges no case there"):
        groups.groups(prompt, cases)


def test_constant_answers_are_judged_as_answers_are() -> None:
    """A constant does not pass the cases that no check judges."""
    prompt = loads(TEXT)
    outcomes = [outcome(prompt, "a", "red", expected="red"), outcome(prompt, "b", "blue")]
    constants = groups.constants(prompt, outcomes)
    assert constants is not None
    assert constants["red"] == {"a": True}


def test_a_judge_is_not_asked_about_other_cases() -> None:
    llm = "llm: {modelId: starter, prompt: '{{completion}}?', choices: [{choice: y, score: 1}, {choice: n, score: 0}]}"
    prompt = loads(TEXT.replace("regex: '^.{1,5}$'", llm))
    record = Record("a", "f", "red", (1,), "stop")

    def none(name: str) -> Any:
        raise AssertionError(name)

    case = Case("a", {"thing": "a", "expected": "red"})
    assert asyncio.run(judge.add_judgements(prompt, case, record, none)) is record


def test_exports_keep_the_meaning_or_name_the_loss() -> None:
    prompt = loads(TEXT)
    text, _ = to_promptfoo(
        prompt, [{"id": "a", "thing": "a", "expected": "red"}, {"id": "b", "thing": "b", "kind": "brief"}]
    )
    assert text.count("metric: colour") == text.count("metric: short") == 1
    portable, left = to_portable(prompt)
    assert "colour" not in json.dumps(portable).replace("Colour of", "").replace("colours", "")
    assert any("when is unknown there" in sentence for sentence in left)
