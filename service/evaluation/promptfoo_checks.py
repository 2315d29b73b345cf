"""Evaluators that judge rows as the assertions of promptfoo's tests do.

In: rows, and the assertions about each. Out: evaluators, and columns in the rows for values that differ.
promptfoo's assertions belong to a test, and our checks to all cases. In a test without some assertion its column has a
pattern that every answer matches.
Not here: reading the tests (`promptfoo_tests`), and the patterns (`assertions`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import short_name
from service.evaluation import assertions
from service.evaluation.promptfoo_files import Node, Source
from service.prompts.render import PLACEHOLDER

Row = dict[str, Any]
JUDGES = ("llm-rubric", "model-graded-closedqa")
NATURAL = {"equals": "equals", "icontains": "contains"}


@dataclass(frozen=True)
class Assertion:
    """One assertion about one row. `value` is rendered."""

    kind: str
    value: Any
    metric: str | None
    node: Node


def evaluators_for(
    rows: list[Row], judged: list[list[Assertion]], source: Source, judge: str | None
) -> list[dict[str, Any]]:
    """One evaluator for each kind and place of assertion, with columns for values that differ."""
    columns: dict[tuple[str, str, int], dict[int, Assertion]] = {}
    for number, checks in enumerate(judged):
        seen: Counter[tuple[str, str]] = Counter()
        for check in checks:
            key = (check.metric or check.kind, check.kind)
            seen[key] += 1
            columns.setdefault((*key, seen[key]), {})[number] = check
    names = Counter(name for name, _, _ in columns)
    used: Counter[str] = Counter()
    evaluators = []
    for (label, kind, _), given in columns.items():
        used[label] += 1
        name = label if names[label] == 1 else f"{label}-{used[label]}"
        first = next(iter(given.values()))
        written = _check(name, kind, given, rows, judge)
        if isinstance(written, str):
            source.note(first.node, written)
            continue
        if len(given) < len(rows):
            source.note(
                first.node,
                f"{short_name(name)} is asserted of {len(given)} of {len(rows)} tests. The others pass this check.",
            )
        if kind == "equals" and "string" in written:
            source.note(first.node, "equals ignores blanks around the answer here.")
        evaluators.append({"name": name, **written})
    return evaluators


def _check(
    name: str, kind: str, given: Mapping[int, Assertion], rows: list[Row], judge: str | None
) -> dict[str, Any] | str:
    """The check for a column of assertions, or a sentence why there is none."""
    values = [given[number].value if number in given else None for number in range(len(rows))]
    whole, first = len(given) == len(rows), next(iter(given.values())).value
    same = all(check.value == first for check in given.values())
    if kind in JUDGES:
        if judge is None or not whole:
            return (
                f"{kind} needs a judge: name a model with --judge."
                if judge is None
                else f"{kind} is not asserted of every test, and is left out."
            )
        return {"llm": rubric(judge, _inline(first) if same else _column(rows, name, values))}
    if kind == "is-json":
        schema = _schema(first)
        if not whole or not same or (first is not None and schema is None):
            return "is-json has another schema for some tests, or none, and is left out."
        return {"json": {} if schema is None else {"schema": schema}}
    if kind == "equals" and any(isinstance(value, dict | list) for value in values):
        if not whole or any(isinstance(value, str) for value in values):
            return "equals of a JSON value is not asserted of every test, and is left out."
        return {"json": {"equals": {"": _column(rows, name, values)}}}
    if (
        whole
        and kind in NATURAL
        and all(isinstance(value, (str, int, float)) and str(value).strip() for value in values)
    ):
        texts = [assertions.text_of(value) for value in values]
        if kind != "equals" or all(text == text.strip() for text in texts):
            text = _inline(texts[0]) if same else None
            return {"string": {NATURAL[kind]: text or _column(rows, name, texts)}}
    patterns = [
        assertions.pattern(kind, value) if number in given else assertions.ANYTHING
        for number, value in enumerate(values)
    ]
    if None in patterns:
        return f"{short_name(kind)} has no check here, and is left out."
    text = _inline(patterns[0]) if whole and same else None
    return {"regex": text or _column(rows, name, patterns)}


def _inline(text: Any) -> str | None:
    """A text that an evaluator can hold itself. None if it has a placeholder, which would be filled in."""
    written = assertions.text_of(text)
    return None if PLACEHOLDER.search(written) else written


def _column(rows: list[Row], name: str, values: Sequence[Any]) -> str:
    """Add a column to the rows, and return its placeholder."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-") or "value"
    column = f"{plain}-value"
    while any(column in row for row in rows):
        column += "-"
    for row, value in zip(rows, values, strict=True):
        row[column] = value
    return f"{{{{{column}}}}}"


def _schema(value: Any) -> dict[str, Any] | None:
    """The schema of an assertion, which may be text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def rubric(model: str, text: str | None) -> dict[str, Any]:
    """A judge that says whether an answer meets a rubric."""
    return {
        "modelId": model,
        "systemPrompt": "You check answers. Reply with yes or no.",
        "prompt": f"Answer:\n{{{{completion}}}}\n\nDoes the answer meet this criterion: {text}",
        "choices": [{"choice": "yes", "score": 1}, {"choice": "no", "score": 0}],
    }
