"""The meaning of a data file's columns: inputs, expected values, ids, slices.

In: a table, and the names of its columns. Out: a table in our names: an `id`, perhaps a `slice`, the inputs, and
`expected` values. promptfoo's `__expected` becomes `expected`. Any other column of promptfoo that changes how a row is
judged is refused by its name.
Not here: reading files (`tables`), and unique ids (`cases`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from service import strict_json
from service.errors import EvaluationError, did_you_mean, short_name
from service.evaluation import assertions
from service.evaluation.tables import DataTable, Row
from service.prompts.file import Prompt
from service.prompts.render import PLACEHOLDER
from service.prompts.spec import Evaluator

KINDS = {"equals": "equals", "contains": "contains", "icontains": "contains", "starts-with": "startsWith",
         "regex": "regex", "not-contains": "notContains", "not-icontains": "notContains"}  # fmt: skip
"""promptfoo's assertion, and our check for it."""
INFORMATION = ("__description", "__metadata:")
"""Columns of promptfoo that change nothing about a row's judgement."""


class ColumnNames(TypedDict, total=False):
    """The columns of a caller's data. `inputs` and `expected` may map our names to columns."""

    inputs: str | Sequence[str] | Mapping[str, str] | None
    expected: str | Sequence[str] | Mapping[str, str] | None
    id: str | None
    slice: str | None


@dataclass(frozen=True)
class Columns:
    """Our names and the columns for them. Without `inputs` every other column is an input under its own name."""

    inputs: Mapping[str, str] | None
    expected: Mapping[str, str]
    id: str | None
    slice: str | None

    @classmethod
    def of(cls, names: ColumnNames) -> Columns:
        """The columns as a caller names them. One expected column is `expected`, several keep their names."""
        inputs, expected = names.get("inputs"), names.get("expected")
        if isinstance(expected, str):
            expected = {"expected": expected}
        return cls(
            _mapping(inputs) if inputs is not None else None,
            _mapping(expected or {}),
            names.get("id"),
            names.get("slice"),
        )

    def apply(self, table: DataTable) -> DataTable:
        """The table in our names.

        Raises:
            EvaluationError: if a column is missing.
        """
        known = list(dict.fromkeys(name for _, row in table.rows for name in row))
        special = {"id": self.id, "slice": self.slice}
        named = [*(self.inputs or {}).values(), *self.expected.values(), *(name for name in special.values() if name)]
        for name in named:
            if name not in known and table.rows:
                raise EvaluationError(
                    f"There is no column {short_name(name)}.",
                    key=name,
                    remedy=did_you_mean(name, known, f"The columns are {', '.join(map(short_name, known[:20]))}."),
                )
        taken = {*self.expected.values(), *(name for name in special.values() if name)}
        inputs = self.inputs if self.inputs is not None else {name: name for name in known if name not in taken}
        chosen = {**inputs, **self.expected, **{name: column for name, column in special.items() if column}}
        rows = [
            (where, {ours: row[theirs] for ours, theirs in chosen.items() if theirs in row})
            for where, row in table.rows
        ]
        return replace(table, rows=tuple(rows))


def _mapping(names: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(names, str):
        return {names: names}
    return dict(names) if isinstance(names, Mapping) else {name: name for name in names}


def renamed(table: DataTable, fields: Mapping[str, str]) -> DataTable:
    """The table with columns under our names, as `testDataFields` maps them. The other columns keep theirs.

    Raises:
        EvaluationError: if a column is missing.
    """
    known = list(dict.fromkeys(name for _, row in table.rows for name in row))
    for column in fields.values():
        if column not in known and table.rows:
            hint = did_you_mean(column, known, f"The columns are {', '.join(map(short_name, known[:20]))}.")
            raise EvaluationError(f"testDataFields: there is no column {short_name(column)}.", key=column, remedy=hint)
    rows: list[Row] = []
    for where, row in table.rows:
        others = {name: value for name, value in row.items() if name not in fields.values() and name not in fields}
        rows.append((where, {**others, **{ours: row[theirs] for ours, theirs in fields.items() if theirs in row}}))
    return replace(table, rows=tuple(rows))


def without_promptfoo(table: DataTable) -> tuple[DataTable, str | None]:
    """The table with `expected` in place of promptfoo's `__expected`, and our check for its assertions.

    None if the table has no such column.

    Raises:
        EvaluationError: if rows have several assertions, different ones, one that has no check here, or a column of
            promptfoo that changes the judgement.
    """
    rows: list[Row] = []
    kinds: dict[str, str] = {}
    notes = list(table.notes)
    if not any(name.startswith("__") for _, row in table.rows for name in row):
        return table, None
    for where, row in table.rows:
        ours = {name: value for name, value in row.items() if not name.startswith("__")}
        assertions = []
        for name, value in row.items():
            if not name.startswith("__") or value in ("", None):
                continue
            if re.fullmatch(r"__expected\d*", name):
                assertions.append(str(value))
            elif not name.startswith(INFORMATION):
                raise EvaluationError(
                    f"{where}: {short_name(name)} of promptfoo changes how a row is asked or judged, and is not read.",
                    key=name,
                    remedy="Remove the column.",
                )
        if len(assertions) > 1:
            raise EvaluationError(
                f"{where}: {len(assertions)} assertions in one row.",
                key="__expected",
                remedy="Write one expected value a row, and the checks into the prompt file.",
            )
        if assertions:
            kind, ours["expected"] = _assertion(assertions[0], where)
            kinds.setdefault(kind, where)
        else:
            ours["expected"] = None
        rows.append((where, ours))
    checks = {KINDS[kind]: where for kind, where in kinds.items()}
    if len(checks) > 1:
        (one, first), (other, second), *_ = checks.items()
        raise EvaluationError(
            f"__expected asks for {one} at {first} and for {other} at {second}.",
            key="__expected",
            remedy="Write one file for each kind of check.",
        )
    if "contains" in kinds or "starts-with" in kinds or "not-contains" in kinds:
        notes.append("promptfoo compares with upper and lower case here, and our check ignores it.")
    return replace(table, rows=tuple(rows), notes=tuple(notes)), next(iter(checks), "equals")


def _assertion(cell: str, where: str) -> tuple[str, str]:
    """promptfoo's kind and the expected value of a cell."""
    kind, value = assertions.of_cell(cell, where)
    if kind not in KINDS or value is None:
        raise EvaluationError(
            f"{where}: promptfoo's assertion {kind} has no check here.",
            key="__expected",
            remedy=f"Known are {', '.join(KINDS)}.",
        )
    return kind, value


def check_kind(prompt: Prompt, kind: str) -> None:
    """Refuse a file whose `__expected` asks for a check that the prompt does not have.

    Raises:
        EvaluationError: if no check of that kind uses `{{expected}}`.
    """
    if not any("expected" in PLACEHOLDER.findall(_template(check, kind) or "") for check in prompt.spec.evaluators):
        place = f"string: {{{kind}: '{{{{expected}}}}'}}" if kind in ("equals", "contains", "startsWith") else kind
        raise EvaluationError(
            f"__expected asks for {kind}, and {prompt.name} has no such check.",
            key="evaluators",
            remedy=f"Add the evaluator {place} with {{{{expected}}}}.",
        )


def _template(check: Evaluator, kind: str) -> str | None:
    if kind in ("regex", "notContains"):
        value: str | None = getattr(check, kind)
        return value
    return getattr(check.string, kind) if check.string is not None else None


def typed(prompt: Prompt, table: DataTable) -> DataTable:
    """Cells of an untyped table as values of the types that the prompt declares, where they are such values.

    The types are those of `inputs`, and for a `json` check those of the answer's schema. An empty cell of another type
    than text is absent.
    """
    types = {name: schema.get("type") for name, schema in _properties(prompt.inputs_schema).items()}
    for check in prompt.spec.evaluators:
        for pointer, template in (check.json_.equals if check.json_ is not None else {}).items():
            match = PLACEHOLDER.fullmatch(template.strip()) if isinstance(template, str) else None
            if match is not None:
                types.setdefault(match[1], _type_at(prompt.schema or {}, pointer))
    others = {name: kind for name, kind in types.items() if kind not in (None, "string")}
    if not table.untyped or not others:
        return table
    rows: list[Row] = []
    for where, row in table.rows:
        values = {name: _value(cell, others.get(name)) for name, cell in row.items()}
        rows.append((where, {name: value for name, value in values.items() if value is not ABSENT}))
    return replace(table, rows=tuple(rows))


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in schema.get("properties", {}).items() if isinstance(inner, dict)}


def _type_at(schema: Mapping[str, Any], pointer: str) -> Any:
    """The declared type of the value at a pointer into an answer. None if the schema does not say it plainly."""
    node: Any = schema
    for part in pointer.strip("/").split("/"):
        node = node.get("properties", {}).get(part) if isinstance(node, dict) else None
    return node.get("type") if isinstance(node, dict) else None


def _value(cell: Any, kind: Any) -> Any:
    """The cell's JSON value if the declared type is not a text, else the cell. ABSENT for an empty cell of such a type.

    A cell that is no JSON stays as it is, so that the check of the inputs names it.
    """
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is None or not isinstance(cell, str):
        return cell
    if not cell.strip():
        return None if "null" in kinds else cell if "string" in kinds else ABSENT
    if "string" in kinds:
        return cell
    try:
        return strict_json.loads(cell.lower() if cell.strip().lower() in ("true", "false") else cell)
    except strict_json.NotJson:
        return cell


ABSENT = object()
