"""Whether a plain schema has a value that ends, when rules may need themselves again.

In: a schema of `gate.py` and its rules. Out: yes or no. A rule has an end if it has one under the assumption that the
rules found before it have one. The rounds stop when no further rule is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_finite(schema: Any, rules: Mapping[str, Any]) -> bool:
    """Whether some value of the schema ends."""
    return _ends(schema, finite_rules(rules))


def finite_rules(rules: Mapping[str, Any]) -> set[str]:
    """The names of the rules that have an end."""
    finite: set[str] = set()
    waiting = list(rules)
    while waiting:
        # Some rules need earlier ones and some need later ones, so the direction changes with each round.
        still = [name for name in reversed(waiting) if not _add(name, rules, finite)]
        if len(still) == len(waiting):
            return finite
        waiting = still
    return finite


def _add(name: str, rules: Mapping[str, Any], finite: set[str]) -> bool:
    if not _ends(rules[name], finite):
        return False
    finite.add(name)
    return True


def _ends(schema: Any, finite: set[str]) -> bool:
    if isinstance(schema, bool) or "enum" in schema:
        return schema is not False
    if "$ref" in schema and schema["$ref"].removeprefix("#/$defs/") not in finite:
        return False
    if any(not _ends(part, finite) for part in schema.get("allOf", [])):
        return False
    if "anyOf" in schema and not any(_ends(option, finite) for option in schema["anyOf"]):
        return False
    types = schema.get("type", "null")
    types = [types] if isinstance(types, str) else types
    return any(_type_ends(kind, schema, finite) for kind in types)


def _type_ends(kind: str, schema: Mapping[str, Any], finite: set[str]) -> bool:
    if kind == "object":
        properties = schema.get("properties", {})
        others = [schema.get("additionalProperties", True), *schema.get("patternProperties", {}).values()]
        unnamed = any(_ends(value, finite) for value in others)  # some pattern may match the name
        needed = schema.get("required", [])
        return all(_ends(properties[name], finite) if name in properties else unnamed for name in needed)
    if kind == "array" and schema.get("minItems", 0):
        needed = schema.get("prefixItems", [])[: schema["minItems"]]
        if len(needed) < schema["minItems"]:
            needed = [*needed, schema.get("items", True)]
        return all(_ends(item, finite) for item in needed)
    return True
