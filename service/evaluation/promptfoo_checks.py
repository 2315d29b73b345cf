"""Evaluators that judge rows as the assertions of promptfoo's tests do.

In: rows, and the assertions about each. Out: evaluators, and columns in the rows for values that differ.
promptfoo's assertions belong to a test. A check of some tests has `when`, so that it counts these tests only.
Not here: reading the tests (`promptfoo_tests`), and the patterns (`assertions`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import short_name
from service.evaluation import assertions
from service.evaluation.promptfoo_files import Node, Source
from service.prompts.render import PLACEHOLDER

TestValues = dict[str, Any]
"""The values of one test, with an `id`. An import writes them into a data file, which `cases` reads as any other."""
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
    rows: list[TestValues], judged: list[list[Assertion]], source: Source, judge: str | None
) -> list[dict[str, Any]]:
    """One evaluator for each kind and place of assertion, with columns for values that differ.

    An assertion of some tests has a `when`: a column that only the rows of these tests have.
    """
    columns: dict[tuple[str, str, int, str], dict[int, Assertion]] = {}
    for number, checks in enumerate(judged):
        seen: Counter[tuple[str, str]] = Counter()
        for check in checks:
            unread = _unread(check, judge)
            if unread is not None:
                source.note(check.node, unread)
                continue
            key = (check.metric or check.kind, check.kind)
            seen[key] += 1
            columns.setdefault((*key, seen[key], _form(check)), {})[number] = check
    names = Counter(name for name, *_ in columns)
    used: Counter[str] = Counter()
    evaluators = []
    for (label, kind, *_), given in columns.items():
        used[label] += 1
        name = label if names[label] == 1 else f"{label}-{used[label]}"
        check_, column = _check(name, kind, given, rows, judge)
        if len(given) < len(rows):
            if column is None or any(rows[number][column] in (None, "") for number in given):
                column = _column(rows, f"{name}-is-asserted", dict.fromkeys(given, True))
            check_["when"] = column
        if kind == "equals" and "string" in check_:
            for check in given.values():
                source.note(check.node, "equals ignores blanks around the answer here.")
        evaluators.append({"name": name, **check_})
    return evaluators


def _form(check: Assertion) -> str:
    """Assertions with different forms become evaluators of their own: schemas, and JSON values beside texts."""
    if check.kind in ("is-json", "not-is-json"):
        return json.dumps(check.value, sort_keys=True, default=str)
    return str(check.kind == "equals" and isinstance(check.value, dict | list))


def _unread(check: Assertion, judge: str | None) -> str | None:
    """The reason if there is no check here for an assertion. Else None."""
    kind, value = check.kind, check.value
    if kind == "is-json":
        wrong = value and not isinstance(value, dict)
        return "is-json has a schema that is no JSON object, and is left out." if wrong else None
    if kind in JUDGES:
        return f"{kind} needs a judge: name a model with --judge." if judge is None else None
    base = kind.removeprefix("not-")
    if base == "starts-with" and not isinstance(value, str):
        return "starts-with has a value that is no text, and is left out."
    if (kind == "equals" and isinstance(value, dict | list)) or assertions.pattern(kind, value) is not None:
        return None
    reason = "a pattern that JavaScript or Python refuses" if base == "regex" else "no check here"
    return f"{short_name(kind)} has {reason}, and is left out."


def _check(
    name: str, kind: str, given: Mapping[int, Assertion], rows: list[TestValues], judge: str | None
) -> tuple[dict[str, Any], str | None]:
    """The check for a column of assertions, and the column's name if it has one."""
    values = {number: check.value for number, check in given.items()}
    first = next(iter(values.values()))
    if kind == "is-json":
        return {"json": {"schema": first} if first else {}}, None
    if kind in JUDGES:
        return _written(rows, name, values, lambda text: {"llm": rubric(str(judge), text)})
    if kind == "equals" and isinstance(first, dict | list):
        column = _column(rows, name, values)
        return {"json": {"equals": {"": f"{{{{{column}}}}}"}}}, column
    if kind in NATURAL and all(
        isinstance(value, (str, int, float)) and str(value).strip() for value in values.values()
    ):
        texts = {number: assertions.text_of(value) for number, value in values.items()}
        if kind != "equals" or all(text == text.strip() for text in texts.values()):
            return _written(rows, name, texts, lambda text: {"string": {NATURAL[kind]: text}})
    patterns = {number: assertions.pattern(kind, value) or assertions.ANYTHING for number, value in values.items()}
    return _written(rows, name, patterns, lambda text: {"regex": text})


def _written(
    rows: list[TestValues], name: str, texts: Mapping[int, Any], check: Callable[[str], dict[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    """The check with its one text, or with the placeholder of a new column, and this column's name.

    A text with a placeholder stands in a column, because an evaluator's own text is filled in.
    """
    text = assertions.text_of(next(iter(texts.values())))
    if len(set(map(assertions.text_of, texts.values()))) == 1 and text and not PLACEHOLDER.search(text):
        return check(text), None
    column = _column(rows, name, texts)
    return check(f"{{{{{column}}}}}"), column


def _column(rows: list[TestValues], name: str, values: Mapping[int, Any]) -> str:
    """Add a column to these rows, and return its name."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-") or "value"
    column = plain if name.endswith("-is-asserted") else f"{plain}-value"
    while any(column in row for row in rows):
        column += "-"
    for number, value in values.items():
        rows[number][column] = value
    return column


def rubric(model: str, text: str) -> dict[str, Any]:
    """A judge that says whether an answer meets a rubric."""
    return {
        "modelId": model,
        "systemPrompt": "You check answers. Reply with yes or no.",
        "prompt": f"Answer:\n{{{{completion}}}}\n\nDoes the answer meet this criterion: {text}",
        "choices": [{"choice": "yes", "score": 1}, {"choice": "no", "score": 0}],
    }
