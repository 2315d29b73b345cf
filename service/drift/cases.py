"""Kept answers become cases, after a person has looked at each.

In: kept answers with content, a prompt with cases. Out: rows of a file for review, then rows of cases.
Not here: reading and writing files (`cli.cases`).

A row for review holds the masked inputs, the expected columns of the prompt's cases, and `reviewed: false`. The served
answer is the proposal for a label. A person corrects it, fills in the rest and sets `reviewed` to true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.prompts.file import Prompt

NOT_EXPECTED = {"id", "slice"}
REVIEWED, ANSWER = "reviewed", "served_answer"


def for_review(
    prompt: Prompt, cases: Sequence[Case], rows: Iterable[Mapping[str, Any]], most: int
) -> list[dict[str, Any]]:
    """At most `most` rows, the least sure first, without inputs that are cases or rows already.

    Raises:
        EvaluationError: if no kept answer has content.
    """
    with_content = [row for row in rows if row["inputs"] is not None]
    if not with_content:
        raise EvaluationError(
            f"No answer of {prompt.name} was kept with its inputs.",
            key="SAMEBOAT_KEEP_CONTENT",
            remedy="Set SAMEBOAT_KEEP_SHARE above 0 and SAMEBOAT_KEEP_CONTENT=true, and serve some answers.",
        )
    columns = expected_columns(prompt, cases)
    known = [case.inputs(prompt) for case in cases]
    chosen: list[dict[str, Any]] = []
    for row in sorted(with_content, key=_sureness):
        if row["inputs"] in known:
            continue
        known.append(row["inputs"])
        proposed = {name: row["label"] if labelled else None for name, labelled in columns.items()}
        chosen.append(
            {"id": f"kept-{row['number']}", **row["inputs"], **proposed, ANSWER: row["answer"], REVIEWED: False}
        )
    return chosen[:most]


def _sureness(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Unusable answers first, then the least probable labels."""
    return not row["invalid"], max((row["probabilities"] or {}).values(), default=1.0)


def expected_columns(prompt: Prompt, cases: Sequence[Case]) -> dict[str, bool]:
    """The columns of the cases that are no inputs, each with whether all of its values are labels of the prompt."""
    inputs = set(prompt.inputs_schema.get("properties", {}))
    names = dict.fromkeys(name for case in cases for name in case.values if name not in inputs | NOT_EXPECTED)
    labels = set(prompt.spec.choices)
    return {
        name: bool(labels) and {str(case.values[name]) for case in cases if name in case.values} <= labels
        for name in names
    }


def reviewed(prompt: Prompt, cases: Sequence[Case], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that a person has reviewed, as rows of cases.

    Raises:
        EvaluationError: if a reviewed row lacks an expected value, or its inputs do not fit the prompt.
    """
    columns = expected_columns(prompt, cases)
    taken = {case.id for case in cases}
    new = []
    for number, row in enumerate(rows, 1):
        if row.get(REVIEWED) is not True or row.get("id") in taken:
            continue
        missing = [name for name in columns if row.get(name) is None]
        if missing:
            raise EvaluationError(
                f"Row {number} is reviewed and has no {missing[0]}.",
                key=missing[0],
                remedy="Write the right value, or set reviewed to false.",
            )
        prompt.check_inputs(prompt.inputs_of(row))
        new.append({name: value for name, value in row.items() if name not in (REVIEWED, ANSWER)})
    return new
