"""promptfoo's tests as rows and checks.

In: the tests of a configuration: listed, or in YAML, JSON, JSON lines and CSV files. Out: rows of values, and
evaluators that judge each row as its assertions do. Lists of texts among the variables become every combination.
Not here: the evaluators (`promptfoo_checks`), prompts and providers (`promptfoo_config`).
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from service.errors import EvaluationError, short_name
from service.evaluation import assertions, tables
from service.evaluation.promptfoo_checks import Assertion, TestValues, evaluators_for
from service.evaluation.promptfoo_files import CODE, Node, Source, logic
from service.prompts.render import PLACEHOLDER

MOST_ROWS = 20_000
OBSERVED = {
    "latency": "a time, which an evaluation reports and no check judges",
    "cost": "a price, which no check judges",
}
KEYS_OF_TEST = {"description", "vars", "assert", "options", "metadata", "threshold"}
KEYS_OF_ASSERTION = {"type", "value", "metric", "threshold", "weight"}


@dataclass(frozen=True)
class Tests:
    """Rows, the evaluators that judge them, and the names of the variables."""

    rows: list[TestValues]
    evaluators: list[dict[str, Any]]
    variables: frozenset[str]


def read(config: Node, source: Source, judge: str | None) -> Tests:
    """The tests of a configuration. Mistakes are added to the source."""
    default = config.get("defaultTest")
    if isinstance(default.value, str):
        text = source.text(default.value, default)
        default = source.values(text, default.value) if text is not None else default.get("")
    if default.value is not None and not isinstance(default.value, Mapping):
        source.mistake(default, "defaultTest must be a mapping.")
        default = default.get("")
    rows: list[TestValues] = []
    judged: list[list[Assertion]] = []
    for number, test in enumerate(_listed(config.get("tests"), source), 1):
        checks = _assertions(default, test, source)
        for values in _combinations(_variables(default, test, source), test, source):
            rows.append({"id": str(test.value.get("description") or f"test-{number}"), **values})
            judged.append([rendered for check in checks if (rendered := _rendered(check, values, source)) is not None])
            if len(rows) > MOST_ROWS:
                source.mistake(test, f"more than {MOST_ROWS} combinations of variables.")
                return Tests([], [], frozenset())
    _unique_ids(rows)
    variables = frozenset(name for row in rows for name in row) - {"id"}
    return Tests(rows, evaluators_for(rows, judged, source, judge), variables)


def _listed(tests: Node, source: Source) -> Iterator[Node]:
    """Each test as a mapping."""
    if isinstance(tests.value, str):
        yield from _of_file(tests, source)
    elif isinstance(tests.value, list):
        for test in tests.items():
            if isinstance(test.value, str):
                yield from _of_file(test, source)
            elif isinstance(test.value, dict):
                yield test
            else:
                source.mistake(test, "a test must be a mapping or the name of a file.")
    elif tests.value is not None:
        source.mistake(tests, "tests that are made by code are not read. List them, or name a file.")


def _of_file(node: Node, source: Source) -> Iterator[Node]:
    for path in source.paths(node.value, node):
        try:
            if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
                table = tables.read(path)
                source.notes += table.notes
                for where, row in table.rows:
                    yield _of_row(where, row, source) if table.untyped else Node(row, None, where)
            else:
                inner = source.values(source.text(str(path), node) or "", str(path))
                yield from _listed(
                    inner if isinstance(inner.value, list) else Node([inner.value], [inner.tree], inner.name), source
                )
        except EvaluationError as error:
            source.mistakes.append(str(error))


def _of_row(where: str, row: Mapping[str, Any], source: Source) -> Node:
    """A row of a CSV file as a test."""
    node = Node({}, None, where)
    checks: list[dict[str, Any]] = []
    values: TestValues = {}
    test: dict[str, Any] = {}
    metric = ""
    for column, cell in row.items():
        if re.fullmatch(r"__expected\d*", column):
            if str(cell).strip():
                kind, value = assertions.of_cell(str(cell), where)
                checks.append({"type": kind, **({} if value is None else {"value": value})})
        elif column == "__description":
            test["description"] = cell
        elif column == "__metric":
            metric = str(cell).strip()
        elif column == "__threshold" and str(cell).strip():
            test["threshold"] = cell
        elif column.startswith("__metadata:"):
            continue
        elif column.startswith("__"):
            if str(cell).strip():
                source.mistake(node, f"{short_name(column)} changes how a row is asked or judged, and is not read.")
        else:
            values[column] = cell
    checks = [{**check, "metric": metric} if metric else check for check in checks]
    return Node({**test, "vars": values, "assert": checks}, None, where)


def _mapping(node: Node, source: Source) -> TestValues:
    """Variables that are listed, or in a file."""
    if isinstance(node.value, str):
        text = source.text(node.value, node)
        node = source.values(text, node.value) if text is not None else node.get("")
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        source.mistake(node, "vars must be a mapping or the name of a file.")
        return {}
    return node.value


def _variables(default: Node, test: Node, source: Source) -> TestValues:
    values = {**_mapping(default.get("vars"), source), **_mapping(test.get("vars"), source)}
    for key in test.value:
        if key not in KEYS_OF_TEST:
            source.note(test.get(key), f"{short_name(key)} of a test is not read.")
    for node in (default, test):
        for key in (node.get("options").value or {}) if isinstance(node.get("options").value, dict) else ():
            if key not in ("transform", "postprocess"):
                source.note(node["options"][key], f"options.{key[:80]} is not read.")
        if node.get("threshold").value is not None:
            source.note(node["threshold"], "threshold of a test is not read: each check counts by itself here.")
    return values


def _combinations(values: TestValues, test: Node, source: Source) -> Iterator[TestValues]:
    """Every combination of the texts in lists. A list of other values is one value."""
    options: list[list[Any]] = []
    for name, value in values.items():
        if isinstance(value, str) and value.startswith("file://"):
            options.append([_file_value(path, test, source) for path in source.paths(value, test)])
        elif isinstance(value, list) and value and isinstance(value[0], str):
            options.append(
                [
                    _file_value(Path(item[7:]), test, source) if str(item).startswith("file://") else item
                    for item in value
                ]
            )
        else:
            options.append([value])
        if isinstance(value, str) and re.match(r"(?:package|exec):", value):
            source.mistake(test, f"the variable {short_name(name)} is code, which is not run.")
    for chosen in itertools.product(*options):
        yield _expanded(dict(zip(values, map(_plain_value, chosen), strict=True)), test, source)


def _file_value(path: Path, node: Node, source: Source) -> Any:
    text = source.text(str(path), node) or ""
    if path.suffix.lower() in (".yaml", ".yml"):
        return json.dumps(source.values(text, str(path)).value, ensure_ascii=False, separators=(",", ":"))
    if path.suffix.lower() in (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp3", ".wav", ".mp4"):
        source.mistake(node, f"the variable's file {short_name(path.name)} is no text.")
    return text.strip()


def _plain_value(value: Any) -> Any:
    """A value that a template writes as promptfoo does: objects as compact JSON, null as an empty text."""
    if isinstance(value, (dict, list)):
        return value
    if isinstance(value, str):
        return value.removesuffix("\n")
    return "" if value is None else int(value) if isinstance(value, float) and value.is_integer() else value


def _expanded(values: TestValues, test: Node, source: Source) -> TestValues:
    """Variables inside variables filled in, and `a.b` for the fields of an object."""
    flat: TestValues = {}
    for name, value in values.items():
        if isinstance(value, dict | list):
            source.note(
                test, f"the variable {short_name(name)} is written as JSON. promptfoo may write [object Object]."
            )
        for field, inner in _fields(name, value):
            flat[field] = inner
    for _ in range(5):
        again = False
        for name, value in flat.items():
            if isinstance(value, str) and PLACEHOLDER.search(value):
                flat[name] = PLACEHOLDER.sub(partial(_text, flat, name), value)
                again = again or flat[name] != value
        if not again:
            break
    for name, value in flat.items():
        construct = logic(value) if isinstance(value, str) else None
        if construct is not None and not PLACEHOLDER.fullmatch(construct):
            source.mistake(
                test,
                f"the variable {short_name(name)} has the template {short_name(construct)}, which is not filled in.",
            )
    return flat


def _fields(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A variable as a template writes it, and its fields as `name.field`."""
    yield (
        name,
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, dict | list) else value,
    )
    pending = [(f"{name}.{key}", inner) for key, inner in value.items()] if isinstance(value, dict) else []
    while pending:
        path, inner = pending.pop(0)
        yield path, assertions.text_of(inner) if isinstance(inner, dict | list) else _plain_value(inner)
        if isinstance(inner, dict):
            pending += [(f"{path}.{key}", deeper) for key, deeper in inner.items()]


def _text(values: TestValues, own: str, match: re.Match[str]) -> str:
    known = match[1] in values and match[1] != own
    return assertions.text_of(values[match[1]]) if known else match[0]


def _unique_ids(rows: Sequence[TestValues]) -> None:
    """Two tests may have one description, and each combination has that of its test."""
    taken: Counter[str] = Counter()
    known = {row["id"] for row in rows}
    for row in rows:
        taken[row["id"]] += 1
        if taken[row["id"]] > 1:
            own, number = row["id"], taken[row["id"]]
            while f"{own} ({number})" in known:
                number += 1
            row["id"] = f"{own} ({number})"
            known.add(row["id"])


def _assertions(default: Node, test: Node, source: Source) -> list[Node]:
    """The assertions of a test with the default ones, without those that cannot be read, which are noted."""
    kept: list[Node] = []
    off = isinstance(test.get("options").value, dict) and test["options"].value.get("disableDefaultAsserts")
    for node in ([] if off else [default.get("assert")]) + [test.get("assert")]:
        if node.value is not None and not isinstance(node.value, list):
            source.mistake(node, "assert must be a list.")
        for check in node.items():
            if isinstance(check.value, dict) and isinstance(check.value.get("type"), str):
                kept += _kept(check, source)
            else:
                source.mistake(check, "an assertion must have a type.")
    for node in (default, test):
        options = node.get("options")
        for key in ("transform", "postprocess"):
            if isinstance(options.value, dict) and options.value.get(key) is not None and kept:
                source.note(
                    options[key], f"{key} changes the answer before it is judged. The checks of its tests are left out."
                )
                return []
    return kept


def _kept(check: Node, source: Source) -> list[Node]:
    """The assertion, or none with a note."""
    kind, value = check.value["type"], check.value.get("value")
    if kind == "assert-set":
        source.note(check, "assert-set has no check here: its assertions count together.")
        return []
    if check.value.get("weight") == 0:
        source.note(check, f"{kind} has the weight 0, so it fails nothing, and is left out.")
        return []
    if check.value.get("transform") is not None:
        source.note(
            check["transform"],
            f"transform changes the answer before {short_name(kind)} judges it. The check is left out.",
        )
        return []
    if kind in OBSERVED:
        source.note(check, f"{kind} is {OBSERVED[kind]}.")
        return []
    if isinstance(value, str) and (CODE.fullmatch(value) if value.startswith("file://") else REMOTE_VALUE.match(value)):
        source.note(check, f"{short_name(kind)} has its value from code, and is left out.")
        return []
    for key in check.value:
        if key not in KEYS_OF_ASSERTION:
            source.note(check[key], f"{short_name(key)} of {short_name(kind)} is not read.")
    if check.value.get("weight") not in (None, 1):
        source.note(check["weight"], f"weight of {short_name(kind)} is not read: each check counts by itself here.")
    return [check]


REMOTE_VALUE = re.compile(r"(?:package|exec):")


def _rendered(check: Node, values: TestValues, source: Source) -> Assertion | None:
    """The assertion with the row's values in its templates."""
    kind, value, metric = check.value["type"], check.value.get("value"), check.value.get("metric")
    if isinstance(value, str) and value.startswith("file://"):
        value = (source.text(value, check) or "").strip()
        if kind in ("is-json", "not-is-json"):
            value = source.values(value, check.name).value if value else None
    filled = _filled(value, values, check, source)
    if kind == "is-json" and isinstance(filled, str):
        filled = source.values(filled, check.name).value if filled.strip() else None
    return Assertion(kind, filled, str(metric) if metric is not None else None, check)


def _filled(value: Any, values: TestValues, check: Node, source: Source) -> Any:
    if isinstance(value, str):
        construct = logic(value) if check.value["type"] not in ("is-json", "javascript", "python") else None
        if construct is not None:
            source.mistake(check, f"the value has the template {short_name(construct)}, which is not filled in here.")
        return PLACEHOLDER.sub(lambda match: assertions.text_of(values.get(match[1])), value)
    if isinstance(value, list):
        return [_filled(item, values, check, source) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values, check, source) for key, item in value.items()}
    return value
