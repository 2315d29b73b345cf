"""Cases: input rows with an id and the expected answer, from the prompt file and from the JSONL file that it names.

In: a prompt. Out: cases with unique ids. An evaluation without cases proves nothing, so none is an error, and so is a
case that the prompt's inputs do not take.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import text_files
from service.errors import EvaluationError
from service.prompts.file import Prompt

FORM = "A file of cases holds one JSON object a line."


@dataclass(frozen=True)
class Case:
    """One row. The prompt takes its inputs from `values`, and the checks take the expected values from there."""

    id: str
    values: Mapping[str, Any]
    slice: str = "all"

    def inputs(self, prompt: Prompt) -> dict[str, Any]:
        """The values that are inputs of the prompt."""
        return prompt.inputs_of(self.values)


def load(prompt: Prompt, folder: Path | None = None) -> tuple[Case, ...]:
    """The prompt's cases in the order of the file. `folder` holds the file, by default the prompt's own folder.

    Raises:
        EvaluationError: if there are no cases, if an id occurs twice, or if a row cannot be used.
    """
    base = folder or (prompt.path.parent if prompt.path is not None else Path.cwd())
    rows: list[tuple[str, Mapping[str, Any]]] = [
        (f"{prompt.path or prompt.name}: testData {number}", row) for number, row in enumerate(prompt.spec.testData, 1)
    ]
    if prompt.spec.testDataFile is not None:
        rows += _lines(base / prompt.spec.testDataFile)
    if not rows:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData", remedy="Add testData or testDataFile.")
    cases: dict[str, Case] = {}
    for where, row in rows:
        case = Case(_id(row), row, str(row.get("slice", "all")))
        if case.id in cases:
            raise EvaluationError(f"{where}: the id {case.id!r} is there twice.", key="id")
        cases[case.id] = case
    return tuple(cases.values())


def _lines(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    text = text_files.read(path, EvaluationError, key="testDataFile")
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and its like do not end a line of JSON
        if not line.strip():
            continue
        row = text_files.from_json(line, str(path), EvaluationError, line=number, form=FORM, key="testDataFile")
        if not isinstance(row, dict):
            raise EvaluationError(f"{path}:{number}: not a case.", key="testDataFile", remedy=FORM)
        rows.append((f"{path}:{number}", row))
    return rows


def _id(row: Mapping[str, Any]) -> str:
    """The row's id, or a digest of its values. Two runs are paired by it."""
    if "id" in row:
        return str(row["id"])
    text = json.dumps(row, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
