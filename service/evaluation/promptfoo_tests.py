"""promptfoo's tests as rows and checks.

In: the tests of a configuration: listed, or in YAML, JSON, JSON lines and CSV files. Scenarios are tests with each of
their data. Out: rows of values, and evaluators that judge each row as its assertions do.
Not here: the variables (`promptfoo_values`), the evaluators (`promptfoo_checks`), and prompts and providers
(`promptfoo_config`).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import EvaluationError, short_name
from service.evaluation import assertions, promptfoo_scores, tables
from service.evaluation.promptfoo_checks import JUDGES, Assertion, TestValues, evaluators_for
from service.evaluation.promptfoo_files import CODE, Node, Source, logic, renamed
from service.evaluation.promptfoo_values import combinations, mapping
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
    for key in default.value or ():
        if key not in KEYS_OF_TEST:
            source.note(default[key], f"{short_name(key)} of defaultTest is not read.")
    rows: list[TestValues] = []
    judged: list[list[Assertion]] = []
    tests = itertools.chain(
        ((None, test) for test in _listed(config.get("tests"), source)), _scenarios(config.get("scenarios"), source)
    )
    for number, (data, test) in enumerate(tests, 1):
        data = data or default.get("")
        checks = _assertions(default, data, test, source)
        for values in combinations(_variables(default, data, test, source), (default, test), source):
            named = {renamed(name): value for name, value in values.items()}
            for name in {"id", "slice"} & values.keys():
                source.note(test, f"the variable {name} is named {renamed(name)} here: {name} is a case's own.")
            rows.append({"id": str(test.value.get("description") or f"test-{number}"), **named})
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


def _scenarios(scenarios: Node, source: Source) -> Iterator[tuple[Node, Node]]:
    """(data, test) for each test of each scenario with each of its data."""
    if isinstance(scenarios.value, str):
        scenarios = Node([scenarios.value], [scenarios.tree], scenarios.where)
    for item in scenarios.items():
        listed = [item]
        if isinstance(item.value, str):
            listed = [source.values(source.text(str(path), item) or "", str(path))
                     for path in source.paths(item.value, item)]  # fmt: skip
            listed = [node for one in listed for node in (one.items() or [one])]
        for scenario in listed:
            if not isinstance(scenario.value, Mapping):
                source.mistake(scenario, "a scenario must be a mapping or the name of a file.")
                continue
            for key in scenario.value:
                if key not in ("config", "tests", "description"):
                    source.note(scenario[key], f"{short_name(key)} of a scenario is not read.")
            tests = list(_listed(scenario.get("tests"), source)) or [Node({}, None, scenario.where)]
            for data in _listed(scenario.get("config"), source):
                for key in data.value:
                    if key not in ("vars", "assert", "description", "metadata", "threshold"):
                        source.note(data.get(key), f"{short_name(key)} of a scenario's data is not read.")
                yield from ((data, test) for test in tests)


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


def _variables(default: Node, data: Node, test: Node, source: Source) -> TestValues:
    values = {
        name: value for node in (default, data, test) for name, value in mapping(node.get("vars"), source).items()
    }
    for key in test.value:
        if key not in KEYS_OF_TEST:
            source.note(test.get(key), f"{short_name(key)} of a test is not read.")
    for node in (default, test):
        for key in (node.get("options").value or {}) if isinstance(node.get("options").value, dict) else ():
            if key not in (*promptfoo_scores.TRANSFORMS, "disableDefaultAsserts", "disableVarExpansion"):
                source.note(node["options"][key], f"options.{key[:80]} is not read.")
    return values


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


def _assertions(default: Node, data: Node, test: Node, source: Source) -> list[Node]:
    """The assertions of a test with the default ones, without those that cannot be read, which are noted."""
    off = isinstance(test.get("options").value, dict) and test["options"].value.get("disableDefaultAsserts")
    lists = ([] if off else [default.get("assert")]) + [data.get("assert"), test.get("assert")]
    given = (node.get("threshold") for node in (test, data) if node.get("threshold").value is not None)
    checks = promptfoo_scores.assertions(lists, next(given, default.get("threshold")), source)
    kept = [one for check in checks for one in _kept(check, source)]
    promptfoo_scores.transforms_of_test([test.get("options"), default.get("options")], source, judged=bool(kept))
    return kept


def _kept(check: Node, source: Source) -> list[Node]:
    """The assertion, or none with a note."""
    kind, value = check.value["type"], check.value.get("value")
    if check.value.get("weight") == 0:
        source.note(check, f"{kind} has the weight 0, so it fails nothing, and is left out.")
        return []
    if kind in OBSERVED:
        source.note(check, f"{kind} is {OBSERVED[kind]}.")
        return []
    if isinstance(value, str) and (CODE.fullmatch(value) if value.startswith("file://") else REMOTE_VALUE.match(value)):
        source.note(check, f"{short_name(kind)} has its value from code, and is left out.")
        return []
    promptfoo_scores.transforms(check, kind[:80], source)
    for key in check.value:
        if key not in (*KEYS_OF_ASSERTION, "transform"):
            source.note(check[key], f"{short_name(key)} of {short_name(kind)} is not read.")
    if check.value.get("weight") not in (None, 1):
        source.note(check["weight"], f"weight of {short_name(kind)} is not read: it changes promptfoo's score only.")
    if kind in JUDGES and check.value.get("threshold") is not None:
        source.note(check["threshold"], f"threshold of {kind} is not read: the judge here says yes or no.")
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
