"""What is wrong with a prompt's inputs, told at a cost that does not depend on how much is wrong.

In: the schema of the inputs, and values that a caller chose. Out: (JSON pointer, message) pairs, few of very many, with
no value in them. Patterns match in linear time, as those of answers do. Not here: reading the schema out of a file.
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
VALUES = ("const", "enum", "default", "examples", "example")  # keywords that hold values and no schemas
MAX_WANTED = 200  # characters of the schema that a message repeats


class Inputs:
    """The inputs of one prompt."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._known: Mapping[str, Any] = schema.get("properties", {})
        self._closed = schema.get("additionalProperties") is False
        self._validator: Draft202012Validator = validator_for(schema, formats=False)

    def problems(self, values: Mapping[str, Any]) -> list[Problem]:
        """Sorted; empty when the values may be used. More than MAX_LISTED means that not all were looked for."""
        unknown = [name for name in values if name not in self._known] if self._closed else []
        found = dict.fromkeys(_unknown(unknown, self._known, ()))
        known = {name: value for name, value in values.items() if name in self._known} if unknown else dict(values)
        for error in self._validator.iter_errors(known):
            found.update(dict.fromkeys(_told(error)))
            if len(found) > MAX_LISTED:
                break
        return sorted(found)


def unreadable_patterns(schema: Any) -> Iterator[str]:
    """Where a pattern stands that is not matched in linear time, and why, each as the end of a sentence."""
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
            named = path[-1:] == ("properties",)  # here the keys are names of inputs, and no keywords
            pending += [((*path, name), inner) for name, inner in node.items() if named or name not in VALUES]


def _unknown(names: Iterable[str], known: Iterable[str], place: Sequence[str | int]) -> Iterator[Problem]:
    for name in islice(names, MAX_LISTED + 1):
        meant = did_you_mean(name, known)
        yield pointer([*place, name]), f"unknown; {meant}" if meant else "unknown"


def _told(error: Any) -> Iterator[Problem]:
    """Where and what, of one thing that the validator found."""
    place = list(error.absolute_path)
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield pointer([*place, name]), "this input is missing"
    elif error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        yield from _unknown((name for name in error.instance if name not in known), known, place)
    else:
        wanted = textwrap.shorten(repr(error.validator_value), MAX_WANTED)
        yield pointer(place), f"does not satisfy {error.validator}: {wanted}"
