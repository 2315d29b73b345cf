"""Merges of schemas in llguidance: their cost, and the merges that it cannot do.

In: the plain schemas of `gate.py` and their rules. Out: a cost, and schemas without impossible merges. llguidance
merges the schemas that hold at the same time (`allOf`, and the keywords beside `$ref` or `anyOf`): each alternative of
one with each alternative of the others. It cannot merge a rule while that rule is being read, two recursive rules, or
objects with `patternProperties` that share a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Rules = Mapping[str, Any]
Drop = Callable[[Any], None]
MAX_PATTERNS = 8  # that one text has to match together. llguidance's time grows exponentially with their number
NESTED = ("properties", "patternProperties")
SINGLE = ("items", "additionalProperties")


def children(schema: Any) -> Iterator[Any]:
    """The schemas of nested values."""
    for word in NESTED:
        yield from schema.get(word, {}).values()
    for word in SINGLE:
        if word in schema:
            yield schema[word]
    yield from schema.get("prefixItems", [])


def cost(start: Any, rules: Rules) -> int:
    """About how many JSON values of schemas are copied when alternatives are merged."""
    sizes: dict[str, tuple[int, int]] = {}
    return sum(_measure(schema, rules, sizes, merged=False)[2] for schema in (start, *rules.values()))


def _measure(schema: Any, rules: Rules, sizes: dict[str, tuple[int, int]], *, merged: bool) -> tuple[int, int, int]:
    """Alternatives, size and cost of one schema. `merged` means that it is merged with others."""
    if isinstance(schema, bool):
        return 1, 1, 0
    alternatives, size, total, parts = 1, 1 + len(schema.get("enum", ())), 0, 0
    if "$ref" in schema and (merged or len(schema) > 1):
        name = _name(schema)
        if name not in sizes:
            sizes[name] = (1, 1)  # for a rule that contains itself
            sizes[name] = _measure(rules[name], rules, sizes, merged=True)[:2]
        alternatives, size = sizes[name][0], size + sizes[name][1]
    if "anyOf" in schema:
        measured = [_measure(option, rules, sizes, merged=merged or len(schema) > 1) for option in schema["anyOf"]]
        alternatives *= sum(part[0] for part in measured)
        size += sum(part[1] for part in measured)
        total += sum(part[2] for part in measured)
        parts += 1
    for part in schema.get("allOf", []):
        more, length, inner = _measure(part, rules, sizes, merged=True)
        alternatives, size, total, parts = alternatives * more, size + length, total + inner, parts + 1
    for child in children(schema):
        _, length, inner = _measure(child, rules, sizes, merged=merged)
        size, total = size + length, total + inner
    if parts > 1 or (parts and len(schema) > 1):
        total += alternatives * size
    return alternatives, size, total


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).removeprefix("#/$defs/")


class Merges:
    """The merges of one document."""

    def __init__(
        self, rules: Rules, drop: Drop, overlap: Callable[[set[str]], bool], matches: Callable[[str, str], bool]
    ) -> None:
        self._rules = rules
        self._drop = drop  # is told of each schema that loses a part
        self._overlap = overlap  # whether two of these patterns share a name
        self._matches = matches  # whether a pattern matches a name
        self._reach = {name: self._reached(name) for name in rules}

    def _reached(self, name: str) -> set[str]:
        names: set[str] = set()
        pending = [self._rules[name]]
        while pending:
            schema = pending.pop()
            if isinstance(schema, bool):
                continue
            if "$ref" in schema and _name(schema) not in names:
                names.add(_name(schema))
                pending.append(self._rules[_name(schema)])
            pending += [*schema.get("anyOf", []), *schema.get("allOf", []), *children(schema)]
        return names

    def mend(self, schema: Any, inside: str | None) -> None:
        """Take out of a schema, in place, the parts that cannot be merged. `inside` is the rule that it belongs to."""
        pending = [schema]
        while pending:
            schema = pending.pop()
            if isinstance(schema, bool):
                continue
            parts = [*schema.get("allOf", [])]
            if len(schema) > 1 or len(parts) > 1:
                self._circles(schema, inside)
                self._patterns(schema)
                self._texts(schema)
            self._named_and_matched(schema)
            pending += [*schema.get("anyOf", []), *schema.get("allOf", []), *children(schema)]

    def _circles(self, schema: dict[str, Any], inside: str | None) -> None:
        """Keep at most one recursive rule, and none that contains this place."""
        recursive = [name for name in self._merged(schema) if name in self._reach[name]]
        around = [name for name in recursive if inside is not None and (inside == name or inside in self._reach[name])]
        if not around and len(recursive) < 2:
            return
        kept: set[str] = set() if around else {recursive[0]}
        self._drop(schema)
        if "$ref" in schema and _name(schema) in recursive and _name(schema) not in kept:
            del schema["$ref"]
        for word in ("allOf", "anyOf"):
            if word in schema:
                schema[word] = [
                    True if set(self._merged(part)) & set(recursive) - kept else part for part in schema[word]
                ]

    def _merged(self, schema: Any) -> list[str]:
        """The rules that are merged at this place."""
        if isinstance(schema, bool):
            return []
        names = []
        if "$ref" in schema:
            names.append(_name(schema))
        for part in (*schema.get("allOf", []), *schema.get("anyOf", [])):
            names += self._merged(part)
        return list(dict.fromkeys(names))

    def _patterns(self, schema: dict[str, Any]) -> None:
        seen: set[str] = set()
        for part in self._objects(schema, set()):
            patterns = set(part["patternProperties"])
            if patterns - seen and seen and self._overlap(seen | patterns):
                self._drop(schema)
                del part["patternProperties"]
                part.pop("additionalProperties", None)
            else:
                seen |= patterns

    def _texts(self, schema: dict[str, Any]) -> None:
        """Keep at most `MAX_PATTERNS` patterns of one text."""
        parts = list(self._written(schema, set()))
        for part in parts[MAX_PATTERNS:]:
            part.pop("pattern", None)
            part.pop("format", None)
        if len(parts) > MAX_PATTERNS:
            self._drop(schema)

    def _written(self, schema: Any, visited: set[str]) -> Iterator[dict[str, Any]]:
        """The schemas with a pattern or a format that hold together here. Of alternatives those with the most."""
        if isinstance(schema, bool):
            return
        if "pattern" in schema or "format" in schema:
            yield schema
        if "$ref" in schema and _name(schema) not in visited:
            yield from self._written(self._rules[_name(schema)], visited | {_name(schema)})
        for part in schema.get("allOf", []):
            yield from self._written(part, visited)
        options = [list(self._written(option, visited)) for option in schema.get("anyOf", [])]
        yield from max(options, key=len, default=[])

    def _named_and_matched(self, schema: dict[str, Any]) -> None:
        """A property that also matches a pattern is merged with the pattern's schema."""
        for pattern, rule in schema.get("patternProperties", {}).items():
            if self._recursive(rule) and any(self._matches(pattern, name) for name in schema.get("properties", {})):
                self._drop(schema)
                schema["patternProperties"][pattern] = True

    def _recursive(self, schema: Any) -> bool:
        """Whether a recursive rule is used anywhere in this schema."""
        if isinstance(schema, bool):
            return False
        if "$ref" in schema and (_name(schema) in self._reach[_name(schema)] or self._reach[_name(schema)]):
            return True
        return any(map(self._recursive, (*schema.get("anyOf", []), *schema.get("allOf", []), *children(schema))))

    def _objects(self, schema: Any, visited: set[str]) -> Iterator[dict[str, Any]]:
        """The schemas with patterns of names that are merged at this place."""
        if isinstance(schema, bool):
            return
        if "patternProperties" in schema:
            yield schema
        if "$ref" in schema and _name(schema) not in visited:
            visited.add(_name(schema))
            yield from self._objects(self._rules[_name(schema)], visited)
        for part in (*schema.get("allOf", []), *schema.get("anyOf", [])):
            yield from self._objects(part, visited)
