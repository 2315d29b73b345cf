"""docs/openai-parameters.md, made from what validates: the types of the bodies, and the table of `parameters`.

In: nothing. Out: the page as Markdown. CONTRIBUTING says how it is written; a test checks that it is current.
"""

from __future__ import annotations

import json
from typing import Any

from service.http import parameters
from service.http.openai_types import BODIES
from service.http.parameters import Group

HEAD = """\
# What becomes of each parameter

Of every parameter of the routes under `/v1`: it is honoured, it is another server's name of one that is honoured, it
means nothing for the answer and is taken, or it is refused with 400 by its name. Nothing is dropped without a word: a
name that is in none of these tables is refused too, with the parameter that was probably meant. `null` is always the
default. This page is made from the code that reads requests.
"""
SHORT = {parameters.CHAT: "chat", parameters.COMPLETIONS: "completions", parameters.EMBEDDINGS: "embeddings"}


def page() -> str:
    """The page."""
    return "\n".join([HEAD, *_honoured(), *_taken(), *_refused()])


def _honoured() -> list[str]:
    rows: dict[str, tuple[list[str], str, str]] = {}
    for body in BODIES:
        for name, known in body.own_schema()["properties"].items():
            values, meaning = _values(known), known.get("description", "")
            key = name if name not in rows or rows[name][1:] == (values, meaning) else f"{name} "
            rows.setdefault(key, ([], values, meaning))[0].append(SHORT[body.route])
    lines = ["## Honoured", "", "| parameter | routes | values | |", "|---|---|---|---|"]
    lines += [
        f"| `{name.strip()}` | {', '.join(at)} | {values} | {text} |" for name, (at, values, text) in rows.items()
    ]
    return [
        *lines,
        "",
        "`POST /prompts/NAME` takes `inputs`, `seed` (0 to 4294967294, or -1, which draws one) and",
        "`stream`. Everything else is the promoted prompt's.",
        "",
    ]


def _values(known: dict[str, Any]) -> str:
    """What a parameter may be, in words."""
    options = [_one(option) for option in known.get("anyOf", [known]) if option.get("type") != "null"]
    default = known.get("default")
    return " or ".join(options) + (f"; {json.dumps(default)}" if default is not None else "")


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


def _taken() -> list[str]:
    lines = ["## Taken, and without effect", "", "| parameters | routes | |", "|---|---|---|"]
    return [*lines, *(f"| {_names(group)} | {_routes(group)} | {group.why} |" for group in parameters.IGNORED), ""]


def _refused() -> list[str]:
    lines = [
        "## Refused by name",
        "",
        "In brackets: values that ask for nothing, and are taken. `best_of` is also taken when it equals `n`.",
        "",
        "| parameters | routes | what the refusal says |",
        "|---|---|---|",
    ]
    return [*lines, *(f"| {_names(group)} | {_routes(group)} | {group.why} |" for group in parameters.REFUSED), ""]


def _names(group: Group) -> str:
    def shown(name: str, values: tuple[Any, ...]) -> str:
        taken = ", ".join(f"`{json.dumps(value)}`" for value in values)
        return f"`{name}`" + (f" ({taken})" if values else "")

    return ", ".join(shown(name, values) for name, values in group.names.items())


def _routes(group: Group) -> str:
    return ", ".join(SHORT[route] for route in group.routes)
