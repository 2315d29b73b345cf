"""The results of an evaluation as rows of a table: for frames, CSV, Parquet and the page.

In: a prompt and outcomes. Out: one flat mapping per answer, with the same keys in every row.
Not here: files and displays.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from service.errors import EvaluationError
from service.evaluation.bad_rows import expected_label
from service.evaluation.cases import slice_names
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt
from service.prompts.render import PLACEHOLDER, text_of


def table_rows(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[dict[str, Any]]:
    """One row per answer: `id, repeat, slice, input.NAME, expected, answer, passed, check.NAME, score.NAME,
    reason.NAME, p.LABEL, problem, tokens, seconds, fingerprint`. `expected` is the expected label. Other expected
    values, such as those of JSON fields, are `expected.NAME`. A check that does not judge the case has None.
    """
    names = list(prompt.inputs_schema.get("properties", {}))
    others = [name for name in _compared(prompt) if name not in names]
    labels = dict.fromkeys(
        label for outcome in outcomes for record in outcome.records for label, _ in record.probabilities
    )
    slices = slice_names(outcome.case.slice for outcome in outcomes)
    rows = []
    for outcome in outcomes:
        values = outcome.case.values
        results = {check.name: outcome.result(check.name) for check in prompt.spec.evaluators}
        for record in outcome.records:
            shares = dict(record.probabilities)
            rows.append({
                "id": outcome.case.id, "repeat": record.repeat, "slice": slices[outcome.case.slice],
                **{f"input.{name}": values.get(name) for name in names},
                "expected": expected_label(prompt, outcome.case),
                **{f"expected.{name}": values.get(name) for name in others},
                "answer": prompt.decision(record.text, shares), "passed": outcome.passed if outcome.judged else None,
                **{f"check.{name}": result and result.passed for name, result in results.items()},
                **{f"score.{name}": result and result.score for name, result in results.items()},
                **{f"reason.{name}": result and result.reason for name, result in results.items()},
                **{f"p.{label}": shares.get(label) for label in labels},
                "problem": record.problem, "prompt_tokens": record.prompt_tokens, "tokens": len(record.tokens),
                "seconds": record.seconds, "fingerprint": record.fingerprint,
            })  # fmt: skip
    return rows


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """Rows as a pandas frame. Lists and objects are JSON texts, so that Parquet and CSV take them.

    Raises:
        EvaluationError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise EvaluationError(
            "A frame needs pandas.", key="frame", remedy="Install the extra notebook, or write CSV."
        ) from None
    plain = [
        {name: text_of(value) if isinstance(value, (list, dict)) else value for name, value in row.items()}
        for row in rows
    ]
    return pandas.DataFrame(plain)


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV. A list or an object is JSON, and a missing value an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None else text_of(value)


def _compared(prompt: Prompt) -> list[str]:
    """The names of values that the checks compare with, besides the label."""
    names: dict[str, None] = {}
    for check in prompt.spec.evaluators:
        templates: list[Any] = [check.regex, check.notContains, *(check.oneOf or ())]
        templates += list(check.json_.equals.values()) if check.json_ is not None else []
        templates += [check.similarity.to] if check.similarity is not None else []
        if check.string is not None:
            templates += [check.string.contains, check.string.startsWith, check.string.endsWith]
        names.update(
            dict.fromkeys(name for text in templates if isinstance(text, str) for name in PLACEHOLDER.findall(text))
        )
    return list(names)
