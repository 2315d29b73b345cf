"""Cases in a notebook: a list that shows a profile of its rows.

In: a table and the names of its columns, or cases. Out: a list of cases with a short display, and a file of them.
Not here: reading and counting (`evaluation.tables`, `evaluation.columns`, `evaluation.data_profile`).
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from service import atomic_files
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import columns
from service.evaluation.cases import Case
from service.evaluation.data_profile import DataProfile, profile
from service.evaluation.tables import DataTable


class Cases(list[Case]):
    """Cases. They display as the number of rows, the classes, and sentences about rows that need a look.

    `expected` names their expected values.
    """

    def __init__(
        self, cases: Iterable[Case] = (), notes: Sequence[str] = (), expected: Sequence[str] = ("expected",)
    ) -> None:
        super().__init__(cases)
        self.notes = tuple(notes)
        self.expected = tuple(expected)

    @classmethod
    def of(cls, table: DataTable, names: columns.ColumnNames, limit: int | None) -> Cases:
        """The cases of a table.

        Raises:
            EvaluationError: if a column is missing, if an id occurs twice, or if there are no cases.
        """
        table, _ = columns.without_promptfoo(table)
        chosen = columns.Columns.of(names)
        loaded = case_files.from_rows(chosen.apply(table).rows)
        if not loaded.cases:
            raise EvaluationError("The data has no rows.", key="cases")
        return cls(loaded.cases[:limit], (*table.notes, *loaded.notes), tuple(chosen.expected) or ("expected",))

    @classmethod
    def like(cls, given: Sequence[Case], cases: Iterable[Case]) -> Cases:
        """Other cases, with the names of the expected values of the given ones."""
        return cls(cases, expected=given.expected) if isinstance(given, Cases) else cls(cases)

    @property
    def profile(self) -> DataProfile:
        """A look at the rows: classes and counts, duplicates, labels that are probably one class, missing values."""
        return profile(self, self.notes)

    def save(self, path: str | Path) -> Path:
        """Write the cases as JSON lines, with their ids and slices. Returns the path.

        Raises:
            OSError: if the file cannot be written.
        """
        lines = []
        for case in self:
            named = {"id": case.id} if not case.slice else {"id": case.id, "slice": case.slice}
            row: dict[str, Any] = {**named, **case.values}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.replace_text(target, "".join(lines))
        return target

    def __getitem__(self, index: Any) -> Any:
        """A case, or the cases of a slice."""
        chosen = super().__getitem__(index)
        return Cases(chosen, self.notes, self.expected) if isinstance(index, slice) else chosen

    def __repr__(self) -> str:
        """A few lines, for a terminal."""
        return str(self.profile) if self else "no cases"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"
