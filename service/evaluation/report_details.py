"""The parts of a report that look inside the scores: classes, fields of JSON answers, calibration, inputs of failures.

In: a prompt and outcomes. Out: lines of Markdown.
Not here: the report as a whole (`report`), and the numbers (`classes`, `fields`, `calibration`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from service.evaluation.calibration import coverage_curve, expected_calibration_error, scored_answers
from service.evaluation.cases import shortened
from service.evaluation.classes import ClassScore, confusion
from service.evaluation.fields import field_rates
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import Interval, wilson
from service.prompts.file import Prompt

CLASSES = 20  # rows of the table of classes
INPUT = 160  # characters of an input
COVERAGES = (1.0, 0.9, 0.75, 0.5)


def details(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    """The lines of all parts that this prompt has."""
    return [*_classes(prompt, outcomes), *_fields(prompt, outcomes), *_calibration(prompt, outcomes)]


def input_text(prompt: Prompt, outcome: CaseOutcome, length: int = INPUT) -> str:
    """The inputs of a case on one line. Several are named."""
    inputs = outcome.case.inputs(prompt)
    if len(inputs) == 1:
        return shortened(next(iter(inputs.values())), length)
    return shortened(", ".join(f"{name}: {shortened(value, length)}" for name, value in inputs.items()), length)


def case_table(prompt: Prompt, outcomes: Sequence[CaseOutcome], rows: int) -> list[str]:
    """A table of at most `rows` cases with their answers and inputs, the failures first."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.passed)[:rows]
    lines = ["", "| case | checks | answer | input |", "|---|---|---|---|"]
    for outcome in ordered:
        words = "; ".join(outcome.reasons) or ("ok" if outcome.judged else "not judged")
        columns = (outcome.case.id, words, shortened(outcome.record.text, INPUT), input_text(prompt, outcome))
        lines.append(f"| {' | '.join(map(cell, columns))} |")
    return [*lines, f"And {len(outcomes) - rows} more."] if len(outcomes) > rows else lines


def percent(rate: float | None, interval: Interval | None) -> str:
    """A rate with its interval, or a dash."""
    if rate is None or interval is None:
        return "-"
    return f"{100 * rate:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def class_row(score: ClassScore) -> tuple[str, str, str, str, str, str]:
    """(label, cases, answered, precision, recall, F1) as texts."""
    return (
        score.label, str(score.cases), str(score.answered), percent(score.precision, score.precision_interval),
        percent(score.recall, score.recall_interval), percent(score.f1, score.f1_interval),
    )  # fmt: skip


CLASS_HEAD = ("class", "cases", "answered", "precision", "recall", "F1")


def _classes(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    matrix = confusion(prompt, outcomes)
    if matrix is None:
        return []
    lines = ["", f"| {' | '.join(CLASS_HEAD)} |", "|---|--:|--:|---|---|---|"]
    scores = sorted(matrix.scores, key=lambda score: -score.cases)
    lines += [f"| {' | '.join(map(cell, class_row(score)))} |" for score in scores[:CLASSES]]
    if len(scores) > CLASSES:
        lines += ["", f"And {len(scores) - CLASSES} more classes."]
    mistakes = [f"{cell(expected)} as {cell(answer)} {count}" for expected, answer, count in matrix.confusions()]
    most = f" Most frequent mistakes: {', '.join(mistakes)}." if mistakes else ""
    lines += ["", f"Macro F1 {100 * matrix.macro_f1:.1f} %, intervals 95 %.{most}"]
    return [*lines, "", cell(matrix.remark, code=True)] if matrix.remark else lines


def _fields(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    rates = field_rates(prompt, outcomes)
    if not rates:
        return []
    lines = ["", "| field | check | right | of | rate (95 % Wilson) |", "|---|---|--:|--:|---|"]
    return lines + [
        f"| {cell(row.pointer)} | {cell(row.check)} | {row.right} | {row.n} "
        f"| {percent(row.right / row.n, wilson(row.right, row.n))} |"
        for row in rates
    ]


def _calibration(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    answers = scored_answers(prompt, outcomes)
    if not answers:
        return []
    curve = coverage_curve(answers)
    parts = []
    for share in COVERAGES:
        point = max((point for point in curve if point.coverage <= share), key=lambda p: p.coverage, default=None)
        if point is not None:
            parts.append(f"{100 * point.accuracy:.1f} % of {100 * point.coverage:.0f} % (from {point.threshold:.2f})")
    error = expected_calibration_error(answers)
    return [
        "",
        f"Expected calibration error {error:.3f}. Accuracy of the most probable answers: "
        f"{', '.join(dict.fromkeys(parts))}.",
    ]


def cell(text: str, *, code: bool = False) -> str:
    """Text that stays inside one cell of a Markdown table and is not read as markup. `code` keeps its backticks."""
    plain = html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
    return plain if code else plain.replace("`", "'")
