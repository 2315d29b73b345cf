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

from service.engine.schema.grammar import validator_for
from service.errors import MAX_LISTED, nearest, pointer

Problem = tuple[str, str]
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


def _unknown(names: Iterable[str], known: Iterable[str], place: Sequence[str | int]) -> Iterator[Problem]:
    for name in islice(names, MAX_LISTED + 1):
        near = nearest(name, known)
        yield pointer([*place, name]), "unknown" + (f"; did you mean {near!r}?" if near else "")


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
