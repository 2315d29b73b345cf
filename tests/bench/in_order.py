"""A JSON value with the keys of its objects in the order of its schema.

In: a value, its schema. Out: the same value. A schema orders its keys as `service/engine/schema` writes them: first
`properties`, keyword by keyword, through every subschema that holds for the value, then all further keys as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.engine.schema.references import References
from service.engine.schema.validator import validator_for

MAX_DEPTH = 64


class Orderer:
    """Orders values of one schema."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._references = References(schema)
        self._validator = validator_for(schema)

    def ordered(self, value: Any) -> Any:
        """The value in the order of the schema."""
        return self._ordered(value, [self._schema])

    def _ordered(self, value: Any, schemas: list[Any]) -> Any:
        holding = [part for schema in schemas for part in self._holding(value, schema, 0)]
        if isinstance(value, dict):
            names: dict[str, None] = {}
            for part in holding:
                names.update(dict.fromkeys(part.get("properties", {})))
            for part in holding:
                names.update(dict.fromkeys(part.get("required", [])))
            keys = [*(name for name in names if name in value), *(name for name in value if name not in names)]
            return {key: self._ordered(value[key], list(self._inner(key, holding))) for key in keys}
        if isinstance(value, list):
            return [self._ordered(item, list(self._items(at, holding))) for at, item in enumerate(value)]
        return value

    def _holding(self, value: Any, schema: Any, depth: int) -> Iterator[Mapping[str, Any]]:
        """The schema objects that hold for the value, one keyword after the other."""
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return
        plain: dict[str, Any] = {}
        for word, inner in schema.items():
            if word == "$ref":
                target = self._references.resolve(inner)
                parts = [target[0]] if target else []
            elif word in ("allOf", "anyOf", "oneOf"):
                parts = inner if word == "allOf" else [one for one in inner if self._valid(value, one)]
            elif word in ("then", "else"):
                parts = [inner] if self._valid(value, schema.get("if", True)) == (word == "then") else []
            else:
                plain[word] = inner
                continue
            if plain:
                yield plain
                plain = {}
            for part in parts:
                yield from self._holding(value, part, depth + 1)
        if plain:
            yield plain

    def _valid(self, value: Any, schema: Any) -> bool:
        return bool(self._validator.evolve(schema=schema).is_valid(value))

    @staticmethod
    def _inner(key: str, holding: list[Mapping[str, Any]]) -> Iterator[Any]:
        for part in holding:
            if key in part.get("properties", {}):
                yield part["properties"][key]
            else:
                yield from part.get("patternProperties", {}).values()
                yield part.get("additionalProperties", True)

    @staticmethod
    def _items(at: int, holding: list[Mapping[str, Any]]) -> Iterator[Any]:
        for part in holding:
            prefix = part.get("prefixItems", part["items"] if isinstance(part.get("items"), list) else [])
            rest = part.get("items") if not isinstance(part.get("items"), list) else part.get("additionalItems")
            yield prefix[at] if at < len(prefix) else rest
