"""Output schemas as grammars, fail closed. In: a JSON Schema, or a set of texts. Out: a `Grammar`. No engine, no model.

    grammar = compile_schema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    grammar.lark      # llguidance Lark text
    grammar.coverage  # "enforced: ...; checked after: ..."
    value, problems = grammar.check('{"n": 3}')

The order of keys in `properties` is the order in which an answer is written: pass a schema on as it was given, and
never through `sort_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.engine.schema.compile import any_json, compile_schema
from service.engine.schema.grammar import Grammar
from service.engine.schema.lark import Book, either, sequence
from service.engine.schema.values import canonical
from service.errors import RequestError

__all__ = ["Grammar", "any_json", "canonical", "choices", "compile_schema", "unwrap"]


def choices(labels: tuple[str, ...]) -> Grammar:
    """Exactly one of these texts, as it is, without quotes."""
    if not labels or "" in labels or len(set(labels)) < len(labels):
        raise RequestError("Choices must be distinct, non-empty texts.", key="choices")
    return Grammar(Book().text(either(sequence(label) for label in labels)), ("choices",))


def unwrap(response_format: Mapping[str, Any], *, key: str = "/response_format") -> Mapping[str, Any] | bool:
    """The schema in OpenAI's `{"type": "json_schema", "json_schema": {"name", "strict", "schema"}}`.

    `strict: false` is enforced all the same: a schema is never only a hint here.
    """
    inner = response_format.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), (Mapping, bool)):
        raise RequestError(
            f"{key}/json_schema/schema is missing.",
            key=f"{key}/json_schema/schema",
            remedy='Send {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}.',
        )
    schema: Mapping[str, Any] | bool = inner["schema"]
    return schema
