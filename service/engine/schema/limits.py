"""Limits on the size of a schema, so that compiling takes milliseconds for every schema that a caller can send.

In: a schema as plain JSON values. Out: nothing, or SchemaUnsupported with the pointer and the limit. The values of the
schema are counted before any work. Compiled subschemas and the grammar are counted during the work, because references
and patterns turn short schemas into long grammars. The limits are counts and not seconds, so the same schema is always
accepted or always refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from service.engine.schema.keywords import refuse
from service.json_pointer import pointer
from service.strict_json import MAX_DEPTH

MAX_VALUES = 20_000  # JSON values in one schema, at any depth
MAX_TEXT = 200_000  # characters of all its texts and names together
MAX_ALTERNATIVES = 1_900  # in all enum, anyOf and oneOf together
MAX_PROPERTIES = 2_000  # in all `properties` together
MAX_PATTERNS = 8_192  # characters of all patterns together
MAX_SUBSCHEMAS = 4_000  # that are compiled. The target of a $ref counts once
MAX_GRAMMAR_BYTES = 400_000
Path = tuple[str | int, ...]


class Work:
    """The cost so far of one grammar, which may hold one schema or the parameters of several tools."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._bytes = 0

    def admit(self, schema: Any) -> None:
        """Count the values of a schema.

        Raises:
            SchemaUnsupported: for the first limit that is passed.
        """
        pending: list[tuple[Path, Any]] = [((), schema)]
        while pending:
            path, value = pending.pop()
            self._count("schema", 1, MAX_VALUES, (), "values")
            if len(path) > MAX_DEPTH:
                refuse(pointer(path), "schema", f"is nested deeper than {MAX_DEPTH} levels", "Make it flatter.")
            if isinstance(value, str):
                self._count("text", len(value), MAX_TEXT, (), "characters")
            elif isinstance(value, Mapping):
                self._names(value, path)
                pending += [((*path, name), inner) for name, inner in value.items()]
            elif isinstance(value, (list, tuple)):
                pending += [((*path, at), inner) for at, inner in enumerate(value)]

    def _names(self, value: Mapping[Any, Any], path: Path) -> None:
        for name, inner in value.items():
            if not isinstance(name, str):
                refuse(pointer(path), "schema", "is not plain JSON (names are texts)")
            self._count("text", len(name), MAX_TEXT, (), "characters")
            if name in ("enum", "anyOf", "oneOf") and isinstance(inner, list):
                self._count("alternatives", len(inner), MAX_ALTERNATIVES, (*path, name), "alternatives")
            elif name == "properties" and isinstance(inner, Mapping):
                self._count("properties", len(inner), MAX_PROPERTIES, (*path, name), "properties")
            elif name == "pattern" and isinstance(inner, str):
                self._count("patterns", len(inner), MAX_PATTERNS, (*path, name), "characters in its patterns")

    def _count(self, kind: str, amount: int, most: int, path: Path, called: str) -> None:
        self._counts[kind] += amount
        if self._counts[kind] > most:
            keyword = str(path[-1]) if path else "schema"
            why = f"brings the whole to more than {most} {called}"
            refuse(pointer(path[:-1]), keyword, why, "Make the schema smaller.")

    def subschema(self, where: str) -> None:
        """One more is compiled. Raises SchemaUnsupported."""
        self._counts["subschemas"] += 1
        if self._counts["subschemas"] > MAX_SUBSCHEMAS:
            refuse(where, "schema", f"leads to more than {MAX_SUBSCHEMAS} schemas", "Use fewer $refs.")

    def whole(self, lark: str) -> None:
        """The grammar of one schema. Raises SchemaUnsupported when those of all schemas together are too long."""
        self._bytes += len(lark.encode())
        if self._bytes > MAX_GRAMMAR_BYTES:
            why = f"brings the grammar to more than {MAX_GRAMMAR_BYTES} bytes, all together"
            refuse("", "schema", why, "Make the schema smaller.")
