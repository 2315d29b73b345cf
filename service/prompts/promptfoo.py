"""Conversion to and from promptfoo's configuration.

In: a `Prompt` and its cases, or a configuration's text. Out: a configuration, or a prompt and its cases. And one
sentence for each part that the other format cannot express.
Not here: the values that promptfoo would run (`foreign_code`).

promptfoo renders templates in all values. So the values of placeholders are filled in here, and text that looks like a
template is written as a regular expression.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service import json_pointer
from service.errors import PromptError
from service.prompts import foreign_code, render
from service.prompts.file import Prompt, loads
from service.prompts.file_names import CASES
from service.prompts.render import PLACEHOLDER, substitute
from service.prompts.spec import Evaluator
from service.prompts.yaml_tree import dump, header, parse, plain

Rows = list[dict[str, Any]]


def to_promptfoo(prompt: Prompt, cases: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """A promptfoo configuration with the cases as tests, and one sentence for each part that was left out.

    promptfoo runs and loads nothing from it. A value that it would read as code, a file or the environment is rewritten
    or left out.
    """
    messages = [{"role": message.role, "content": _rendered(message.content)} for message in prompt.spec.messages]
    used = render.variables(prompt.spec.messages)
    tests: Rows = []
    left: list[str] = []
    for number, row in enumerate(cases, 1):
        name = str(row.get("id", number))[:80]
        risky = [key for key, value in row.items() if not foreign_code.inert({key: value})]
        if used.intersection(risky):
            inputs = ", ".join(sorted(used.intersection(risky)))[:200]
            left.append(f"case {name}: promptfoo would run or load its {inputs}")
            continue
        asserts = []
        for check in prompt.spec.evaluators:
            assertions = _assert(check, row)
            if assertions is None:
                left.append(f"evaluator {check.name!r} ({check.kind.rstrip('_')}) has no equal there")
            else:
                asserts += [{**assertion, "metric": check.name.replace("{", "(")} for assertion in assertions]
        values = {foreign_code.identifier(key) if key in used else key: row[key] for key in row if key not in risky}
        test: dict[str, Any] = {"vars": values, "assert": asserts}
        tests.append({"description": str(row["id"]), **test} if "id" in values else test)
    left += [
        f"input {key} is named {foreign_code.identifier(key)}" for key in used if foreign_code.identifier(key) != key
    ]
    model = prompt.spec.model or "echo"
    if not foreign_code.asks_only(model):
        left.append("the model, which is no name that promptfoo only asks; echo stands in its place")
        model = "echo"
    description = prompt.spec.description or prompt.name
    out = {"description": description if foreign_code.inert(description) else prompt.name,
           "prompts": [json.dumps(messages, ensure_ascii=False)], "providers": [model], "tests": tests}  # fmt: skip
    return header(prompt.text) + dump(out), sorted(set(left))


def _assert(check: Evaluator, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """promptfoo's assertions for one check, or None. A check of a JSON value becomes one line of JavaScript."""
    if check.string is not None:
        spec = check.string
        given = {"equals": (r"^\s*", r"\s*$"), "contains": ("", ""), "startsWith": ("^", ""), "endsWith": ("", "$")}
        name = next(name for name in given if getattr(spec, name) is not None)
        literal = _literal(substitute(getattr(spec, name), row))
        before, after = given[name]
        if name == "equals":
            return [{"type": "regex", "value": f"{before}{literal}{after}"}]
        return [_javascript(f"new RegExp({json.dumps(before + literal + after)}, 'i').test(output)")]
    if check.regex is not None:
        pattern = substitute(check.regex, row)
        if not foreign_code.inert(pattern):
            return [_javascript(f"new RegExp({foreign_code.quoted(pattern)}).test(output)")]
        return [{"type": "regex", "value": pattern}]
    if check.notContains is not None:
        literal = _literal(substitute(check.notContains, row))
        return [_javascript(f"!new RegExp({json.dumps(literal)}, 'i').test(output)")]
    if check.oneOf is not None:
        options = "|".join(_literal(substitute(option, row)) for option in check.oneOf)
        return [{"type": "regex", "value": rf"^\s*(?:{options})\s*$"}]
    if check.json_ is not None:
        spec_ = check.json_
        # As text, which promptfoo parses later. In a mapping it would load the target of a `$ref`.
        schema = {} if spec_.schema_ is None else {"value": foreign_code.quoted(spec_.schema_)}
        assertions: list[dict[str, Any]] = [{"type": "is-json", **schema}]
        return assertions + [_pointed(pointer, _filled(value, row)) for pointer, value in spec_.equals.items()]
    return None


def _javascript(code: str) -> dict[str, Any]:
    """An assertion in code. Its strings are `quoted`, so that promptfoo finds no template in them."""
    return {"type": "javascript", "value": code}


def _pointed(pointer: str, expected: Any) -> dict[str, Any]:
    """The value at a JSON pointer equals the expected one, with its type. promptfoo has no such assertion."""
    escaped = foreign_code.quoted(json.dumps(expected, sort_keys=True))
    sort = "(k, v) => v && v.constructor === Object ? Object.fromEntries(Object.entries(v).sort()) : v"
    names = foreign_code.quoted(json_pointer.parts(pointer))
    walk = f"{names}.reduce((at, key) => at == null ? undefined : at[key], JSON.parse(output))"
    return _javascript(f"JSON.stringify({walk}, {sort}) === JSON.stringify(JSON.parse({escaped}), {sort})")


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    """A string that is only a placeholder becomes the row's value with its type, as in our own check."""
    if not isinstance(value, str):
        return value
    whole = PLACEHOLDER.fullmatch(value)
    return row[whole[1]] if whole and whole[1] in row else substitute(value, row)


def _literal(text: str) -> str:
    """A regular expression for JavaScript and Python that matches exactly this text and is no template."""
    escaped = re.sub(r"[\\^$.*+?()[\]|/]", lambda match: "\\" + match[0], text)
    return escaped.replace("{", r"\x7b").replace("}", r"\x7d").replace("\n", r"\n")


def from_promptfoo(text: str, name: str = "imported", path: Path | None = None) -> tuple[Prompt, Rows, list[str]]:
    """A prompt, its cases, and one sentence for each part that was not read. `path` is for messages.

    Raises:
        PromptError: if the configuration does not hold exactly one prompt and its tests.
    """
    where = str(path or "promptfooconfig.yaml")
    given = plain(parse(text, where), where)
    left = [f"{key} was not read" for key in given if key not in {
        "description", "prompts", "providers", "tests", "defaultTest"}]  # fmt: skip
    tests = given.get("tests") or []
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise PromptError(f"{where}: only tests that are listed in the file can be read.", key="tests")
    default = given.get("defaultTest") if isinstance(given.get("defaultTest"), dict) else {}
    rows, evaluators, unread = _tests(tests, default or {}, where)
    used = set(re.findall(PLACEHOLDER, json.dumps(_messages(given.get("prompts"), where))))
    out: dict[str, Any] = {"schemaVersion": 1, "name": name, "description": str(given.get("description", ""))}
    providers = given.get("providers") or []
    first = providers[0] if isinstance(providers, list) and providers else None
    if isinstance(first, str) and first != "echo":
        if foreign_code.asks_only(first):
            out["model"] = first
        else:
            left.append("providers was not read: its first one is no model that is only asked")
    if used:
        kinds = {key: {"type": _kind([row["vars"].get(key) for row in rows])} for key in sorted(used)}
        out["inputs"] = {"type": "object", "properties": kinds, "required": sorted(used)}
    out["messages"] = _messages(given.get("prompts"), where)
    cases = [row["vars"] for row in rows]
    if cases:
        out["testDataFile"] = CASES
    if evaluators:
        out["evaluators"] = evaluators
    return loads(header(text) + dump(out)), cases, sorted({*left, *unread})


def _messages(prompts: Any, where: str) -> list[dict[str, str]]:
    """The messages of the one prompt in the file."""
    one = prompts[0] if isinstance(prompts, list) and len(prompts) == 1 else prompts
    if isinstance(one, dict):
        one = one.get("raw")
    if not isinstance(one, str) or one.startswith("file://"):
        raise PromptError(f"{where}: exactly one prompt, written in the file itself, can be read.", key="prompts")
    if re.search(r"\{%|\{#|\{\{[^}]*[|(\[]", one):
        raise PromptError(f"{where}: only plain {{{{name}}}} placeholders can be read; this template has logic.")
    try:
        turns = json.loads(one)
    except ValueError:
        return [{"role": "user", "content": one}]
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and {"role", "content"} <= set(turn) for turn in turns
    ):
        return [{"role": "user", "content": one}]
    return [{"role": str(turn["role"]), "content": foreign_code.plain(str(turn["content"]))} for turn in turns]


def _kind(values: Sequence[Any]) -> str | list[str]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    kinds = sorted({names.get(type(value), "null") for value in values})
    return kinds[0] if len(kinds) == 1 else kinds or "string"


def _tests(tests: Rows, default: Mapping[str, Any], where: str) -> tuple[Rows, list[dict[str, Any]], list[str]]:
    """Rows of variables, one evaluator for each kind and place of assertion, and a sentence for each unread part.

    promptfoo's assertions belong to a test, and ours to all cases. A value that differs between tests becomes a column.
    """
    rows: Rows = []
    columns: dict[str, list[Any]] = {}
    kinds: dict[str, str] = {}
    left: list[str] = []
    for number, test in enumerate(tests):
        values = {**_written(default, "vars", dict, where), **_written(test, "vars", dict, where)}
        values.setdefault("id", str(test.get("description", f"test-{number + 1}")))
        rows.append({"vars": values})
        for place, one in enumerate(
            [*_written(default, "assert", list, where), *_written(test, "assert", list, where)], 1
        ):
            if not isinstance(one, dict) or one.get("type") not in READ:
                kind = one.get("type") if isinstance(one, dict) else one
                left.append(f"assertions of type {kind} were not read")
                continue
            key = f"{one.get('metric', one['type'])}-{place}"
            kinds[key] = one["type"]
            columns.setdefault(key, [None] * len(tests))[number] = one.get("value", "")
    evaluators = []
    for key, column in columns.items():
        if None in column:
            left.append(f"{key} is not asserted of every test, so it was not read")
            continue
        same = all(value == column[0] for value in column)
        if not same and kinds[key] == "is-json":
            left.append(f"{key} has another schema for each test, so it was not read")
            continue
        if not same:
            for row, value in zip(rows, column, strict=True):
                row["vars"][f"{key}-value"] = str(value)
        evaluators.append({"name": key, **READ[kinds[key]](column[0] if same else f"{{{{{key}-value}}}}")})
    return rows, evaluators, left


def _written(test: Mapping[str, Any], key: str, kind: type[dict[str, Any]] | type[list[Any]], where: str) -> Any:
    """The value of a test's key. Raises PromptError for a path or code, which is not read."""
    value = test.get(key) or kind()
    if not isinstance(value, kind):
        form = "a mapping" if kind is dict else "a list"
        raise PromptError(f"{where}: {key} of a test must be {form} in the file itself.", key=key)
    return value


def _schema(value: Any) -> dict[str, Any] | None:
    """The schema of an assertion, which may be text."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    return value if isinstance(value, dict) else None


READ: dict[str, Any] = {
    "equals": lambda value: {"string": {"equals": str(value)}},
    "icontains": lambda value: {"string": {"contains": str(value)}},
    "not-icontains": lambda value: {"notContains": str(value)},
    "regex": lambda value: {"regex": str(value)},
    "is-json": lambda value: {"json": {"schema": schema} if (schema := _schema(value)) else {}},
}
"""promptfoo's assertions with an equal check here."""


def _rendered(content: str) -> str:
    """A message as a nunjucks template in which only the placeholders are not literal."""
    parts = PLACEHOLDER.split(content)  # texts at even places, names at odd ones
    return "".join(
        f"{{{{{foreign_code.identifier(part)}}}}}" if place % 2 else foreign_code.literal(part)
        for place, part in enumerate(parts)
    )
