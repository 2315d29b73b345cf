"""Read a prompt file, check all of it, and write it back without losing a comment.

What comes in: YAML text. What goes out: `Prompt`, or PromptError that says file, line, key and what to do. What it does
not know: engines, locks, where promoted prompts live. Nothing in a file is executed; YAML tags are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
from ruamel.yaml.comments import CommentedMap

from service import atomic_files, json_pointer, text_files
from service.engine.schema import Grammar, compile_schema
from service.engine.types import Message
from service.errors import (
    MAX_LISTED,
    InputsError,
    PromptError,
    SchemaUnsupported,
    did_you_mean,
    join_first,
)
from service.prompts import render
from service.prompts.inputs import Inputs, unreadable_patterns
from service.prompts.mistakes import Mistakes, read_spec
from service.prompts.spec import Spec
from service.prompts.yaml_tree import commented, dump, header, naming_schema, parse, plain

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
        return compile_schema(self.schema, strict=True) if self.schema is not None else None

    @property
    def coverage(self) -> str:
        """One line: what of the answer is enforced while decoding, and what is checked after."""
        if self.spec.choices:
            return f"enforced: one of {len(self.spec.choices)} choices"
        return self.grammar.coverage if self.grammar is not None else "free text"

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises InputsError with JSON pointers, and without the values, which may be private."""
        problems = self._inputs.problems(inputs)
        if problems:
            said = join_first([f"{where or '/'} {message}" for where, message in problems])
            raise InputsError(f"The inputs of {self.name} are wrong: {said}.", problems[:MAX_LISTED])

    @cached_property
    def _inputs(self) -> Inputs:
        return Inputs(self.inputs_schema)

    def inputs_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a case's row that this prompt takes."""
        names = self.inputs_schema.get("properties", {})
        return {name: value for name, value in row.items() if name in names}

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
    return loads(text_files.read(path, PromptError), path)


def loads(text: str, path: Path | None = None) -> Prompt:
    """Check a file's text; `path` is for messages. Raises PromptError, which tells every mistake, a line each."""
    where = str(path) if path else "<text>"
    tree = parse(text, where)
    mistakes = Mistakes(tree, where)
    spec = read_spec(_named(plain(tree, where), path), mistakes)
    prompt = Prompt(spec, text, path) if spec is not None else None
    if prompt is not None:
        answer = _schema(prompt, mistakes)
        for key, schema in (("inputs", prompt.spec.inputs), ("jsonSchema", answer)):
            _check_schema(key, schema, mistakes)
        _check_variables(prompt, mistakes)
        _check_references(prompt.spec.inputs, mistakes)
        _check_patterns(prompt.spec, mistakes)
        for problem in unreadable_patterns(prompt.spec.inputs):
            mistakes.add(("inputs",), f"inputs{problem}")
        if answer is not None:
            try:
                _ = prompt.grammar
            except SchemaUnsupported as error:
                mistakes.add(("jsonSchema",), f"jsonSchema{error.key}: {error}", key="jsonSchema")
    mistakes.raise_any()
    assert prompt is not None, "what cannot be read is a mistake"
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
    atomic_files.replace_text(path, checked.text)
    return checked


def _remarked(text: str, tree: CommentedMap) -> bool:
    """Whether somebody has written a comment into a file."""
    return bool(header(text).strip()) or commented(tree)


def _schema(prompt: Prompt, mistakes: Mistakes) -> dict[str, Any] | None:
    try:
        value = prompt.schema
    except (ValueError, RecursionError) as error:
        mistakes.add(("jsonSchema",), f"jsonSchema is not JSON: {error}.")
        return None
    if value is not None and not isinstance(value, dict):
        mistakes.add(("jsonSchema",), "jsonSchema must be an object.")
        return None
    return value


def _check_schema(key: str, schema: dict[str, Any] | None, mistakes: Mistakes) -> None:
    """The schema keeps to its own language, JSON Schema 2020-12."""
    if schema is None:
        return
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        at = json_pointer.pointer(error.absolute_path)
        mistakes.add((key, *error.absolute_path), f"{key}{at}: {error.message}", key=key)


def _check_variables(prompt: Prompt, mistakes: Mistakes) -> None:
    """Every placeholder is declared, and every declared input is used."""
    properties = (prompt.spec.inputs or {}).get("properties", {})
    if prompt.spec.inputs is None or not isinstance(properties, dict):  # the latter is told by the schema's own check
        return
    declared = set(properties)
    for name in sorted(set(prompt.variables) - declared):
        hint = did_you_mean(name, sorted(declared), "declare it or remove it")
        mistakes.add(("messages",), f"{{{{{name}}}}} is not among the inputs; {hint}", key=f"inputs.properties.{name}")
    for name in sorted(declared - set(prompt.variables)):
        place = ("inputs", "properties", name)
        mistakes.add(place, f"input {name!r} is never used in messages.", key=".".join(place))


def _check_references(schema: Any, mistakes: Mistakes) -> None:
    """References stay inside the file: a validator must neither fetch one nor fail on it later."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            for key in ("$ref", "$dynamicRef"):
                target = node.get(key)
                if isinstance(target, str) and not _resolves(schema, target):
                    remedy = "use a pointer such as #/$defs/NAME."
                    mistakes.add(("inputs",), f"inputs: {key} {target!r} is nowhere in the schema; {remedy}")
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _resolves(schema: Any, reference: str) -> bool:
    try:
        target, _ = json_pointer.follow_reference(schema, reference)
    except LookupError:
        return False
    return isinstance(target, (dict, bool))


def _check_patterns(spec: Spec, mistakes: Mistakes) -> None:
    """A regular expression that is filled from the case can only be judged then; the others are judged here."""
    for index, evaluator in enumerate(spec.evaluators):
        if evaluator.regex is None or render.PLACEHOLDER.search(evaluator.regex):
            continue
        try:
            re.compile(evaluator.regex)
        except (re.error, OverflowError, RecursionError) as error:
            mistakes.add(("evaluators", index, "regex"), f"not a regular expression: {error}.", key="regex")


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
