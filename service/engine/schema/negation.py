"""Schemas that say "not", rewritten into schemas that say it only of single keywords, or not at all.

In: a schema object in the words of draft 2020-12. Out: a schema that accepts the values that the first one refuses (De
Morgan's laws, one level at a time). Where no schema says so exactly, the result accepts more, and `Inexact` tells it.
Not here: which rewriting is used (`gate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from service.engine.schema.keywords import CONSTRAINTS, OF_TYPE, TYPES

Schema = Mapping[str, Any] | bool
MAX_TRIE = 400  # characters of all texts that a pattern excludes


class Inexact:
    """A note that some rewriting accepts more than it should."""

    def __init__(self) -> None:
        self.noted = False

    def more(self, schema: Schema) -> Schema:
        """`schema`, which accepts more than the exact rewriting would."""
        self.noted = True
        return schema


def negated(schema: Schema, inexact: Inexact) -> Schema:
    """A schema of the values that `schema` refuses. `$ref` and nested schemas stay inside a `not`."""
    if isinstance(schema, bool):
        return not schema
    words = [word for word in schema if word in CONSTRAINTS]
    options = [
        option
        for word in words
        if word not in ("then", "else", "minContains", "maxContains", "additionalItems")
        for option in _refusals(word, schema, inexact)
    ]
    options = [option for option in options if option is not False]
    return {"anyOf": options} if options else False


def conditional(schema: Mapping[str, Any]) -> Schema:
    """`if`, `then` and `else` as two cases."""
    condition = schema["if"]
    return {
        "anyOf": [
            {"allOf": [condition, schema.get("then", True)]},
            {"allOf": [{"not": condition}, schema.get("else", True)]},
        ]
    }


def exactly_one(options: list[Any]) -> Schema:
    """`oneOf` as one case for each option: this option and none of the others."""
    return {
        "anyOf": [
            {"allOf": [option, *({"not": other} for other in (*options[:at], *options[at + 1 :]))]}
            for at, option in enumerate(options)
        ]
    }


def _refusals(word: str, schema: Mapping[str, Any], inexact: Inexact) -> list[Schema]:
    """The cases in which this keyword refuses a value."""
    value = schema[word]
    match word:
        case "$ref":
            return [{"not": {"$ref": value}}]
        case "type":
            return [_other_types([value] if isinstance(value, str) else value, inexact)]
        case "const":
            return _not_values([value], inexact)
        case "enum":
            return _not_values(value, inexact)
        case "anyOf":
            return [{"allOf": [{"not": option} for option in value]}]
        case "allOf":
            return [{"not": part} for part in value]
        case "oneOf":
            none_of_them = {"allOf": [{"not": option} for option in value]}
            several = [{"allOf": [one, other]} for at, one in enumerate(value) for other in value[:at]]
            return [none_of_them, *several] if len(value) <= 4 else [inexact.more(True)]
        case "not":
            return [value]
        case "if":
            return [
                {"allOf": [value, {"not": schema.get("then", True)}]},
                {"allOf": [{"not": value}, {"not": schema.get("else", True)}]},
            ]
    kind = next(kind for kind, words in OF_TYPE.items() if word in words)
    cases = _OF_TYPE[kind](word, value, schema, inexact)
    return [{"type": kind, **case} if isinstance(case, Mapping) else case for case in cases]


def _other_types(types: list[str], inexact: Inexact) -> Schema:
    excluded = {*types, "integer"} if "number" in types else set(types)
    if "integer" in excluded and "number" not in excluded:
        inexact.noted = True  # no schema says "a number with a fraction"
    others = [kind for kind in TYPES if kind not in excluded and kind != "integer"]
    return {"type": others} if others else False


def _not_values(values: list[Any], inexact: Inexact) -> list[Schema]:
    """Every type, without these values where a schema can leave them out."""
    texts = [value for value in values if isinstance(value, str)]
    booleans = [value for value in (True, False) if not any(value is other for other in values)]
    numbers = sorted({value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)})
    cases: list[Schema] = [{"type": kind} for kind in ("object", "array")]
    if any(isinstance(value, (dict, list)) for value in values):
        inexact.noted = True
    if not any(value is None for value in values):
        cases.append({"type": "null"})
    if booleans:
        cases.append({"enum": booleans})
    if sum(map(len, texts)) > MAX_TRIE or len(numbers) > 40:
        return [*cases, inexact.more({"type": ["string", "number"]})]
    cases.append({"type": "string", "pattern": other_texts(texts)} if texts else {"type": "string"})
    edges = [None, *numbers, None]
    for low, high in pairwise(edges):
        bounds = {"exclusiveMinimum": low, "exclusiveMaximum": high}
        cases.append({"type": "number", **{word: bound for word, bound in bounds.items() if bound is not None}})
    return cases


def other_texts(texts: list[str]) -> str:
    """A pattern for every text but these: after each common beginning, an end or another character."""
    trie: dict[str, Any] = {}
    for text in texts:
        node = trie
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}

    def rest(node: dict[str, Any]) -> str:
        following = [character for character in node if character]
        options = [rf"[^{''.join(_in_class(character) for character in following)}][\s\S]*"] if following else []
        options += [f"{_in_class(character)}(?:{rest(node[character])})" for character in following]
        if not following:
            options.append(r"[\s\S]+")
        if "" not in node:
            options.append("")
        return "|".join(options)

    return f"^(?:{rest(trie)})$"


def _in_class(character: str) -> str:
    return character if character.isalnum() else f"\\u{{{ord(character):x}}}"


def _number(word: str, value: Any, schema: Mapping[str, Any], inexact: Inexact) -> list[Schema]:
    opposite = {
        "minimum": "exclusiveMaximum", "maximum": "exclusiveMinimum",
        "exclusiveMinimum": "maximum", "exclusiveMaximum": "minimum",
    }  # fmt: skip
    if word == "multipleOf" or isinstance(value, bool):
        return [inexact.more({})]
    return [{opposite[word]: value}]


def _string(word: str, value: Any, schema: Mapping[str, Any], inexact: Inexact) -> list[Schema]:
    if word in ("minLength", "maxLength"):
        return _sizes(word, value)
    return [inexact.more({})]


def _sizes(word: str, value: int) -> list[Schema]:
    """Fewer than a smallest size, or more than a largest one."""
    if word.startswith("max"):
        return [{"min" + word[3:]: value + 1}]
    return [{"max" + word[3:]: value - 1}] if value > 0 else [False]


def _array(word: str, value: Any, schema: Mapping[str, Any], inexact: Inexact) -> list[Schema]:
    match word:
        case "minItems" | "maxItems":
            return _sizes(word, value)
        case "prefixItems":
            return [{"minItems": at + 1, "prefixItems": [*[True] * at, {"not": item}]} for at, item in enumerate(value)]
        case "items" if value is True:
            return [False]
        case "items" if value is False:
            return [{"minItems": len(schema.get("prefixItems", [])) + 1}]
        case "contains" if "minContains" not in schema and "maxContains" not in schema:
            return [{"items": {"not": value}}]
        case "items" | "uniqueItems":
            return [inexact.more({"minItems": 1 + (word == "uniqueItems")})] if value is not False else [False]
    return [inexact.more({})]


def _object(word: str, value: Any, schema: Mapping[str, Any], inexact: Inexact) -> list[Schema]:
    match word:
        case "minProperties" | "maxProperties":
            return _sizes(word, value)
        case "required":
            return [{"properties": {name: False}} for name in value]
        case "properties":
            return [{"properties": {name: {"not": inner}}, "required": [name]} for name, inner in value.items()]
        case "dependentRequired":
            return [
                {"properties": {other: False}, "required": [name]} for name, others in value.items() for other in others
            ]
        case "dependentSchemas":
            return [{"required": [name], "allOf": [{"not": inner}]} for name, inner in value.items()]
        case "additionalProperties" | "propertyNames" if value is True:
            return [False]
        case "additionalProperties" if not value and "patternProperties" not in schema and not schema.get("properties"):
            return [{"minProperties": 1}]
    return [inexact.more({"minProperties": 1})]


_OF_TYPE = {"number": _number, "string": _string, "array": _array, "object": _object}
