"""The reference pages of the docs site, made from the code that they describe.

In: the terminal's commands, the settings' fields, the OpenAPI document, the metrics' tables.
Out: one Markdown text per page, by its name under `reference/`.
Not here: where pages are written, and how the site is built (`docs.py`).
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from typer.main import get_command

from service.cli import COMMANDS, GROUPS
from service.http import app as application
from service.http import metrics
from service.settings import Settings, env_variables

SIGNS = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}
VALUES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
METHODS = ("get", "post", "put", "patch", "delete")

CLI = """\
# Command line

Exit codes: 0 done, 1 failed with one sentence on stderr, 2 the command line is wrong, 3 the service could not start.
`evaluate` and `promote` use 2 for NOT ENOUGH EVIDENCE. `sameboat --version` shows the version.
"""
SETTINGS = """\
# Settings

Settings are environment variables. A `.env` file in the working directory may hold them too. A secret may come from a
file instead: `SAMEBOAT_<NAME>_FILE` names it. `.env.example` holds all of them, ready to be copied.
"""
HTTP = """\
# HTTP

A running service shows the same at `/docs`, with the types of every promoted prompt, and at `/openapi.json`. Errors are
RFC 9457 problems (`application/problem+json`). Routes under `/v1` use OpenAI's error object. What becomes of each
parameter of `/v1` is in [OpenAI parameters](../openai-parameters.md).
"""
CALLS = """\
### POST /prompts/{name}

Run a promoted prompt. The body has `inputs`, and if you like `seed` and `stream`. The answer has `value`, `text`,
`probabilities` and `fingerprint`. A streamed answer is server-sent events. The prompts of this repository:

| prompt | inputs | value | |
|---|---|---|---|"""
METRICS = """\
# Metrics

`GET /metrics` answers in Prometheus' text format. Every metric of an engine has the label `model`. Counters end in
`_total`. The rate of `sameboat_prefill_tokens_total` divided by the rate of `sameboat_prefill_seconds_total` is the
speed of prefill. The same with `decode` is the speed of decoding. Names of earlier versions are in
[Stability](../stability.md#deprecated-names).

| metric | type | |
|---|---|---|"""


def pages() -> dict[str, str]:
    """Every page, by its file's name."""
    return {
        "cli.md": cli(),
        "settings.md": settings(),
        "http.md": http(),
        "metrics.md": metrics_page(),
    }


def cell(text: str) -> str:
    """Text for a cell of a table. Outside of code it has no tags."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


# --- the command line ---


def root() -> Any:
    """The whole command line as a tree. The terminal itself imports only the command that is named."""
    tree = typer.Typer(name="sameboat")
    for name in COMMANDS:
        tree.command(name)(importlib.import_module(f"service.cli.{name}").command)
    for name, text in GROUPS.items():
        tree.add_typer(importlib.import_module(f"service.cli.{name}").app, name=name, help=text)
    return get_command(tree)


def commands(node: Any, path: str = "sameboat") -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with the words that run it."""
    for name, child in getattr(node, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


def cli() -> str:
    """The output of `sameboat --help` and the help of every command, as one page."""
    lines = [CLI]
    for path, command in commands(root()):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
        words = [path, *map(usage, arguments), *(["[OPTIONS]"] if options else [])]
        lines += [f"## {path}", "", f"`{' '.join(words)}`", "", inspect.cleandoc(command.help or ""), ""]
        if arguments or options:
            lines += ["| | | default |", "|---|---|---|"]
            lines += [row(each) for each in (*arguments, *options)]
            lines.append("")
    return "\n".join(lines)


def usage(parameter: Any) -> str:
    """An argument as a usage line shows it."""
    name = str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def row(parameter: Any) -> str:
    """An argument or an option as a row."""
    default = parameter.default
    shown = "" if default in (None, False, (), []) or callable(default) else f"`{default}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        names = [usage(parameter)]
    elif not parameter.is_flag:
        annotation = parameter.type_descriptor.annotation
        kinds = get_args(annotation) or (annotation,)
        value = " or ".join(kinds) if get_origin(annotation) is Literal else VALUES[kinds[0]]
        names = [f"{name} {value}" for name in names]
    return f"| {', '.join(f'`{name}`' for name in names)} | {cell(parameter.help or '')} | {shown} |"


# --- the settings ---


def settings() -> str:
    """Every setting in the order and under the headings of `service/settings.py`."""
    lines = [SETTINGS]
    source, fields = inspect.getsource(Settings), Settings.model_fields
    for line in source.splitlines():
        if heading := re.fullmatch(r"    # (.+)", line):
            lines += ["", f"## {heading[1]}", "", "| variable | takes | default | |", "|---|---|---|---|"]
        elif (found := re.match(r"    (\w+): ", line)) and found[1] in fields:
            name, field = found[1], fields[found[1]]
            names = " or ".join(f"`{each}`" for each in env_variables(name))
            fixed = field.default_factory is None and field.default not in (None, "")
            default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
            lines.append(f"| {names} | {takes(field)} | {default if fixed else ''} | {cell(field.description or '')} |")
    return "\n".join([*lines, ""])


def takes(field: Any) -> str:
    """The values of a setting in words."""
    kinds = [each for each in (get_args(field.annotation) or (field.annotation,)) if each is not type(None)]
    if all(isinstance(each, str) for each in kinds):
        return ", ".join(f"`{each}`" for each in kinds)
    words = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", date: "date"}
    words[SecretStr] = "secret"  # pragma: allowlist secret
    kind = " or ".join(words[each] for each in kinds)
    limits = [f"{SIGNS[type(each)][0]} {getattr(each, SIGNS[type(each)][1])}" for each in field.metadata
              if type(each) in SIGNS]  # fmt: skip
    return ", ".join([kind, *limits])


# --- HTTP ---


def http() -> str:
    """Every route of the OpenAPI document, under its tag."""
    document = application.create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
    schemas = document["components"]["schemas"]
    calls = [("post", path) for path in document["paths"] if path.startswith("/prompts/") and "{" not in path]
    lines = [HTTP]
    for tag in application.TAGS:
        lines += [f"## {tag['name']}", "", tag["description"], ""]
        for path, operations in document["paths"].items():
            for method in METHODS:
                if tag["name"] in operations.get(method, {}).get("tags", ()) and (method, path) not in calls:
                    lines += route(method, path, operations[method], schemas)
        if tag["name"] == "prompts":
            lines += prompt_calls([(path, document["paths"][path]["post"]) for _, path in calls])
    return "\n".join(lines)


def prompt_calls(operations: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The calls of the promoted prompts: they differ in inputs and value only."""
    lines = [CALLS]
    for path, operation in operations:
        body = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
        value = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["value"]
        inputs = ", ".join(f"`{name}`" for name in body["inputs"].get("properties", {}))
        lines.append(
            f"| `{path.rpartition('/')[2]}` | {inputs} | {cell(kind(value, {}))} | {cell(operation['summary'])} |"
        )
    return [*lines, ""]


def route(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    """One operation."""
    about = inspect.cleandoc(operation.get("description", ""))
    lines = [f"### {method.upper()} {path}", "", sentence(operation["summary"]), ""]
    lines += [about, ""] if about and about != operation["summary"] else []
    rows = [
        (f"`{each['name']}`", each["in"], kind(each["schema"], schemas), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    if path.startswith("/v1/") and body:
        lines += ["Its body: [OpenAI parameters](../openai-parameters.md).", ""]
        body = {}
    for media, content in body.items():
        schema = resolved(content["schema"], schemas)
        required = schema.get("required", ())
        for name, known in schema.get("properties", {}).items():
            place = "body" if media == "application/json" else media
            rows.append((f"`{name}`" + (" (required)" if name in required else ""), place, kind(known, schemas),
                         known.get("description", "")))  # fmt: skip
    if rows:
        lines += [
            "| name | in | type | |",
            "|---|---|---|---|",
            *(f"| {' | '.join(map(cell, each))} |" for each in rows),
            "",
        ]
    answers = [
        f"`{status}` {answer['description'].rstrip('.').lower()} ({', '.join(answer.get('content', {})) or 'no body'})"
        for status, answer in operation["responses"].items() if status != "default"
    ]  # fmt: skip
    return [*lines, f"Answers: {'; '.join(answers)}.", ""]


def sentence(text: str) -> str:
    """The text with an end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema, or the one that it refers to."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A schema's type in words."""
    schema = resolved(schema, schemas)
    options = [kind(each, schemas) for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(options))
    if "enum" in schema or "const" in schema:
        return ", ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))
    types = schema.get("type", "any")
    return " or ".join(each for each in ([types] if isinstance(types, str) else types) if each != "null")


# --- metrics ---


def metrics_page() -> str:
    """Every metric that `GET /metrics` may show."""
    lines = [METRICS]
    found = {name: ("histogram", text) for name, text in metrics.HISTOGRAMS.values()}
    for shown in metrics.STATS.values():
        found[shown.name + ("_total" if shown.kind == "counter" else "")] = (shown.kind, shown.help)
    for family in metrics.Metrics()._registry.collect():
        found.setdefault(
            family.name + ("_total" if family.type == "counter" else ""), (family.type, family.documentation)
        )
    return "\n".join([*lines, *(f"| `{name}` | {kind} | {cell(text)} |" for name, (kind, text) in found.items()), ""])
