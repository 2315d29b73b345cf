"""The check of a finished value against its schema, at a bounded cost.

In: a schema of any draft, a value. Out: jsonschema's errors. Patterns are matched in linear time, as the grammar reads
them. Numbers are compared as decimals. References are followed inside the document, and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import create

from service.engine.schema import matching, patterns
from service.engine.schema.formats import CHECKERS
from service.engine.schema.legacy import has_old_references
from service.engine.schema.references import References
from service.errors import SchemaUnsupported

Errors = Iterator[ValidationError]


class _Shared(FormatChecker):
    """Shared by every nested validator of one schema: its formats, and the references of its root."""

    def __init__(self, schema: Any, formats: Mapping[str, Any]) -> None:
        self.checkers = dict(formats)  # the formats of this one, and not those of the class
        self.references = References(schema)


def validator_for(schema: Any, *, formats: bool = True) -> Draft202012Validator:
    """A validator of this schema. `formats` False leaves formats unchecked."""
    kind = _OLD if has_old_references(schema) else _NEW
    validator: Draft202012Validator = kind(schema, format_checker=_Shared(schema, CHECKERS if formats else {}))
    return validator


def has_pattern(text: str, pattern: str) -> bool:
    """Whether the text has the pattern. A text that would take too long to compare has it not."""
    try:
        matcher = _matcher(pattern)
        matcher.steps = 0
        return matcher.matches(text)
    except (matching.TooCostly, RecursionError, SchemaUnsupported):
        return False


@lru_cache(maxsize=64)
def _matcher(pattern: str) -> matching.Matcher:
    return matching.Matcher(patterns.parse(pattern))


def _reference(validator: Any, reference: str, instance: Any, _: Any) -> Errors:
    target = validator.format_checker.references.resolve(reference)
    if target is None:
        yield ValidationError("the reference leads nowhere")
    else:
        yield from validator.descend(instance, target[0])


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Errors:
    if validator.is_type(instance, "string") and not has_pattern(instance, pattern):
        yield ValidationError("does not match the pattern")


def _pattern_properties(validator: Any, patterns_: Mapping[str, Any], instance: Any, _: Any) -> Errors:
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in patterns_.items():
        for name, value in instance.items():
            if has_pattern(name, pattern):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, instance: Any, schema: Mapping[str, Any]) -> Errors:
    if not validator.is_type(instance, "object"):
        return
    named, forms = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name not in named and not any(has_pattern(name, pattern) for pattern in forms):
            if rule is False:
                yield ValidationError("has an additional property")
                return
            yield from validator.descend(value, rule, path=name)


def _multiple_of(validator: Any, factor: float, instance: Any, _: Any) -> Errors:
    if validator.is_type(instance, "number") and _exact(instance) % _exact(factor):
        yield ValidationError("is not a multiple")


def _exact(number: float) -> Decimal:
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))


def _items(validator: Any, items: Any, instance: Any, schema: Mapping[str, Any]) -> Errors:
    """Also the list of older drafts, with `additionalItems`."""
    if not validator.is_type(instance, "array"):
        return
    if isinstance(items, list):
        for at, (item, rule) in enumerate(zip(instance, items, strict=False)):
            yield from validator.descend(item, rule, path=at, schema_path=at)
        rest, start = schema.get("additionalItems", True), len(items)
    else:
        rest, start = items, len(schema.get("prefixItems", []))
    for at, item in enumerate(instance[start:], start):
        yield from validator.descend(item, rest, path=at)


def _dependencies(validator: Any, rules: Mapping[str, Any], instance: Any, _: Any) -> Errors:
    if not validator.is_type(instance, "object"):
        return
    for name, rule in rules.items():
        if name in instance:
            if isinstance(rule, list):
                if any(other not in instance for other in rule):
                    yield ValidationError("lacks a property that another one needs")
            else:
                yield from validator.descend(instance, rule, schema_path=name)


def _above(validator: Any, limit: Any, instance: Any, schema: Mapping[str, Any]) -> Errors:
    bound = schema.get("minimum") if limit is True else limit
    if validator.is_type(instance, "number") and bound is not None and bound is not False and instance <= bound:
        yield ValidationError("is too small")


def _below(validator: Any, limit: Any, instance: Any, schema: Mapping[str, Any]) -> Errors:
    bound = schema.get("maximum") if limit is True else limit
    if validator.is_type(instance, "number") and bound is not None and bound is not False and instance >= bound:
        yield ValidationError("is too large")


_KEYWORDS: dict[str, Any] = {
    "$ref": _reference,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "items": _items,
    "dependencies": _dependencies,
    "exclusiveMinimum": _above,
    "exclusiveMaximum": _below,
}


def _kind(applicable: Any) -> Any:
    return create(
        Draft202012Validator.META_SCHEMA,
        {**Draft202012Validator.VALIDATORS, **_KEYWORDS},
        type_checker=Draft202012Validator.TYPE_CHECKER,
        id_of=lambda _: "",
        applicable_validators=applicable,
    )


_NEW = _kind(lambda words: words.items())
_OLD = _kind(lambda words: [("$ref", words["$ref"])] if "$ref" in words else words.items())
