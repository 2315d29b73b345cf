"""Export to promptfoo's configuration.

In: a `Prompt` and its cases. Out: a configuration, and one sentence for each part that it cannot express.
Not here: reading one (`evaluation.promptfoo_config`), and the values that promptfoo would run (`foreign_code`).

promptfoo renders templates in all values. So the values of placeholders are filled in here, and text that looks like a
template is written as a regular expression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from service import json_pointer
from service.prompts import foreign_code, render
from service.prompts.conditions import judging
from service.prompts.file import Prompt
from service.prompts.render import PLACEHOLDER, substitute, text_of
from service.prompts.spec import Evaluator
from service.prompts.yaml_tree import dump, header

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
        written = {key: _written(value, key in used) for key, value in row.items()}
        risky = [key for key in row if not foreign_code.inert([{key: row[key]}, written[key]])]
        if used.intersection(risky):
            inputs = ", ".join(sorted(used.intersection(risky)))[:200]
            left.append(f"case {name}: promptfoo would run or load its {inputs}")
            continue
        asserts = []
        for check in judging(prompt.spec.evaluators, row):
            assertions = _assert(check, row)
            if assertions is None:
                left.append(f"evaluator {check.name!r} ({check.kind.rstrip('_')}) has no equal there")
            else:
                asserts += [{**assertion, "metric": check.name.replace("{", "(")} for assertion in assertions]
        values = {
            foreign_code.identifier(key) if key in used else key: value
            for key, value in written.items()
            if key not in risky and value is not None
        }
        test: dict[str, Any] = {"assert": asserts}
        if any(isinstance(value, list) for value in values.values()):
            test["options"] = {"disableVarExpansion": True}  # else a list is a test for each of its items
        test["vars"] = values
        tests.append({"description": str(row["id"]), **test} if "id" in values else test)
    left += [
        f"input {key} is named {foreign_code.identifier(key)}" for key in used if foreign_code.identifier(key) != key
    ]
    model = prompt.spec.model or "echo"
    if not foreign_code.asks_only(model):
        left.append("the model, which is no name that promptfoo only asks; echo stands in its place")
        model = "echo"
    elif model != "echo" and not foreign_code.APIS.match(model):
        left.append(f"the provider of {model[:80]}: it is written as a name, and promptfoo needs its API too, "
                    f"such as openai:chat:{model[:80]} with config.apiBaseUrl")  # fmt: skip
    left += _losses(prompt)
    description = prompt.spec.description or prompt.name
    out = {"description": description if foreign_code.inert(description) else prompt.name,
           "prompts": [json.dumps(messages, ensure_ascii=False)], "providers": [model], "tests": tests}  # fmt: skip
    return header(prompt.text) + dump(out), sorted(set(left))


def _written(value: Any, is_filled_in: bool) -> Any:
    """A value as a variable there. A template writes one that is no text in JavaScript's form, so it is text here.

    promptfoo takes one line end from the end of a text.
    """
    if is_filled_in:
        value = text_of(value)
    return f"{value}\n" if isinstance(value, str) and value.endswith("\n") else value


def _losses(prompt: Prompt) -> list[str]:
    """The parts of a prompt that decide its answers or its verdict here, and have no place in a configuration."""
    spec = prompt.spec
    lists = sorted(prompt.message_lists & set(prompt.variables))
    parts = {
        f"modelParameters: {', '.join(sorted(spec.modelParameters.model_fields_set))}": bool(
            spec.modelParameters.model_fields_set
        ),
        "choices, which are probabilities here and free text there": bool(spec.choices),
        f"responseFormat {spec.responseFormat}, which is enforced here": spec.responseFormat
        in ("json_object", "json_schema"),
        "abstain": spec.abstain is not None,
        "calibration": spec.calibration != "none",
        "repeats and repeatsPass": spec.repeats > 1,
        "the types of inputs": spec.inputs is not None,
        "devCases": bool(spec.devCases),
    }
    left = [part for part, given in parts.items() if given]
    left += [f"the minimum of {check.name!r}" for check in spec.evaluators if check.minimum is not None]
    return left + [f"the list of messages {name}, which becomes JSON inside one message" for name in lists]


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


def _rendered(content: str) -> str:
    """A message as a nunjucks template in which only the placeholders are not literal."""
    parts = PLACEHOLDER.split(content)  # texts at even places, names at odd ones
    return "".join(
        f"{{{{{foreign_code.identifier(part)}}}}}" if place % 2 else foreign_code.literal(part)
        for place, part in enumerate(parts)
    )
