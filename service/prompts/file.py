"""Read a prompt file, check all of it, and write it back without losing a comment.

What comes in: YAML text. What goes out: `Prompt`, or PromptError that says file, line, key and what to do. What it does
not know: engines, locks, where promoted prompts live. Nothing in a file is executed; YAML tags are refused.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import BaseModel, ValidationError
from ruamel.yaml.comments import CommentedMap

from service.engine.schema import Grammar, compile_schema
from service.engine.types import Message
from service.errors import InputsError, PromptError, SchemaUnsupported
from service.prompts import render
from service.prompts.spec import Evaluator, ModelParameters, Spec
from service.prompts.tree import commented, dump, header, line_of, naming_schema, parse, plain

NEUTRAL = "N/A"  # the content-free input of Zhao et al. 2021, "Calibrate Before Use", section 4


@dataclass(frozen=True, repr=False)
class Prompt:
    """A prompt file that passed every check."""

    spec: Spec
    text: str
    path: Path | None = None

    def __repr__(self) -> str:
        """A line for the end of a cell."""
        checks = ", ".join(each.name for each in self.spec.evaluators) or "none"
        model = self.spec.model or "the default model"
        inputs = ", ".join(self.variables) or "nothing"
        return f"<prompt {self.name} on {model}; takes {inputs}; checks: {checks}; {self.coverage}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The placeholders' names, sorted."""
        return tuple(sorted(render.variables(self.spec.messages)))

    @cached_property
    def inputs_schema(self) -> dict[str, Any]:
        """JSON Schema of the inputs: the file's, or strings for every placeholder."""
        if self.spec.inputs is None:
            properties = {name: {"type": "string"} for name in self.variables}
            return {"type": "object", "properties": properties, "required": list(self.variables),
                    "additionalProperties": False}  # fmt: skip
        return {"type": "object", "additionalProperties": False, **self.spec.inputs}

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON Schema of the answer, out of OpenAI's wrapper (`name`, `strict`, `schema`) if it was in one."""
        raw = self.spec.jsonSchema
        value = json.loads(raw) if isinstance(raw, str) else raw
        if isinstance(value, dict) and "schema" in value and "name" in value:
            value = value["schema"]
        return value

    @cached_property
    def grammar(self) -> Grammar | None:
        """What is enforced while decoding."""
        return compile_schema(self.schema) if self.schema is not None else None

    @property
    def coverage(self) -> str:
        """One line: what of the answer is enforced while decoding, and what is checked after."""
        if self.spec.choices:
            return f"enforced: one of {len(self.spec.choices)} choices"
        return self.grammar.coverage if self.grammar is not None else "free text"

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises InputsError with JSON pointers, and without the values, which may be private."""
        problems: list[tuple[str, str]] = []
        for error in jsonschema.Draft202012Validator(self.inputs_schema).iter_errors(dict(inputs)):
            pointer = "".join(f"/{part}" for part in error.absolute_path)
            if error.validator == "required":
                missing = [name for name in error.validator_value if name not in error.instance]
                problems += [(f"{pointer}/{name}", "this input is missing") for name in missing]
            elif error.validator == "additionalProperties":
                known = error.schema.get("properties", {})
                for name in sorted(set(error.instance) - set(known)):
                    near = difflib.get_close_matches(name, known, 1)
                    problems.append((f"{pointer}/{name}", "unknown" + (f"; did you mean {near[0]!r}?" if near else "")))
            else:
                problems.append((pointer, f"does not satisfy {error.validator}: {error.validator_value!r}"))
        if problems:
            said = "; ".join(f"{pointer or '/'} {message}" for pointer, message in sorted(set(problems)))
            raise InputsError(f"The inputs of {self.name} are wrong: {said}.", sorted(set(problems)))

    def messages(self, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The conversation with the inputs filled in. Raises InputsError."""
        self.check_inputs(inputs)
        values = {**{name: each["default"] for name, each in self._properties.items() if "default" in each}, **inputs}
        return render.render(self.spec.messages, values)

    def neutral(self) -> tuple[Message, ...]:
        """The conversation around a content-free input, for calibration."""
        return render.render(self.spec.messages, dict.fromkeys(self.variables, NEUTRAL))

    @property
    def _properties(self) -> dict[str, Any]:
        found = self.inputs_schema.get("properties", {})
        return {name: each for name, each in found.items() if isinstance(each, dict)}  # true and false are schemas too


def load(path: Path) -> Prompt:
    """Read and check a file. Raises PromptError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PromptError(f"{path}: cannot be read: {error.strerror}.", key=str(path)) from None
    try:
        return loads(data.decode(), path)
    except UnicodeDecodeError:
        raise PromptError(f"{path}: not UTF-8 text.", key=str(path)) from None


def loads(text: str, path: Path | None = None) -> Prompt:
    """Check a file's text; `path` is for messages. Raises PromptError."""
    where = str(path) if path else "<text>"
    tree = parse(text, where)
    try:
        spec = Spec.model_validate(_named(plain(tree, where), path))
    except ValidationError as error:
        raise _told(error, tree, where) from None
    prompt = Prompt(spec, text, path)
    for key, schema in (("inputs", spec.inputs), ("jsonSchema", _schema(prompt, tree, where))):
        if schema is None:
            continue
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            at = "".join(f"/{part}" for part in error.absolute_path)
            raise PromptError(f"{where}:{line_of(tree, (key,))}: {key}{at}: {error.message}", key=key) from None
    _check_variables(prompt, tree, where)
    _check_references(spec.inputs, tree, where)
    _check_patterns(spec, tree, where)
    try:
        _ = prompt.grammar
    except SchemaUnsupported as error:
        raise PromptError(
            f"{where}:{line_of(tree, ('jsonSchema',))}: jsonSchema{error.key}: {error}", key="jsonSchema"
        ) from None
    return prompt


def dumps(prompt: Prompt, changes: Mapping[str, Any] | None = None) -> str:
    """The file's text with top-level keys replaced; comments and order of everything else stay. Raises PromptError."""
    tree = parse(prompt.text, str(prompt.path or "<text>"))
    for key, value in (changes or {}).items():
        tree[key] = value
    return dump(tree)


def save(prompt: Prompt, path: Path, *, schema: str | None = None) -> Prompt:
    """Write a prompt, with a first line that names the JSON Schema at `schema` for editors when that is given.

    Where a file is already there, its comments stay and only keys that differ change, unless the new text has comments
    of its own: then it takes the file's place whole.
    """
    text, tree = prompt.text, parse(prompt.text, str(path))
    if path.exists() and not _remarked(text, tree):
        old = load(path)
        below = parse(old.text, str(path))
        new, current = plain(tree), plain(below)
        if _remarked(old.text, below) and set(current) <= set(new):
            text = dumps(old, {key: tree[key] for key, value in new.items() if current.get(key) != value})
    checked = loads(naming_schema(text, schema) if schema else text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")  # an interruption leaves the old file whole
    part.write_text(checked.text, encoding="utf-8")
    part.replace(path)
    return checked


def _remarked(text: str, tree: CommentedMap) -> bool:
    """Whether somebody has written a comment into a file."""
    return bool(header(text).strip()) or commented(tree)


def _known_keys(path: tuple[Any, ...]) -> list[str]:
    """The keys that are allowed where an unknown one was found."""
    model: type[BaseModel] = Spec
    for part in path[:-1]:
        if part == "modelParameters":
            model = ModelParameters
        elif part == "evaluators":
            model = Evaluator
        elif isinstance(part, str) and part in model.model_fields:
            kind = model.model_fields[part].annotation
            options = [kind, *getattr(kind, "__args__", ())]
            model = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), model)
    return [info.alias or name for name, info in model.model_fields.items()]


def _told(error: ValidationError, tree: CommentedMap, where: str) -> PromptError:
    """The first problem, for a person."""
    problem = error.errors(include_url=False, include_input=False)[0]
    path = tuple(part for part in problem["loc"] if part != "str" and not str(part).startswith("dict["))
    line, key = line_of(tree, path), ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _known_keys(path), 1, 0.5)
        inside = f" in {'.'.join(map(str, path[:-1]))}" if len(path) > 1 else ""
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(_known_keys(path))}"
        return PromptError(f"{where}:{line}: unknown key {path[-1]!r}{inside}{hint}", key=key)
    if problem["type"] == "missing":
        return PromptError(f"{where}:{line}: {key} is missing.", key=key)
    said = str(problem["msg"]).removeprefix("Value error, ")
    return PromptError(f"{where}:{line}: {key + ': ' if key else ''}{said}.", key=key or None)


def _schema(prompt: Prompt, tree: CommentedMap, where: str) -> dict[str, Any] | None:
    try:
        value = prompt.schema
    except (ValueError, RecursionError) as error:
        raise PromptError(
            f"{where}:{line_of(tree, ('jsonSchema',))}: jsonSchema is not JSON: {error}.", key="jsonSchema"
        ) from None
    if value is not None and not isinstance(value, dict):
        raise PromptError(f"{where}:{line_of(tree, ('jsonSchema',))}: jsonSchema must be an object.", key="jsonSchema")
    return value


def _check_variables(prompt: Prompt, tree: CommentedMap, where: str) -> None:
    """Every placeholder is declared, and every declared input is used."""
    if prompt.spec.inputs is None:
        return
    declared = set(prompt.inputs_schema.get("properties", {}))
    for name in sorted(set(prompt.variables) - declared):
        near = difflib.get_close_matches(name, declared, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "; declare it or remove it"
        line = line_of(tree, ("messages",))
        raise PromptError(
            f"{where}:{line}: {{{{{name}}}}} is not among the inputs{hint}", key=f"inputs.properties.{name}"
        )
    for name in sorted(declared - set(prompt.variables)):
        line = line_of(tree, ("inputs", "properties", name))
        raise PromptError(f"{where}:{line}: input {name!r} is never used in messages.", key=f"inputs.properties.{name}")


def _check_references(schema: Any, tree: CommentedMap, where: str) -> None:
    """References stay inside the file: a validator must neither fetch one nor fail on it later."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            for key in ("$ref", "$dynamicRef"):
                target = node.get(key)
                if isinstance(target, str) and not _resolves(schema, target):
                    raise PromptError(
                        f"{where}:{line_of(tree, ('inputs',))}: inputs: {key} {target!r} is nowhere in the schema",
                        key="inputs",
                        remedy="Use a pointer such as #/$defs/NAME.",
                    )
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _resolves(schema: Any, reference: str) -> bool:
    if not reference.startswith("#/"):
        return reference == "#"
    for part in reference[2:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, dict) or part not in schema:
            return False
        schema = schema[part]
    return isinstance(schema, (dict, bool))


def _check_patterns(spec: Spec, tree: CommentedMap, where: str) -> None:
    """A regular expression that is filled from the case can only be judged then; the others are judged here."""
    for index, evaluator in enumerate(spec.evaluators):
        if evaluator.regex is None or render.PLACEHOLDER.search(evaluator.regex):
            continue
        try:
            re.compile(evaluator.regex)
        except (re.error, OverflowError, RecursionError) as error:
            line = line_of(tree, ("evaluators", index, "regex"))
            raise PromptError(f"{where}:{line}: not a regular expression: {error}.", key="regex") from None


def _named(values: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """GitHub's own files (no schemaVersion) are named for people and write roles in any case; ours are stricter."""
    if "schemaVersion" in values:
        return values
    values = dict(values)
    title = values.get("name", path.name.split(".prompt.")[0] if path is not None else None)
    if isinstance(title, str):
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:64].strip("-")
        values["name"] = slug or title
    messages = values.get("messages")
    if isinstance(messages, list):
        values["messages"] = [
            {**each, "role": each["role"].lower()}
            if isinstance(each, dict) and isinstance(each.get("role"), str)
            else each
            for each in messages
        ]
    return values
