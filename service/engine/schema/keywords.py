"""The JSON Schema keywords: which constrain, which only describe, and the form that each value must have.

In: one schema object. Out: nothing, or SchemaUnsupported. Not here: the meaning of a keyword (`gate.py`).

A keyword that is in none of these tables constrains nothing, as JSON Schema says. A prompt file is read strictly: there
an unknown keyword is probably misspelt, and it is an error that names the nearest known keyword.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from service.errors import MAX_NAME, SchemaUnsupported, did_you_mean, short_name

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def is_schema(value: Any) -> bool:
    """An object, true or false."""
    return isinstance(value, (Mapping, bool))


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_schema, value))


def _maybe_schemas(value: Any) -> bool:
    return value == [] or _schemas(value)


def _schema_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(is_schema, value.values()))


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _count(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _bound(value: Any) -> bool:
    return isinstance(value, bool) or _number(value)  # true is how draft 4 writes an exclusive bound


def _types(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else _names(value) and bool(value) and set(value) <= set(TYPES)


def _dependencies(value: Any) -> bool:
    return isinstance(value, Mapping) and all(is_schema(inner) or _names(inner) for inner in value.values())


def _text(value: Any) -> bool:
    return isinstance(value, str)


def is_scalar_of(value: Any, types: Any) -> bool:
    """Whether this text, truth value or null has one of the types."""
    kind = {str: "string", bool: "boolean", type(None): "null"}.get(type(value))
    return kind is not None and (kind == types or kind in types)


Form = tuple[str, Callable[[Any], bool]]
SCHEMA: Form = ("must be a schema (an object, true or false)", is_schema)
SCHEMAS: Form = ("must be a list of schemas", _schemas)
SCHEMA_MAP: Form = ("must be an object of schemas", _schema_map)
COUNT: Form = ("must be a whole number that is not negative", _count)
NUMBER: Form = ("must be a number", _number)
BOUND: Form = ("must be a number", _bound)
TEXT: Form = ("must be a text", _text)
NAMES: Form = ("must be a list of names", _names)
NAME_LISTS: Form = (
    "must be an object of lists of names",
    lambda value: isinstance(value, Mapping) and all(map(_names, value.values())),
)

OF_TYPE: dict[str, dict[str, Form]] = {
    "object": {
        "properties": SCHEMA_MAP, "required": NAMES, "additionalProperties": SCHEMA, "patternProperties": SCHEMA_MAP,
        "propertyNames": SCHEMA, "minProperties": COUNT, "maxProperties": COUNT, "dependentRequired": NAME_LISTS,
        "dependentSchemas": SCHEMA_MAP, "unevaluatedProperties": SCHEMA,
        "dependencies": ("must be an object of schemas or lists of names", _dependencies),
    },
    "array": {
        "items": ("must be a schema or a list of schemas", lambda value: is_schema(value) or _maybe_schemas(value)),
        "prefixItems": SCHEMAS, "additionalItems": SCHEMA, "minItems": COUNT, "maxItems": COUNT,
        "uniqueItems": ("must be true or false", lambda value: isinstance(value, bool)), "contains": SCHEMA,
        "minContains": COUNT, "maxContains": COUNT, "unevaluatedItems": SCHEMA,
    },
    "string": {"minLength": COUNT, "maxLength": COUNT, "pattern": TEXT, "format": TEXT},
    "number": {
        "minimum": NUMBER, "maximum": NUMBER, "exclusiveMinimum": BOUND, "exclusiveMaximum": BOUND,
        "multipleOf": ("must be a number above 0", lambda value: _number(value) and value > 0),
    },
}  # fmt: skip

CONSTRAINTS: dict[str, Form] = {
    "$ref": TEXT,
    "type": (f"must be one or several of {', '.join(TYPES)}", _types),
    "const": ("", lambda value: True),
    "enum": ("must be a list of values", lambda value: isinstance(value, list) and bool(value)),
    "anyOf": SCHEMAS,
    "oneOf": SCHEMAS,
    "allOf": ("must be a list of schemas", _maybe_schemas),
    "not": SCHEMA,
    "if": SCHEMA,
    "then": SCHEMA,
    "else": SCHEMA,
} | {word: form for words in OF_TYPE.values() for word, form in words.items()}

# These describe and do not constrain (draft 2020-12, Validation, sections 8 and 9). `$id` and `$schema` only name
# things. `discriminator` is OpenAPI's hint for oneOf, and `nullable` is OpenAPI 3.0's.
ANNOTATIONS = {
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment",
    "$schema", "$id", "id", "$anchor", "$defs", "definitions", "discriminator", "nullable", "contentEncoding",
    "contentMediaType", "contentSchema", "externalDocs", "xml",
}  # fmt: skip

REFUSED = {
    "$dynamicRef": "Use $ref with a JSON pointer such as #/$defs/NAME.",
    "$recursiveRef": "Use $ref with a JSON pointer such as #/$defs/NAME.",
}


def refusal(pointer: str, keyword: str, why: str, remedy: str | None = None) -> SchemaUnsupported:
    """The error for a keyword: its place, the reason and a remedy."""
    place = f"at {pointer}" if pointer else "at the root"
    return SchemaUnsupported(
        f"The schema cannot be enforced: {short_name(keyword)} {place} {why}.",
        pointer=pointer, keyword=keyword[:MAX_NAME], remedy=remedy,
    )  # fmt: skip


def refuse(pointer: str, keyword: str, why: str, remedy: str | None = None) -> NoReturn:
    """Refuse a schema for a keyword.

    Raises:
        SchemaUnsupported: always.
    """
    raise refusal(pointer, keyword, why, remedy) from None


def check_keywords(schema: Mapping[str, Any], pointer: str, *, strict: bool) -> None:
    """Check the names and the forms of the keywords in this one schema object.

    Raises:
        SchemaUnsupported: if a value does not have its keyword's form, if a keyword cannot be supported, or, with
            `strict`, if a keyword is not known.
    """
    for keyword, value in schema.items():
        if keyword in CONSTRAINTS:
            why, has_form = CONSTRAINTS[keyword]
            if not has_form(value) or (_number(value) and not math.isfinite(_double(value))):
                refuse(pointer, keyword, why or "is too large")
        elif keyword in REFUSED:
            refuse(pointer, keyword, "is not supported", REFUSED[keyword])
        elif keyword in ANNOTATIONS:
            if keyword in ("$id", "$schema", "$anchor") and not isinstance(value, str):
                refuse(pointer, keyword, "must be a text")
        elif strict and not keyword.startswith("x-"):
            remedy = did_you_mean(keyword, sorted({*CONSTRAINTS, *ANNOTATIONS}), "Remove it.")
            refuse(pointer, keyword, "is not known", remedy)


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
