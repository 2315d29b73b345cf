"""Refusals of llguidance: the reason without the caller's text, and the place in a schema, which it does not tell.

In: llguidance's message, or a schema that the gate accepts and llguidance does not. Out: SchemaUnsupported.
Not here: refusals of the gate, which name their place themselves (`engine.schema`).

A schema of fewer keywords allows more. So the smallest beginning that is still refused ends with the keyword at fault.
Bisection finds it in the schema, and then in the subschemas of that keyword.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import llguidance

from service import json_pointer
from service.engine.local.guidance import LIMITS, reason_of
from service.engine.schema import compile_schema
from service.engine.schema.keywords import CONSTRAINTS, is_schema, refusal
from service.engine.schema.references import Path, References
from service.engine.types import Request
from service.errors import SchemaUnsupported

MAX_COMPILED = 64  # schemas for one fault
MAX_BYTES = 400_000  # of their grammars, all together: less than a second
REMEDY = "Remove this keyword, or make it simpler."
MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
"""Keywords whose value has schemas by name."""
FIRST = ("type", "required", "minItems", "minProperties", "minContains")
"""Keywords that ask for a value. What another keyword forbids is the fault, so these come first."""
Schema = Any


class _TooMuch(Exception):
    """The work for one fault is done."""


def placed(error: SchemaUnsupported, request: Request) -> SchemaUnsupported:
    """The error for the part of the request's schemas that llguidance refuses, or else `error`, which has no place."""
    schemas = {"": json.loads(request.schema)} if request.schema is not None else {}
    for number, tool in enumerate(request.tools):
        schemas[f"/tools/{number}/function/parameters"] = tool["function"].get("parameters") or {}
    faults = (fault(schema, where) for where, schema in schemas.items())
    return next((refused for refused in faults if refused is not None), error)


def fault(schema: Schema, where: str = "") -> SchemaUnsupported | None:
    """The error for the part that llguidance refuses. None if it refuses none. `where` is the schema's own pointer."""
    search = _Search(schema)
    try:
        reason = search.refused(schema)
        if reason is None:
            return None
        search.find()
    except _TooMuch:
        reason = "it cannot be combined"
    return refusal(where + json_pointer.pointer(search.path), search.keyword, f"is refused: {reason}", REMEDY)


class _Search:
    """One search. `path` and `keyword` are as near as it has come."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.path: Path = ()
        self.keyword = "schema"
        self._compiled = self._bytes = 0
        self._tokenizer = llguidance.LLTokenizer("byte")

    def refused(self, schema: Schema) -> str | None:
        """Why llguidance refuses this schema. None if it does not, or if the gate does."""
        try:
            grammar = compile_schema(schema)
        except SchemaUnsupported:
            return None
        self._compiled += 1
        self._bytes += len(grammar.lark)
        if self._compiled > MAX_COMPILED or self._bytes > MAX_BYTES:
            raise _TooMuch
        text = llguidance.LLMatcher.grammar_from_lark(grammar.lark)
        matcher = llguidance.LLMatcher(self._tokenizer, text, log_level=0, limits=LIMITS)
        return reason_of(matcher.get_error()) if matcher.is_error() else None

    def find(self) -> None:
        """Go down as long as a subschema is at fault. Raises _TooMuch."""
        seen: set[Path] = set()
        while self.path not in seen:
            seen.add(self.path)
            self._step()

    def _step(self) -> None:
        schema = reduce(lambda value, step: value[step], self.path, self.root)
        if not isinstance(schema, Mapping):
            return
        beside = {word: value for word, value in schema.items() if word not in CONSTRAINTS}
        words = [(word, value) for word, value in schema.items() if word in CONSTRAINTS]
        words.sort(key=lambda pair: pair[0] not in FIRST)
        needed = self._first(len(words), lambda count: {**beside, **dict(words[:count])})
        self.keyword, value = words[needed - 1]
        before = {**beside, **dict(words[: needed - 1])}
        if self.keyword == "$ref":
            target = References(self.root).resolve(value)
            if target is not None and self.refused(self._with({**beside, "$ref": value})):
                self.path = target[1]
            return
        parts = value if isinstance(value, list) else list(value.values()) if isinstance(value, Mapping) else []
        if is_schema(value) and self.keyword not in MAPS:
            if not self.refused(self._with({**before, self.keyword: True})):
                self.path = (*self.path, self.keyword)
        elif parts and all(map(is_schema, parts)):
            names = range(len(value)) if isinstance(value, list) else list(value)

            def cut(count: int) -> Schema:
                kept = [part if at < count else True for at, part in enumerate(parts)]
                whole = kept if isinstance(value, list) else dict(zip(names, kept, strict=True))
                return {**before, self.keyword: whole}

            if not self.refused(self._with(cut(0))):
                self.path = (*self.path, self.keyword, names[self._first(len(parts), cut) - 1])

    def _first(self, most: int, cut: Callable[[int], Schema]) -> int:
        """The smallest number of parts with which the schema is refused."""
        return bisect_left(range(most), True, lo=1, key=lambda count: self.refused(self._with(cut(count))) is not None)

    def _with(self, schema: Schema) -> Schema:
        """The root with this schema at `path`."""
        if not self.path:
            return schema
        root = json.loads(json.dumps(self.root))
        reduce(lambda value, step: value[step], self.path[:-1], root)[self.path[-1]] = schema
        return root
