"""An evaluation as one HTML page: scores, classes, every answer with filter and search, two versions side by side.

In: a prompt, outcomes, the outcomes of another version. Out: the text of a page that needs no other file and no
network. Everything that a person or a model wrote is text: the template escapes it, and the page's policy runs only its
own script.
Not here: the numbers (`classes`, `fields`, `calibration`), and Markdown (`report`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from service.evaluation import report
from service.evaluation.bad_rows import expected_label
from service.evaluation.calibration import (
    CoveragePoint,
    ScoredAnswer,
    coverage_curve,
    expected_calibration_error,
    reliability,
    scored_answers,
)
from service.evaluation.cases import slice_names
from service.evaluation.classes import confusion
from service.evaluation.fields import field_rates
from service.evaluation.report_details import CLASS_HEAD, class_row, percent
from service.evaluation.runner import CaseOutcome
from service.evaluation.side_by_side import side_by_side
from service.evaluation.statistics import wilson
from service.prompts.file import Prompt
from service.prompts.render import text_of

TEMPLATE = Path(__file__).with_name("html_report.html")
SCRIPT = Path(__file__).with_name("html_report.js")
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25)  # of the answered cases, in the table of coverage


def page(prompt: Prompt, outcomes: Sequence[CaseOutcome], before: Sequence[CaseOutcome] = (), verdict: str = "") -> str:
    """The page. `before` are the outcomes of the version to compare with, and `verdict` is a sentence about it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = SCRIPT.read_text(encoding="utf-8")
    old = {outcome.case.id: outcome for outcome in before}
    matrix, answers = confusion(prompt, outcomes), scored_answers(prompt, outcomes)
    judged = [outcome for outcome in outcomes if outcome.judged]
    slices = slice_names(outcome.case.slice for outcome in outcomes)
    passed = sum(outcome.passed for outcome in judged)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=prompt.name,
        verdict=verdict,
        rate=report.format_rate(passed, len(judged)) if judged else "",
        passed=passed,
        judged=len(judged),
        guess=report.guessing(prompt, outcomes).replace("`", "'"),
        checks=[check.name for check in prompt.spec.evaluators],
        classes=[class_row(score) for score in matrix.scores] if matrix is not None else [],
        class_head=CLASS_HEAD,
        matrix=matrix,
        fields=[
            (rate, percent(rate.right / rate.n, wilson(rate.right, rate.n))) for rate in field_rates(prompt, outcomes)
        ],
        scores=[
            (
                name,
                check,
                sum(result.passed for result in results),
                len(results),
                report.format_rate(sum(result.passed for result in results), len(results)),
            )
            for name, chosen in report.slices(judged)
            for check, results in report.by_check(prompt, chosen)
        ],
        bins=reliability(answers),
        curve=[(point, percent(point.accuracy, point.interval)) for point in _curve(answers, len(outcomes))],
        error=expected_calibration_error(answers) if answers else None,
        rows=[_row(prompt, outcome, old.get(outcome.case.id), slices) for outcome in _failures_first(outcomes)],
        compared=bool(old),
        text=prompt.text,
        script=Markup(script),  # noqa: S704 # our own file
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _curve(answers: Sequence[ScoredAnswer], n: int) -> list[CoveragePoint]:
    """The points of the coverage curve next to these shares of answered cases."""
    points = coverage_curve(answers, n)
    chosen = [min(points, key=lambda point: abs(point.coverage - share)) for share in SHARES] if points else []
    return list(dict.fromkeys(chosen))


def _failures_first(outcomes: Sequence[CaseOutcome]) -> list[CaseOutcome]:
    return sorted(outcomes, key=lambda outcome: outcome.passed)


def _row(prompt: Prompt, outcome: CaseOutcome, old: CaseOutcome | None, slices: dict[str, str]) -> dict[str, Any]:
    """The values of one case. The marks of `side_by_side` are the only markup, and it escapes the texts."""
    left, right = side_by_side(old.record.text, outcome.record.text) if old is not None else ("", "")
    change = ""
    if old is not None:
        change = {(True, False): "lost", (False, True): "gained"}.get((old.passed, outcome.passed), "")
        change = change or ("changed" if old.record.text != outcome.record.text else "same")
    expected = expected_label(prompt, outcome.case)
    inputs = outcome.case.inputs(prompt)
    others = {name: value for name, value in outcome.case.values.items() if name not in (*inputs, "id", "slice")}
    return {
        "id": outcome.case.id,
        "slice": slices[outcome.case.slice],
        "state": outcome.state,
        "change": change,
        "inputs": [(name, text_of(value)) for name, value in inputs.items()],
        "expected": [("", expected)]
        if expected is not None
        else [(name, text_of(value)) for name, value in others.items()],
        "answers": [record.text for record in outcome.records],
        "before": Markup(left),  # noqa: S704 # escaped by side_by_side
        "now": Markup(right),  # noqa: S704 # escaped by side_by_side
        "checks": [(check.name, check.passed, check.reason) for check in outcome.checks],
        "probabilities": sorted(outcome.record.probabilities, key=lambda pair: -pair[1]),
    }
