"""Cases: input rows with an id and the expected answer, from the prompt file and from the data file that it names.

In: a prompt, or a table. Out: cases with unique ids, and notes about the rows. An evaluation without cases proves
nothing, so none is an error.
Not here: rows that cannot be asked or judged (`bad_rows`), data files (`tables`), their columns (`columns`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import EvaluationError, short_name
from service.evaluation import columns, tables
from service.evaluation.tables import Row, listed
from service.prompts.file import Prompt

ALL, NO_SLICE = "all", "(none)"
"""The names of all cases, and of those without a slice beside others."""


@dataclass(frozen=True)
class Case:
    """One row. The prompt takes its inputs from `values`, and the checks take the expected values from there.

    `slice` is "" for a row without one. `place` is the file and line of a row without an id of its own, whose `id` is
    a digest that no person can look up.
    """

    id: str
    values: Mapping[str, Any]
    slice: str = ""
    place: str = field(default="", compare=False, repr=False)

    @property
    def name(self) -> str:
        """The place if the row has no id of its own. Else the id."""
        return self.place or self.id

    def inputs(self, prompt: Prompt) -> dict[str, Any]:
        """The values that are inputs of the prompt."""
        return prompt.inputs_of(self.values)

    def __repr__(self) -> str:
        """One line, for a notebook's cell."""
        values = ", ".join(f"{name}={shortened(value, 40)}" for name, value in self.values.items() if name != "id")
        return f"<case {self.id}: {shortened(values, 120)}>"


class LoadedCases(NamedTuple):
    """Cases and the sentences that a person should read about their rows."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


def shortened(value: Any, length: int) -> str:
    """A value as text on one line, cut after `length` characters."""
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def slice_names(slices: Iterable[str]) -> dict[str, str]:
    """The name of each slice in a table. Beside others, "" is NO_SLICE, and one that is called so or ALL is quoted."""
    given = sorted(set(slices))
    if len(given) < 2:
        return {name: name or ALL for name in given}
    names = {name: name or NO_SLICE for name in given}
    for name in {NO_SLICE, ALL}.intersection(given):
        names[name] = repr(name)
        while names[name] in given:
            names[name] = repr(names[name])
    return names


def load(prompt: Prompt, folder: Path | None = None) -> tuple[Case, ...]:
    """The prompt's cases in the order of the file. `folder` holds the file, by default the prompt's own folder.

    Raises:
        EvaluationError: if there are no cases, if an id occurs twice, or if the file cannot be read.
    """
    return read(prompt, folder).cases


def read(prompt: Prompt, folder: Path | None = None) -> LoadedCases:
    """The prompt's cases, and notes about their rows.

    Raises:
        EvaluationError: if there are no cases, if an id occurs twice, or if the file cannot be read.
    """
    base = folder or (prompt.path.parent if prompt.path is not None else Path.cwd())
    rows: list[Row] = [
        (f"{prompt.path or prompt.name}: testData {number}", dict(row))
        for number, row in enumerate(prompt.spec.testData, 1)
    ]
    notes: tuple[str, ...] = ()
    if prompt.spec.testDataFile is not None:
        table = columns.renamed(tables.read(base / prompt.spec.testDataFile), prompt.spec.testDataFields)
        table, kind = columns.without_promptfoo(table)
        if kind is not None:
            columns.check_kind(prompt, kind)
        table = columns.typed(prompt, table)
        rows += table.rows
        notes = table.notes
    if not rows:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData", remedy="Add testData or testDataFile.")
    cases, more = from_rows(rows)
    return LoadedCases(cases, (*notes, *more))


def from_rows(rows: Iterable[Row]) -> LoadedCases:
    """The cases of rows. A row without an id that equals an earlier one is left out and noted.

    Raises:
        EvaluationError: if an id occurs twice.
    """
    cases: dict[str, Case] = {}
    places: dict[str, str] = {}
    repeated = []
    for where, row in rows:
        own = own_id(row)
        case = Case(
            own or _digest(row), row, "" if row.get("slice") is None else str(row["slice"]), "" if own else where
        )
        if case.id not in cases:
            cases[case.id], places[case.id] = case, where
        elif own is None:
            repeated.append(f"{where} (as {places[case.id]})")
        else:
            raise EvaluationError(
                f"{where}: the id {short_name(case.id)} is there twice, first at {places[case.id]}.",
                key="id",
                remedy="Give each row its own, or another name to the column.",
            )
    if not repeated:
        return LoadedCases(tuple(cases.values()))
    count = (
        "1 row equals an earlier one and was"
        if len(repeated) == 1
        else f"{len(repeated)} rows equal earlier ones and were"
    )
    return LoadedCases(tuple(cases.values()), (f"{count} left out: {listed(repeated)}.",))


def own_id(row: Mapping[str, Any]) -> str | None:
    """The id that a row gives itself, or None. A frame with a missing id has floats in that column."""
    value = row.get("id")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or value == "" else str(value)


def _digest(row: Mapping[str, Any]) -> str:
    """A digest of the row's values. Two runs are paired by it."""
    text = json.dumps({name: value for name, value in row.items() if name != "id"}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
