"""Which JSON Schema keywords there are for us: enforced, checked after, without effect on validity, or refused.

Everything that is in none of these tables is refused too: an unknown keyword may be a misspelt one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.errors import MAX_NAME, SchemaUnsupported, did_you_mean, short_name

OF_TYPE: dict[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
CONSTRAINTS = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}.union(*OF_TYPE.values())

# These describe and do not constrain (draft 2020-12, Validation section 9; $id and $schema only name things;
# discriminator is OpenAPI's hint for oneOf, which we prove disjoint ourselves).
ANNOTATIONS = {
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment",
    "$schema", "$id", "$defs", "definitions", "discriminator",
}  # fmt: skip

REFUSED = {
    "not": "Describe what is allowed instead, with enum, pattern or anyOf.",
    "if": "Use anyOf with one schema per case.",
    "then": "Use anyOf with one schema per case.",
    "else": "Use anyOf with one schema per case.",
    "dependentRequired": "Use anyOf with one object schema per case.",
    "dependentSchemas": "Use anyOf with one object schema per case.",
    "dependencies": "Use anyOf with one object schema per case.",
    "patternProperties": "Use properties, or additionalProperties with a schema.",
    "propertyNames": "Use properties with the names that you expect.",
    "unevaluatedProperties": "Use additionalProperties: false.",
    "unevaluatedItems": "Use items: false with prefixItems, or maxItems.",
    "additionalItems": "Use prefixItems with items (draft 2020-12).",
    "contains": "Use items, or prefixItems for the item that must be there.",
    "minContains": "Use items and minItems.",
    "maxContains": "Use items and maxItems.",
    "nullable": 'Use "type": [..., "null"].',
    "contentEncoding": "Remove it, or use a pattern.",
    "contentMediaType": "Remove it, or use a pattern.",
    "contentSchema": "Remove it.",
    "$anchor": "Use $ref with a JSON pointer such as #/$defs/NAME.",
    "$dynamicRef": "Use $ref with a JSON pointer such as #/$defs/NAME.",
    "$dynamicAnchor": "Use $ref with a JSON pointer such as #/$defs/NAME.",
    "$recursiveRef": "Use $ref with a JSON pointer such as #/$defs/NAME.",
    "$vocabulary": "Remove it.",
}


def refuse(pointer: str, keyword: str, why: str, remedy: str | None = None) -> SchemaUnsupported:
    """The error that says which keyword, where, why, and what to do instead."""
    place = f"at {pointer}" if pointer else "at the root"
    return SchemaUnsupported(
        f"The schema cannot be enforced: {short_name(keyword)} {place} {why}.",
        pointer=pointer, keyword=keyword[:MAX_NAME], remedy=remedy,
    )  # fmt: skip


def check_keywords(schema: Mapping[str, Any], pointer: str) -> None:
    """Every keyword of this one schema object is known; raises SchemaUnsupported for the first that is not."""
    for keyword, value in schema.items():
        if keyword in ("$id", "$schema") and not isinstance(value, str):
            raise refuse(pointer, keyword, "must be a text")
        if keyword in CONSTRAINTS or keyword in ANNOTATIONS:
            continue
        if keyword in REFUSED:
            raise refuse(pointer, keyword, "is not supported", REFUSED[keyword])
        remedy = did_you_mean(keyword, sorted(CONSTRAINTS | ANNOTATIONS), "Remove it.")
        raise refuse(pointer, str(keyword), "is not known", remedy)
