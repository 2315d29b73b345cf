"""An evaluation as JSON values: scores, classes, fields, calibration, and every case with its answers.

In: a prompt and outcomes. Out: plain values, for programs and for the page of the service.
Not here: the numbers (`classes`, `fields`, `calibration`, `statistics`), Markdown (`report`), HTML (`html_report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.evaluation import report
from service.evaluation.bad_rows import expected_label
from service.evaluation.calibration import coverage_curve, expected_calibration_error, scored_answers
from service.evaluation.cases import slice_names
from service.evaluation.classes import ConfusionMatrix, confusion
from service.evaluation.fields import field_rates
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import Interval, wilson
from service.prompts.file import Prompt


def summary(outcomes: Sequence[CaseOutcome]) -> dict[str, Any]:
    """The number of cases that a check judges, of those that pass, and the 95 % Wilson interval of the rate."""
    judged = [outcome for outcome in outcomes if outcome.judged]
    passed = sum(outcome.passed for outcome in judged)
    return {"cases": len(judged), "passed": passed, "interval": list(wilson(passed, len(judged)))}


def document(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> dict[str, Any]:
    """Everything that is known about the outcomes. The parts that a prompt does not have are null or empty."""
    matrix, answers = confusion(prompt, outcomes), scored_answers(prompt, outcomes)
    slices = slice_names(outcome.case.slice for outcome in outcomes)
    return {
        **summary(outcomes),
        "judged": bool(prompt.spec.evaluators),
        "guessing": report.guessing(prompt, outcomes),
        "scores": _scores(prompt, outcomes),
        "matrix": _matrix(matrix) if matrix is not None else None,
        "fields": [
            {**rate._asdict(), "interval": list(wilson(rate.right, rate.n))} for rate in field_rates(prompt, outcomes)
        ],
        "coverage": [
            {
                "threshold": point.threshold,
                "coverage": point.coverage,
                "accuracy": point.accuracy,
                "interval": list(point.interval),
            }
            for point in coverage_curve(answers, len(outcomes))
        ],
        "calibration_error": expected_calibration_error(answers) if answers else None,
        "rows": [_row(prompt, outcome, slices) for outcome in outcomes],
        "file": prompt.text,
    }


def _scores(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[dict[str, Any]]:
    """The pass rate of each check on each slice, and on all cases at the end."""
    rows = []
    for name, chosen in report.slices(outcomes):
        for check, results in report.by_check(prompt, chosen):
            passed, n = sum(result.passed for result in results), len(results)
            rows.append({"slice": name, "check": check, "passed": passed, "of": n, "interval": list(wilson(passed, n))})
    return rows


def _matrix(matrix: ConfusionMatrix) -> dict[str, Any]:
    return {
        "labels": list(matrix.labels),
        "columns": list(matrix.columns),
        "counts": [list(row) for row in matrix.counts],
        "macro_f1": matrix.macro_f1,
        "remark": matrix.remark,
        "classes": [
            {
                "label": score.label,
                "cases": score.cases,
                "answered": score.answered,
                "precision": _rate(score.precision, score.precision_interval),
                "recall": _rate(score.recall, score.recall_interval),
                "f1": _rate(score.f1, score.f1_interval),
            }
            for score in matrix.scores
        ],
    }


def _rate(value: float | None, interval: Interval | None) -> list[float] | None:
    """[rate, low, high]."""
    return [value, *interval] if value is not None and interval is not None else None


def _row(prompt: Prompt, outcome: CaseOutcome, slices: dict[str, str]) -> dict[str, Any]:
    """One case. `expected` has the values that are no inputs, such as the label."""
    inputs = outcome.case.inputs(prompt)
    return {
        "id": outcome.case.id,
        "slice": slices[outcome.case.slice],
        "state": outcome.state,
        "inputs": inputs,
        "label": expected_label(prompt, outcome.case),
        "expected": {
            name: value for name, value in outcome.case.values.items() if name not in (*inputs, "id", "slice")
        },
        "answers": [record.text for record in outcome.records],
        "problem": outcome.record.problem,
        "tokens": list(outcome.record.tokens),
        "fingerprint": outcome.record.fingerprint,
        "probabilities": dict(outcome.record.probabilities) or None,
        "checks": [
            {"name": check.name, "passed": check.passed, "reason": check.reason, "score": check.score}
            for check in outcome.checks
        ],
    }
