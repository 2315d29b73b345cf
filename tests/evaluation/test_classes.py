"""Scores of classes, fields and probabilities, against worked examples and their stated coverage."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from service.cli.evaluate import json_lines
from service.evaluation import calibration, groups, report
from service.evaluation import cases as case_files
from service.evaluation.at_scale import ScaleResult
from service.evaluation.calibration import ScoredAnswer
from service.evaluation.cases import Case, slice_names
from service.evaluation.classes import MAX_CLASSES, NO_ANSWER, OTHER, ClassScore, classes_of, confusion
from service.evaluation.fields import field_rates
from service.evaluation.inspect_log import inspect_log
from service.evaluation.recording import Record
from service.evaluation.report_details import details
from service.evaluation.result_rows import csv_text, frame, table_rows
from service.evaluation.runner import CaseOutcome, apply_checks
from service.prompts.file import Prompt, loads
from tests.tiers import draws

CHOICE = loads("""
name: pets
responseFormat: choice
choices: [cat, fish, dog]
messages: [{role: user, content: "{{text}}"}]
evaluators: [{name: label, string: {equals: "{{label}}"}}]
""")
JSON = loads("""
name: bill
responseFormat: json_object
messages: [{role: user, content: "{{text}}"}]
evaluators: [{name: fields, json: {equals: {/total: "{{total}}", /a~1b: "{{ab}}", /paid: true}}}]
""")


def outcome(prompt: Prompt, number: int, answer: str, problem: str | None = None, **values: object) -> CaseOutcome:
    shares = tuple((label, 0.8 if label == answer else 0.1) for label in prompt.spec.choices)
    record = Record(f"c{number}", "f", answer, (1,), "stop", problem, shares)
    return apply_checks(prompt, Case(f"c{number}", {"text": f"text | {number}", **values}), [record])


def pets(expected: str, answers: str) -> list[CaseOutcome]:
    pairs = zip(expected.split(), answers.split(), strict=True)
    return [outcome(CHOICE, number, answer, label=label) for number, (label, answer) in enumerate(pairs)]


# K. P. Shung's example of the F1 score: 25 photos, of which 13 are classified right
SHUNG = pets(
    "cat " * 6 + "fish " * 10 + "dog " * 9,
    "cat " * 4 + "fish dog " + "cat " * 6 + "fish " * 2 + "dog " * 2 + "cat " * 3 + "dog " * 6,
)


def test_precision_recall_and_f1_of_a_worked_example() -> None:
    """Precision 30.8, 66.7 and 66.7 %, recall 66.7, 20.0 and 66.7 %, macro F1 46.5 %."""
    matrix = confusion(CHOICE, SHUNG)
    assert matrix is not None
    assert matrix.counts == ((4, 1, 1), (6, 2, 2), (3, 0, 6))
    rates = [(score.precision, score.recall, score.f1) for score in matrix.scores]
    assert np.round(100 * np.array(rates, dtype=float), 1).tolist() == [
        [30.8, 66.7, 42.1], [66.7, 20.0, 30.8], [66.7, 66.7, 66.7],
    ]  # fmt: skip
    assert round(100 * matrix.macro_f1, 1) == 46.5
    assert matrix.confusions(2) == [("fish", "cat", 6), ("dog", "cat", 3)]
    assert matrix.remark == ""


def test_a_class_that_is_never_answered_has_no_precision_and_one_label_for_all_is_remarked() -> None:
    matrix = confusion(CHOICE, pets("cat dog cat", "cat cat cat"))
    assert matrix is not None
    cat, fish, dog = matrix.scores
    assert (cat.recall, dog.precision, dog.recall, fish.f1) == (1.0, None, 0.0, None)
    assert matrix.remark == "Every answer is `cat`."
    assert matrix.macro_f1 == pytest.approx((0.8 + 0) / 2)


def test_an_answer_that_is_no_label_and_a_missing_one_have_columns_of_their_own() -> None:
    rows = [
        *pets("cat dog", "cat bird"),
        outcome(CHOICE, 9, "", "cut", label="dog"),
        outcome(CHOICE, 8, "cat", label=None),
    ]
    matrix = confusion(CHOICE, rows)
    assert matrix is not None
    assert matrix.columns == ("cat", "fish", "dog", OTHER, NO_ANSWER)
    assert matrix.counts == ((1, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 0, 0, 1, 1))


def test_a_prompt_without_labels_has_no_confusion_matrix() -> None:
    free = loads(CHOICE.text.replace("responseFormat: choice\nchoices: [cat, fish, dog]\n", ""))
    assert confusion(free, [outcome(free, i, "x", label=f"answer {i}") for i in range(9)]) is None
    strange = [outcome(CHOICE, i, "cat", label="horse") for i in range(3)]
    assert confusion(CHOICE, strange) is None, "no expected label is a choice"
    assert details(CHOICE, strange)[0] == ""
    few = confusion(free, [outcome(free, i, "yes", label="yes" if i % 3 else "no") for i in range(9)])
    assert few is not None
    assert few.labels == ("yes", "no")


def test_a_class_is_what_is_right_without_asking_a_program() -> None:
    """Several choices may be right. Where all of them are, or none, a case has no class and no row of the matrix."""
    first = '{name: label, string: {equals: "{{label}}"}}'
    either = '{name: label, oneOf: ["{{label}}", "{{also}}"]}, {name: program, python: "nowhere:never"}'
    prompt = loads(CHOICE.text.replace(first, either))
    pairs = (("cat", "cat"), ("cat", "dog"), ("horse", "cow"), ("fish", "fish"))
    cases = [Case(str(n), {"text": "x", "label": label, "also": also}) for n, (label, also) in enumerate(pairs)]
    assert classes_of(prompt, cases) == {"0": ("cat",), "1": ("cat", "dog"), "3": ("fish",)}
    assert classes_of(loads(CHOICE.text.replace(first, "{name: label, notContains: horse}")), cases) == {}
    matrix = confusion(prompt, [CaseOutcome(case, Record(case.id, "f", "cat", (1,), "stop"), ()) for case in cases])
    assert matrix is not None
    assert matrix.counts == ((1, 0, 0), (1, 0, 0), (0, 0, 0))


def test_expected_texts_are_classes_if_they_are_few() -> None:
    """At least two, at most MAX_CLASSES, and two cases for each on average."""
    free = loads(CHOICE.text.replace("responseFormat: choice\nchoices: [cat, fish, dog]\n", ""))

    def number_of_classes(cases: int, labels: int) -> int:
        rows = [Case(str(n), {"text": "x", "label": f"answer {n % labels}"}) for n in range(cases)]
        return len(set(classes_of(free, rows).values()))

    assert [number_of_classes(cases, 2) for cases in (2, 3, 4)] == [0, 0, 2]
    assert [number_of_classes(2 * MAX_CLASSES + 2, MAX_CLASSES + more) for more in (0, 1)] == [MAX_CLASSES, 0]
    assert number_of_classes(9, 1) == 0


@pytest.mark.draws
def test_the_interval_of_f1_keeps_its_coverage() -> None:
    """At least 93 % of the intervals hold the true F1, for a rare and a frequent class."""
    random = np.random.default_rng(0)
    for right, missed, false in ((0.05, 0.05, 0.02), (0.3, 0.1, 0.2)):
        true = 2 * right / (2 * right + missed + false)
        tables = random.multinomial(200, [right, missed, false, 1 - right - missed - false], draws(2000, 20000))
        intervals = [ClassScore("x", int(a + b), int(a + c), int(a)).f1_interval for a, b, c, _ in tables]
        held = [interval is not None and interval.low <= true <= interval.high for interval in intervals]
        assert np.mean(held) > 0.93


def test_each_field_of_a_json_answer_is_counted_alone() -> None:
    """A cut answer has every field wrong. true is not 1. A case without the value is left out there."""
    rows = [
        outcome(JSON, 0, '{"total": 3, "a/b": null, "paid": true}', total=3, ab=None),
        outcome(JSON, 1, '{"total": 4, "a/b": "x", "paid": 1}', total=3, ab="x"),
        outcome(JSON, 2, '{"total":', "cut", total=3, ab="x"),
        outcome(JSON, 3, '{"total": 3}', ab="x"),
    ]  # fmt: skip
    rates = [(rate.pointer, rate.right, rate.n) for rate in field_rates(JSON, rows)]
    assert rates == [("/total", 1, 3), ("/a~1b", 2, 4), ("/paid", 1, 4)]
    assert "| /a~1b | fields | 2 | 4 |" in "\n".join(details(JSON, rows))
    assert field_rates(CHOICE, SHUNG) == []


def test_the_calibration_error_of_a_worked_example() -> None:
    """Ten answers at 0.75 of which six are right, and ten at 0.95 of which all are: (10 * 0.15 + 10 * 0.05) / 20."""
    answers = [ScoredAnswer(0.75, i < 6) for i in range(10)] + [ScoredAnswer(0.95, True)] * 10
    assert calibration.expected_calibration_error(answers) == pytest.approx(0.1)
    assert [(row.n, row.accuracy) for row in calibration.reliability(answers)] == [(10, 0.6), (10, 1.0)]
    assert calibration.expected_calibration_error([ScoredAnswer(0.0, False), ScoredAnswer(1.0, True)]) == 0
    with pytest.raises(ValueError, match="at least one"):
        calibration.expected_calibration_error([])


def test_coverage_falls_as_the_threshold_rises_and_equal_probabilities_stay_together() -> None:
    answers = [ScoredAnswer(0.5, False), ScoredAnswer(0.5, True), ScoredAnswer(0.9, True), ScoredAnswer(0.7, False)]
    curve = calibration.coverage_curve(answers, 5)
    assert [(point.threshold, point.answered, point.right) for point in curve] == [
        (0.5, 4, 2),
        (0.7, 2, 1),
        (0.9, 1, 1),
    ]
    assert (curve[0].coverage, curve[0].accuracy) == (0.8, 0.5)


def test_a_report_has_the_classes_and_the_calibration() -> None:
    text = "\n".join(details(CHOICE, SHUNG))
    assert "| fish | 10 | 3 | 66.7 % (20.8 to 93.9) | 20.0 % (5.7 to 51.0) | 30.8 %" in text
    assert "Most frequent mistakes: fish as cat 6, dog as cat 3" in text
    assert (
        "Expected calibration error 0.320. Accuracy of the most probable answers: 48.0 % of 100 % (from 0.80)." in text
    )


def test_rows_have_the_same_columns_and_survive_csv_and_a_frame() -> None:
    """Inputs, expected values, the answer, checks and probabilities."""
    rows = table_rows(CHOICE, SHUNG)
    assert len({tuple(row) for row in rows}) == 1
    assert {
        "input.text": "text | 4",
        "expected": "cat",
        "answer": "fish",
        "check.label": False,
        "p.fish": 0.8,
    }.items() <= rows[4].items()
    assert (
        csv_text(rows)
        .splitlines()[5]
        .startswith("c4,0,all,text | 4,cat,fish,false,false,0.0,\"expected 'cat', got 'fish'\"")
    )
    table = frame(table_rows(JSON, [outcome(JSON, 0, "{}", total=[1, 2], ab=None)]))
    assert table["expected.total"].tolist() == ["[1, 2]"]
    assert frame(rows)["check.label"].mean() == 12 / 25


def test_cases_without_a_slice_beside_others_have_a_row_of_their_own() -> None:
    """`all` is the row of every case, and there is one."""
    rows = [replace(one, case=replace(one.case, slice="long")) if i < 10 else one for i, one in enumerate(SHUNG)]
    assert [(name, len(chosen)) for name, chosen in report.slices(rows)] == [("(none)", 15), ("long", 10), ("all", 25)]
    assert [(name, len(chosen)) for name, chosen in report.slices(SHUNG)] == [("all", 25)]
    assert {row["slice"] for row in table_rows(CHOICE, rows)} == {"(none)", "long"}
    assert {row["slice"] for row in table_rows(CHOICE, SHUNG)} == {"all"}


def test_no_two_slices_share_a_name() -> None:
    given = ["all", "'all'", "\"'all'\"", "(none)", "'(none)'", "", "long"]
    names = slice_names(given)
    assert len(set(names.values()) | {"all"}) == len(given) + 1
    assert (names["'all'"], names["'(none)'"], names[""], names["long"]) == ("'all'", "'(none)'", "(none)", "long")
    assert slice_names(["all", "'long'", "'"]) == {"all": "'all'", "'long'": "'long'", "'": "'"}


def test_a_slice_may_have_any_name() -> None:
    """The cases without a slice, and all cases, have names of their own. A slice 0 is one."""
    rows = [{"id": str(number), "slice": name} for number, name in enumerate(["all", "(none)", 0, None, "long"])]
    cases, _ = case_files.from_rows(("", row) for row in rows)
    outcomes = [CaseOutcome(case, Record(case.id, "f", "x", (), "stop"), ()) for case in cases]
    assert [(name, [outcome.case.id for outcome in chosen]) for name, chosen in report.slices(outcomes)] == [
        ("(none)", ["3"]), ("'(none)'", ["1"]), ("0", ["2"]), ("'all'", ["0"]), ("long", ["4"]), ("all", list("01234"))
    ]  # fmt: skip
    found = groups.groups(replace(CHOICE, spec=CHOICE.spec.model_copy(update={"evaluators": ()})), cases)
    assert {name: sorted(ids) for name, ids in found.items()} == {
        "slice (none)": ["3"], "slice '(none)'": ["1"], "slice 0": ["2"], "slice all": ["0"], "slice long": ["4"]
    }  # fmt: skip
    result = ScaleResult("x")
    for outcome in outcomes:
        result.add(outcome)
    table = report.slices(outcomes)[:-1]
    assert list(result.as_json()["slices"].items()) == [
        (name, {"passed": len(chosen), "cases": len(chosen)}) for name, chosen in table
    ]
    names = [next(name for name, chosen in table if outcome in chosen) for outcome in outcomes]
    assert [json.loads(line)["slice"] for line in json_lines(outcomes)] == names
    log = json.loads(inspect_log(CHOICE, outcomes, "m")[0])
    assert [sample["metadata"]["slice"] for sample in log["samples"]] == names
    assert [row["slice"] for row in table_rows(CHOICE, outcomes)] == names


def test_a_single_slice_called_all_needs_no_quotes() -> None:
    """The answers that an evaluation writes have it for rows without one, and may be read as cases again."""
    lines = [json.loads(line) for line in json_lines(SHUNG)]
    cases, _ = case_files.from_rows(("", {"id": line["id"], "slice": line["slice"]}) for line in lines)
    outcomes = [CaseOutcome(case, Record(case.id, "f", "x", (), "stop"), ()) for case in cases]
    assert [name for name, _ in report.slices(outcomes)] == ["all"]
    assert {row["slice"] for row in table_rows(CHOICE, outcomes)} == {"all"}
