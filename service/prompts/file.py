"""Read a prompt file, check all of it, and write it with its comments.

In: YAML text. Out: a `Prompt`, or PromptError with file, line, key and remedy. Nothing in a file is executed, and YAML
tags are refused.
Not here: engines, locks, and the folders of promoted prompts (`promoted`).
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
from service.engine.types import LabelCalibration, Message
from service.errors import (
    MAX_LISTED,
    InputsError,
    PromptError,
    SchemaUnsupported,
    did_you_mean,
    join_first,
)
from service.prompts import render
from service.prompts.github_form import in_our_form
from service.prompts.inputs import Inputs, unreadable_patterns
from service.prompts.mistakes import Mistakes, read_spec
from service.prompts.spec import Spec
from service.prompts.yaml_tree import commented, dump, header, line_of, naming_schema, parse, plain, rewritten

UNDECLARED = ["string", "number", "boolean"]  # a number and a boolean are written out, as GitHub's readers do
NEUTRAL = "N/A"  # the content-free input of Zhao et al. 2021, "Calibrate Before Use", section 4


@dataclass(frozen=True, repr=False)
class Prompt:
    """A prompt file that passed every check. `notes` tell with line the parts that are read otherwise than written."""

    spec: Spec
    text: str
    path: Path | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line, for a notebook's cell."""
        checks = ", ".join(evaluator.name for evaluator in self.spec.evaluators) or "none"
        model = self.spec.model or "the default model"
        inputs = ", ".join(self.variables) or "nothing"
        return f"<prompt {self.name} on {model}; takes {inputs}; checks: {checks}; {self.coverage}>"

    @property
    def name(self) -> str:
        """The prompt's name."""
        return self.spec.name

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names of the placeholders, sorted."""
        return tuple(sorted(render.variables(self.spec.messages)))

    @cached_property
    def inputs_schema(self) -> dict[str, Any]:
        """JSON Schema of the inputs: the file's, or a text, a number or a boolean for each placeholder."""
        if self.spec.inputs is None:
            properties = {name: {"type": UNDECLARED} for name in self.variables}
            return {"type": "object", "properties": properties, "required": list(self.variables),
                    "additionalProperties": False}  # fmt: skip
        return {"type": "object", "additionalProperties": False, **self.spec.inputs}

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON Schema of the answer, without OpenAI's wrapper (`name`, `strict`, `schema`)."""
        raw = self.spec.jsonSchema
        value = json.loads(raw) if isinstance(raw, str) else raw
        if isinstance(value, dict) and "schema" in value and "name" in value:
            value = value["schema"]
        return value

    @cached_property
    def grammar(self) -> Grammar | None:
        """The grammar that is enforced while decoding."""
        return compile_schema(self.schema, strict=True) if self.schema is not None else None

    @property
    def coverage(self) -> str:
        """One line: the parts of the answer that are enforced while decoding, and those that are checked after."""
        if self.spec.choices:
            return f"enforced: one of {len(self.spec.choices)} choices"
        return self.grammar.coverage if self.grammar is not None else "free text"

    def abstains(self, probabilities: Mapping[str, float]) -> bool:
        """Whether the most probable label is below the prompt's threshold. Four decimals count, as in recordings."""
        rule = self.spec.abstain
        return rule is not None and bool(probabilities) and round(max(probabilities.values()), 4) < rule.below

    def decision(self, label: str, probabilities: Mapping[str, float]) -> str:
        """The label, or the prompt's answer if it abstains."""
        rule = self.spec.abstain
        return rule.answer if rule is not None and self.abstains(probabilities) else label

    @property
    def label_calibration(self) -> LabelCalibration | None:
        """The fitted calibration in the order of the choices. None if there is none."""
        fitted = self.spec.calibration
        if isinstance(fitted, str):
            return None
        return LabelCalibration(fitted.scale, tuple(fitted.bias[choice] for choice in self.spec.choices))

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Check the inputs against the schema.

        Raises:
            InputsError: with a JSON pointer for each problem, and without the values, which may be private.
        """
        problems = self._inputs.problems(inputs)
        if problems:
            listed = join_first([f"{where or '/'} {message}" for where, message in problems])
            raise InputsError(f"The inputs of {self.name} are wrong: {listed}.", problems[:MAX_LISTED])

    @cached_property
    def _inputs(self) -> Inputs:
        return Inputs(self.inputs_schema)

    def inputs_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a case's row that this prompt takes."""
        names = self.inputs_schema.get("properties", {})
        return {name: value for name, value in row.items() if name in names}

    def messages(self, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages with the inputs filled in.

        Raises:
            InputsError: if the inputs do not match the schema, or if a list of messages holds something else.
        """
        self.check_inputs(inputs)
        defaults = {name: schema["default"] for name, schema in self._properties.items() if "default" in schema}
        messages = render.render(self.spec.messages, {**defaults, **inputs}, self.message_lists)
        if not messages:
            raise InputsError(f"The inputs of {self.name} give no message.", [("/", "hold no message")])
        return messages

    def neutral(self) -> tuple[Message, ...]:
        """The messages with a content-free input, for calibration."""
        return render.render(self.spec.messages, dict.fromkeys(self.variables, NEUTRAL))

    @cached_property
    def message_lists(self) -> frozenset[str]:
        """Inputs that may be lists of messages: arrays whose items are not declared, or have a role."""
        return frozenset(
            name
            for name, schema in self._properties.items()
            if schema.get("type") == "array"
            and ("items" not in schema or "role" in (_mapping(schema["items"]).get("properties") or {}))
        )

    @property
    def _properties(self) -> dict[str, Any]:
        schemas = self.inputs_schema.get("properties", {})
        return {name: schema for name, schema in schemas.items() if isinstance(schema, dict)}  # or true, or false


def _mapping(schema: Any) -> dict[str, Any]:
    """A schema as a mapping. `true` and `false` are schemas too."""
    return schema if isinstance(schema, dict) else {}


def load(path: Path) -> Prompt:
    """Read and check a file.

    Raises:
        PromptError: with one line for each mistake.
    """
    return loads(text_files.read(path, PromptError), path)


def loads(text: str, path: Path | None = None) -> Prompt:
    """Check a file's text. `path` is for messages.

    Raises:
        PromptError: with one line for each mistake.
    """
    where = str(path) if path else "<text>"
    tree = parse(text, where)
    mistakes = Mistakes(tree, where)
    values, notes = in_our_form(plain(tree, where), path)
    spec = read_spec(values, mistakes)
    if spec is not None and path is not None:
        spec = spec.placed(path.parent)
    places = [(line_of(tree, place), sentence) for place, sentence in [*notes, *rewritten(tree)]]
    told = tuple(f"{where}:{line}: {sentence}" for line, sentence in sorted(places))
    prompt = Prompt(spec, text, path, told) if spec is not None else None
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
    assert prompt is not None, "values that are no Spec are a mistake"
    return prompt


def dumps(prompt: Prompt, changes: Mapping[str, Any] | None = None) -> str:
    """The file's text with top-level keys replaced. The other keys keep their comments and order.

    Raises:
        PromptError: if the text is not YAML.
    """
    tree = parse(prompt.text, str(prompt.path or "<text>"))
    for key, value in (changes or {}).items():
        tree[key] = value
    return dump(tree)


def save(prompt: Prompt, path: Path, *, schema: str | None = None) -> Prompt:
    """Write a prompt. With `schema`, the first line names this JSON Schema for editors.

    An existing file keeps its comments, and only keys that differ change. A new text with its own comments replaces it.

    Raises:
        PromptError: if the resulting file cannot be used.
        OSError: if it cannot be written. The old file is unchanged then.
    """
    text, tree = prompt.text, parse(prompt.text, str(path))
    if path.exists() and not _has_comments(text, tree):
        old = load(path)
        below = parse(old.text, str(path))
        new, current = plain(tree), plain(below)
        if _has_comments(old.text, below) and set(current) <= set(new):
            text = dumps(old, {key: tree[key] for key, value in new.items() if current.get(key) != value})
    checked = loads(naming_schema(text, schema) if schema else text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.replace_text(path, checked.text)
    return checked


def _has_comments(text: str, tree: CommentedMap) -> bool:
    """Whether a file has a comment that a person wrote."""
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
    """The schema is valid JSON Schema 2020-12."""
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
    if prompt.spec.inputs is None or not isinstance(properties, dict):  # `_check_schema` reports the latter
        return
    declared = set(properties)
    for name in sorted(set(prompt.variables) - declared):
        hint = did_you_mean(name, sorted(declared), "declare it or remove it")
        mistakes.add(("messages",), f"{{{{{name}}}}} is not among the inputs; {hint}", key=f"inputs.properties.{name}")
    for name in sorted(declared - set(prompt.variables)):
        place = ("inputs", "properties", name)
        mistakes.add(place, f"input {name!r} is never used in messages.", key=".".join(place))


def _check_references(schema: Any, mistakes: Mistakes) -> None:
    """References stay inside the file, so that a validator neither fetches one nor fails on it later."""
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
    """Regular expressions are valid. One with placeholders is complete only in a case, and is checked there."""
    for index, evaluator in enumerate(spec.evaluators):
        if evaluator.regex is None or render.PLACEHOLDER.search(evaluator.regex):
            continue
        try:
            re.compile(evaluator.regex)
        except (re.error, OverflowError, RecursionError) as error:
            mistakes.add(("evaluators", index, "regex"), f"not a regular expression: {error}.", key="regex")
