"""Cases: input rows with an id and what is expected. From the prompt file and from the JSONL file that it names.

What comes in: a prompt. What goes out: cases with unique ids. No cases, or a case that does not fit the prompt's
inputs, is an error: an evaluation of nothing proves nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import text_files
from service.errors import EvaluationError, InputsError
from service.prompts.file import Prompt

FORM = "A file of cases holds one JSON object a line."


@dataclass(frozen=True)
class Case:
    """One row. `values` is all of it: the prompt takes its inputs from there, the checks what they compare with."""

    id: str
    values: Mapping[str, Any]
    slice: str = "all"

    def inputs(self, prompt: Prompt) -> dict[str, Any]:
        """The row's part that the prompt takes."""
        wanted = prompt.inputs_schema.get("properties", {})
        return {name: value for name, value in self.values.items() if name in wanted}


def load(prompt: Prompt, folder: Path | None = None) -> tuple[Case, ...]:
    """The prompt's cases, in file order. Raises EvaluationError."""
    base = folder or (prompt.path.parent if prompt.path is not None else Path.cwd())
    rows: list[tuple[str, Mapping[str, Any]]] = [
        (f"{prompt.path or prompt.name}: testData {number}", row) for number, row in enumerate(prompt.spec.testData, 1)
    ]
    if prompt.spec.testDataFile is not None:
        rows += _lines(base / prompt.spec.testDataFile)
    if not rows:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData", remedy="Add testData or testDataFile.")
    found: dict[str, Case] = {}
    for where, row in rows:
        case = Case(_id(row), row, str(row.get("slice", "all")))
        if case.id in found:
            raise EvaluationError(f"{where}: the id {case.id!r} is there twice.", key="id")
        try:
            prompt.check_inputs(case.inputs(prompt))
        except InputsError as error:
            raise EvaluationError(f"{where}: {error}", key=error.key) from None
        found[case.id] = case
    return tuple(found.values())


def example(prompt: Prompt) -> dict[str, Any] | None:
    """The inputs of the first case, to try the prompt with; None when there is none. Reads no further than that."""
    if prompt.spec.testData:
        return Case("", prompt.spec.testData[0]).inputs(prompt)
    if prompt.spec.testDataFile is None or prompt.path is None:
        return None
    try:
        with (prompt.path.parent / prompt.spec.testDataFile).open(encoding="utf-8-sig") as file:
            found = Case("", json.loads(file.readline())).inputs(prompt)
        prompt.check_inputs(found)
    except (OSError, ValueError, AttributeError, InputsError):  # `load` says what is wrong with it, to who evaluates
        return None
    return found


def _lines(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    text = text_files.read(path, EvaluationError, key="testDataFile")
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and its like are no line ends in JSON
        if not line.strip():
            continue
        row = text_files.from_json(line, str(path), EvaluationError, line=number, form=FORM, key="testDataFile")
        if not isinstance(row, dict):
            raise EvaluationError(f"{path}:{number}: not a case.", key="testDataFile", remedy=FORM)
        rows.append((f"{path}:{number}", row))
    return rows


def _id(row: Mapping[str, Any]) -> str:
    """The row's id, or a digest of its values: pairing two runs depends on it."""
    if "id" in row:
        return str(row["id"])
    text = json.dumps(row, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
