"""Constraints on the names and the number of an object's properties, in the forms that llguidance takes.

In: an object's keywords, and its plainer schema so far. Out: changes of the plainer schema, and the keywords that are
checked after decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.engine.schema import patterns
from service.engine.schema.matching import Tree, share_a_text

MAX_PATTERNS = 16  # of names in one object that are compared with each other
MAX_CASES = 4  # dependencies that are enforced. Each doubles the cases
NAME_WORDS = ("pattern", "minLength", "maxLength", "enum", "const", "format")


def name_patterns(words: Mapping[str, Any], plain: dict[str, Any], trees: dict[str, Tree], pointer: str) -> list[str]:
    """`patternProperties` and `propertyNames`: one pattern for each kind of name, and no name with two of them.

    `trees` gets the patterns by their written form.
    """
    given = plain.pop("patternProperties", {})
    parsed = {pattern: patterns.parse(pattern, f"{pointer}/patternProperties") for pattern in given}
    if shared(list(parsed.values())):
        plain["additionalProperties"] = True
        return ["patternProperties"]
    if given:
        trees.update((patterns.written(tree), tree) for tree in parsed.values())
        plain["patternProperties"] = {patterns.written(tree): given[pattern] for pattern, tree in parsed.items()}
    rule = words.get("propertyNames", True)
    if rule is True:
        return []
    if rule is False:
        plain.update({"properties": {}, "additionalProperties": False})
        plain.pop("patternProperties", None)
        return []
    expression = _names(rule)
    further = plain.get("additionalProperties", True)
    if expression is None or given or (plain.get("properties") and further not in (True, False)):
        return ["propertyNames"]  # a pattern would constrain the values of named properties too
    if expression and further is not False:
        plain["patternProperties"] = {expression: further}
        plain["additionalProperties"] = False
    return ["propertyNames"] if expression and plain.get("properties") else []


def shared(trees: list[Tree]) -> bool:
    """Whether some name may match two of these patterns."""
    if len(trees) > MAX_PATTERNS:
        return True
    return any(share_a_text(one, other) for at, one in enumerate(trees) for other in trees[:at])


def _names(rule: Mapping[str, Any]) -> str | None:
    """The names that a schema of names allows, as an expression: "" for all names, None where no expression says so."""
    words = {word: value for word, value in rule.items() if word in NAME_WORDS}
    if any(word in rule for word in ("anyOf", "oneOf", "allOf", "not", "if", "$ref")) or len(words) > 1:
        return None
    match words:
        case {"pattern": pattern}:
            return patterns.translate(pattern)
        case {"enum": list(values)}:
            return patterns.any_of(value for value in values if isinstance(value, str))
        case {"const": str(value)}:
            return patterns.any_of([value])
        case {"minLength": least}:
            return f"^(?s:.{{{int(least)},}})$"
        case {"maxLength": most}:
            return f"^(?s:.{{0,{int(most)}}})$"
    return None if words else ""


def unevaluated(words: Mapping[str, Any], plain: dict[str, Any]) -> list[str]:
    """`unevaluatedProperties` is `additionalProperties` where no other keyword evaluates properties."""
    if words.get("unevaluatedProperties", True) is True:
        return []
    others = ("anyOf", "oneOf", "allOf", "$ref", "if", "dependentSchemas", "not", "additionalProperties")
    if words["unevaluatedProperties"] is False and not any(word in words for word in others):
        plain["additionalProperties"] = False
        return []
    return ["unevaluatedProperties"]


def dependent(words: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each dependency with two cases: without the property, or with everything that it needs. None: too many."""
    needs = [
        (name, "dependentRequired", {"required": names}) for name, names in words.get("dependentRequired", {}).items()
    ]
    needs += [(name, "dependentSchemas", schema) for name, schema in words.get("dependentSchemas", {}).items()]
    kind = {"type": "object"} if words.get("type") == "object" else {}
    for at, (name, word, needed) in enumerate(needs):
        either = {"anyOf": [{**kind, "properties": {name: False}}, {**kind, "allOf": [needed]}]}
        yield word, either if at < MAX_CASES else None


def count(words: Mapping[str, Any], plain: dict[str, Any]) -> list[str]:
    """`minProperties` and `maxProperties`: llguidance counts unnamed properties, and one optional named property."""
    sizes = {word: int(words[word]) for word in ("minProperties", "maxProperties") if word in words}
    required = plain.get("required", [])
    optional = [name for name in plain.get("properties", {}) if name not in required]
    closed = plain.get("additionalProperties") is False and not plain.get("patternProperties")
    least = max(0, sizes.get("minProperties", 0) - len(required))
    if closed and sizes.get("maxProperties", -1) >= len(optional) + len(required):
        del sizes["maxProperties"]  # there are no more
    most = sizes.get("maxProperties", len(required) + 1) - len(required)
    if not optional or (closed and least <= 1 and most == 1):
        plain.update(sizes)
        return []
    return [word for word in sizes if word == "maxProperties" or least]
