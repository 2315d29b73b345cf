"""The page docs/openai-parameters.md, made from the types of the bodies and the tables of `parameters`.

In: nothing. Out: the page as Markdown. A test checks that the file is current.
Not here: the command that writes it (CONTRIBUTING.md).
"""

from __future__ import annotations

import json
from typing import Any

from service.http import parameters
from service.http.bodies import BODIES
from service.http.parameters import Group

HEAD = """\
# OpenAI parameters

Each parameter of the routes under `/v1`, of `/tokenize` and of `/detokenize` is honoured, ignored because it has no
effect on the answer, or refused with 400 by its name. Some honoured parameters are another server's name of a
parameter. No parameter is dropped silently: a name that is in none of these tables is refused too, and the error
suggests a known name. `null` is always the default. This page is made from the code that reads requests.
"""
SHORT = {
    parameters.CHAT: "chat",
    parameters.COMPLETIONS: "completions",
    parameters.EMBEDDINGS: "embeddings",
    parameters.RESPONSES: "responses",
    parameters.INPUT_TOKENS: "input_tokens",
    parameters.TOKENIZE: "tokenize",
    parameters.DETOKENIZE: "detokenize",
}


def page() -> str:
    """The page."""
    return "\n".join([HEAD, *_honoured(), *_ignored(), *_refused()])


def _honoured() -> list[str]:
    rows: dict[tuple[str, str, str], list[str]] = {}
    for body in BODIES:
        for name, known in body.own_schema()["properties"].items():
            rows.setdefault((name, _values(known), known.get("description", "")), []).append(SHORT[body.route])
    lines = ["## Honoured", "", "| parameter | routes | values | |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {', '.join(at)} | {values} | {text} |" for (name, values, text), at in rows.items()]
    return [
        *lines,
        "",
        "`POST /prompts/NAME` takes `inputs`, `seed` (0 to 4294967294, or -1 for a random one) and",
        "`stream`. The promoted prompt decides everything else.",
        "",
    ]


def _values(known: dict[str, Any]) -> str:
    """The values of a parameter in words."""
    options = [_one(option) for option in known.get("anyOf", [known]) if option.get("type") != "null"]
    default = known.get("default")
    return " or ".join(options) + (f", default {json.dumps(default)}" if default is not None else "")


def _one(option: dict[str, Any]) -> str:
    if "enum" in option or "const" in option:
        return ", ".join(json.dumps(value) for value in option.get("enum", [option.get("const")]))
    low, high = option.get("minimum"), option.get("maximum")
    kind = str(option.get("type", "object"))
    if "exclusiveMinimum" in option:
        return f"{kind} above {option['exclusiveMinimum']:g}, up to {high:g}"
    if low is not None and high is not None:
        return f"{kind} {low:g} to {high:g}" if abs(high) < 10**6 else f"{kind} from {low:g}"
    return f"{kind} from {low:g}" if low is not None else kind


def _ignored() -> list[str]:
    lines = ["## Ignored, because they have no effect", "", "| parameters | routes | |", "|---|---|---|"]
    return [*lines, *(f"| {_names(group)} | {_routes(group)} | {group.why} |" for group in parameters.IGNORED), ""]


def _refused() -> list[str]:
    lines = [
        "## Refused by name",
        "",
        "In brackets: neutral values, which are ignored. `best_of` is also ignored if it equals `n`.",
        "",
        "| parameters | routes | the error says |",
        "|---|---|---|",
    ]
    return [*lines, *(f"| {_names(group)} | {_routes(group)} | {group.why} |" for group in parameters.REFUSED), ""]


def _names(group: Group) -> str:
    def cell(name: str, values: tuple[Any, ...]) -> str:
        taken = ", ".join(f"`{json.dumps(value)}`" for value in values)
        return f"`{name}`" + (f" ({taken})" if values else "")

    return ", ".join(cell(name, values) for name, values in group.names.items())


def _routes(group: Group) -> str:
    return ", ".join(SHORT[route] for route in group.routes)
