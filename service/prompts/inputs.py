"""The problems of a prompt's inputs, found at a cost that does not grow with their number.

In: the schema of the inputs, and values from a caller. Out: (JSON pointer, message) pairs without values, and only the
first few. Patterns match in linear time, like those of answers.
Not here: reading the schema from a file (`file`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from service.engine.schema import patterns
from service.engine.schema.validator import validator_for
from service.errors import MAX_LISTED, SchemaUnsupported, did_you_mean
from service.json_pointer import pointer

Problem = tuple[str, str]
VALUES = ("const", "enum", "default", "examples", "example")  # keywords that hold values, not schemas
MAX_WANTED = 200  # characters of the schema that a message repeats


class Inputs:
    """The inputs of one prompt."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._known: Mapping[str, Any] = schema.get("properties", {})
        self._closed = schema.get("additionalProperties") is False
        self._validator: Draft202012Validator = validator_for(schema, formats=False)

    def problems(self, values: Mapping[str, Any]) -> list[Problem]:
        """The problems, sorted. None if the values can be used. After MAX_LISTED problems the search ends."""
        unknown = [name for name in values if name not in self._known] if self._closed else []
        problems = dict.fromkeys(_unknown(unknown, self._known, ()))
        known = {name: value for name, value in values.items() if name in self._known} if unknown else dict(values)
        for error in self._validator.iter_errors(known):
            problems.update(dict.fromkeys(_told(error)))
            if len(problems) > MAX_LISTED:
                break
        return sorted(problems)


def unreadable_patterns(schema: Any) -> Iterator[str]:
    """Each pattern that cannot be matched in linear time: its place and the reason, as the end of a sentence."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, list):
            pending += [((*path, at), inner) for at, inner in enumerate(node)]
        elif isinstance(node, dict):
            if "patternProperties" in node and isinstance(node["patternProperties"], dict):
                yield f"{pointer(path)}: patternProperties is not supported; name the properties."
            if isinstance(node.get("pattern"), str):
                try:
                    patterns.parse(node["pattern"], pointer(path))
                except SchemaUnsupported as error:
                    yield f"{pointer(path)}: {error}"
            named = path[-1:] == ("properties",)  # its keys are names of inputs, not keywords
            pending += [((*path, name), inner) for name, inner in node.items() if named or name not in VALUES]


def _unknown(names: Iterable[str], known: Iterable[str], place: Sequence[str | int]) -> Iterator[Problem]:
    for name in islice(names, MAX_LISTED + 1):
        meant = did_you_mean(name, known)
        yield pointer([*place, name]), f"unknown; {meant}" if meant else "unknown"


def _told(error: Any) -> Iterator[Problem]:
    """Place and message of one error of the validator."""
    place = list(error.absolute_path)
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield pointer([*place, name]), "this input is missing"
    elif error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        yield from _unknown((name for name in error.instance if name not in known), known, place)
    elif error.validator == "type":
        kinds = error.validator_value
        yield pointer(place), f"must be of the type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    else:
        limit = textwrap.shorten(repr(error.validator_value), MAX_WANTED)
        yield pointer(place), f"does not satisfy {error.validator}: {limit}"
