"""A first draft from data: the answer's form, the inputs and the checks by the values that the columns hold.

In: a name, cases, the names of inputs and expected values. Out: the text of a prompt file that validates.
Not here: reading the data (`tables`, `columns`), and its wording by a person, which is the work that remains.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from service.errors import EvaluationError, did_you_mean, short_name
from service.evaluation.cases import Case
from service.evaluation.label_columns import choices_of, labels_of
from service.prompts.conditions import usable

MAX_FIELD_VALUES = 10
RESERVED = ("id", "slice")
NAME = re.compile(r"[\w.-]+")  # of a placeholder
SHOWN = 10  # labels that a sentence names
LONGEST_ID = 40  # characters
NEARLY = 0.95  # of the rows


def fields_of(columns: Iterable[str]) -> dict[str, str]:
    """The draft's `testDataFields` for columns whose names no placeholder can have: maps a new name to the column."""
    columns = list(columns)
    taken, fields = {*RESERVED, *columns}, {}
    for column in (column for column in columns if not NAME.fullmatch(column)):
        stem = name = re.sub(r"[^\w.-]+", "_", column).strip("_") or "column"
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        fields[name] = column
    return fields


def draft_text(
    name: str,
    cases: Sequence[Case],
    expected: Sequence[str],
    *,
    inputs: Sequence[str] = (),
    file: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> str:
    """The text of a draft. `expected` names the expected values, `file` the data file beside the draft.

    `inputs` are the columns that the prompt reads, by default all the others.
    `fields` are the draft's `testDataFields`: the cases have their names already, and the file has the columns.

    One value with few different texts is a label, and the prompt chooses one of them. Several values, or one that is an
    object, are the fields of a JSON answer. Any other single value is a free answer.

    Raises:
        EvaluationError: if no case has inputs or an expected value, or if no placeholder can have a column's name.
    """
    others = dict.fromkeys(column for case in cases for column in case.values)
    inputs = [column for column in inputs or others if column not in (*RESERVED, *expected)]
    if not inputs or not expected:
        problem = "no expected value" if not expected else "no input besides the expected values"
        raise EvaluationError(f"The data has {problem}.", key="expected", remedy="Name the columns.")
    for column in expected:
        if not any(column in case.values for case in cases):
            hint = did_you_mean(
                column, inputs, f"name the column. There are: {', '.join(map(short_name, inputs[:SHOWN]))}."
            )
            raise EvaluationError(
                f"The data has no column {short_name(column)} of expected answers; {hint}", key="expected"
            )
    for column in (*inputs, *expected):
        if not NAME.fullmatch(column):
            raise EvaluationError(
                f"The column {short_name(column)} cannot be a placeholder, which has only letters, digits, _, . and -.",
                key=column,
                remedy="Give it another name there, by inputs={'name': 'column'} of bench.cases, or by testDataFields.",
            )
    properties = {column: {"type": _type([case.values.get(column) for case in cases])} for column in inputs}
    required = [column for column in inputs if all(column in case.values for case in cases)]
    values: dict[str, Any] = {"schemaVersion": 1, "name": name, **_answer(cases, expected)}
    evaluators = values.pop("evaluators")
    values["inputs"] = {"type": "object", "properties": properties, "required": required}
    values["messages"] = [
        {"role": "system", "content": _instruction(values)},
        {"role": "user", "content": "{{" + inputs[0] + "}}" if len(inputs) == 1 else
         "\n".join(f"{column}: {{{{{column}}}}}" for column in inputs)},
    ]  # fmt: skip
    if file is not None:
        values["testDataFile"] = file
    if fields:
        values["testDataFields"] = dict(fields)
    values["evaluators"] = evaluators
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(values, stream)
    comment = "".join(f"# {sentence}\n" for sentence in left_out(cases, expected))
    return stream.getvalue().replace("responseFormat:", f"{comment}responseFormat:", 1)


def like_ids(cases: Sequence[Case], inputs: Iterable[str]) -> list[str]:
    """The inputs that may name their row: beside other inputs, with one word that is different in nearly every row."""
    alike = []
    for column in (names := list(inputs)):
        values = [str(value) for case in cases if usable(value := case.values.get(column)) and value != ""]
        words = all(len(value) <= LONGEST_ID and not re.search(r"\s", value) for value in values)
        if words and len(set(values)) >= max(10, NEARLY * len(cases)):
            alike.append(column)
    return alike if len(alike) < len(names) else []


def left_out(cases: Sequence[Case], expected: Sequence[str]) -> list[str]:
    """One sentence for each expected value with labels that the draft cannot answer, which `choices_of` leaves out."""
    sentences = []
    for column in expected:
        counts, _ = labels_of(cases, column)
        once = choices_of(counts)[1]
        if once and (len(expected) == 1 or _is_closed(cases, column)):
            names = ", ".join(map(short_name, once[:SHOWN])) + (f" and {len(once) - SHOWN} more" * (len(once) > SHOWN))
            sentences.append(
                f"{short_name(column)} of the draft cannot be {names}. A label that occurs once or seldom may be "
                "mistyped, or stand for a missing value: correct the data, or add it here."
            )
    return sentences


def _answer(cases: Sequence[Case], expected: Sequence[str]) -> dict[str, Any]:
    """The keys for the answer's form and the checks."""
    if len(expected) > 1:
        return _json(cases, expected)
    column = expected[0]
    values = [
        case.values.get(column) for case in cases if usable(case.values.get(column)) and case.values.get(column) != ""
    ]
    if values and all(isinstance(value, dict) for value in values):
        raise EvaluationError(
            f"{column} holds objects.", key=column, remedy="Give each field a column of its own, and name them all."
        )
    check = {"name": "label", "string": {"equals": "{{" + column + "}}"}}
    choices, _ = choices_of(labels_of(cases, column)[0])
    if len(choices) >= 2:
        return {"responseFormat": "choice", "choices": choices, "evaluators": [check]}
    return {"evaluators": [{**check, "name": "answer"}]}


def _json(cases: Sequence[Case], expected: Sequence[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for column in expected:
        values = [case.values.get(column) for case in cases]
        nullable = any(value is None or value == "" for value in values)
        kind = _type(values)
        few = _few(values) if isinstance(kind, list) else None
        if _is_closed(cases, column):
            few, _ = choices_of(labels_of(cases, column)[0])
        if few:
            properties[column] = {"enum": [*few, *([None] if nullable else [])]}
        else:
            kinds = kind if isinstance(kind, list) else [kind]
            properties[column] = {"type": [*kinds, "null"] if nullable else kind}
    schema = {"type": "object", "properties": properties, "required": list(expected), "additionalProperties": False}
    equals = {f"/{column.replace('~', '~0').replace('/', '~1')}": "{{" + column + "}}" for column in expected}
    check = {"name": "fields", "json": {"equals": equals}}
    return {"responseFormat": "json_schema", "jsonSchema": schema, "evaluators": [check]}


def _is_closed(cases: Sequence[Case], column: str) -> bool:
    """Whether a field of a JSON answer has few values, which are texts."""
    return (
        _type([case.values.get(column) for case in cases]) == "string"
        and 0 < len(labels_of(cases, column)[0]) <= MAX_FIELD_VALUES
    )


def _few(values: Sequence[Any]) -> list[Any] | None:
    """The different values of a column of texts, numbers and booleans. None if there are too many, or others."""
    given = [value for value in values if usable(value) and value != ""]
    if any(isinstance(value, list | dict) for value in given):
        return None
    different = {json.dumps(value): value for value in given}  # True is no 1 there
    return list(different.values()) if len(different) <= MAX_FIELD_VALUES else None


def _type(values: Sequence[Any]) -> str | list[str]:
    """The JSON type of all values, or their types. Texts that all read as numbers or booleans are those, as in CSV."""
    given = [value for value in values if usable(value) and value != ""]
    texts = [value for value in given if isinstance(value, str)]
    if len(texts) in (0, len(given)):
        for kind, fits in _TYPES.items():
            if given and all(fits(value) for value in given):
                return kind
        if texts or not given:
            return "string"
    kinds = {next((kind for kind, fits in _TYPES.items() if not isinstance(value, str) and fits(value)), "string")
             for value in given}  # fmt: skip
    return sorted(kinds - {"integer"} if "number" in kinds else kinds)


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        text = value.strip()
        if text != value or (text.lstrip("-").startswith("0") and text.lstrip("-")[1:2].isdigit()):
            return False  # 007 is a number to nobody
        try:
            return bool(kind(text) is not None) and text.lstrip("-").replace(".", "", 1).isdecimal()
        except ValueError:
            return False
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")),
    "integer": lambda value: _is_number(value, int),
    "number": lambda value: _is_number(value, float),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _instruction(values: dict[str, Any]) -> str:
    """The first wording, which a person replaces."""
    if "choices" in values:
        return f"Answer with one of: {', '.join(values['choices'])}."
    if "jsonSchema" in values:
        return f"Read the text and answer with JSON that has {', '.join(values['jsonSchema']['required'])}."
    return "Answer in as few words as possible."
