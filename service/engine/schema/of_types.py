"""The keywords of single types, in the forms that llguidance takes: texts, numbers, arrays and objects.

In: the constraints of one schema object. Out: the same constraints in a plainer schema, and the keywords that are
checked after decoding. Not here: subschemas and references (`gate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import ceil, floor
from typing import Any, NoReturn

from service.engine.schema import names, patterns
from service.engine.schema.formats import CHECKS, SHAPES
from service.engine.schema.keywords import refusal, refuse
from service.engine.schema.matching import Tree
from service.engine.schema.references import Path
from service.errors import SchemaUnsupported, short_name
from service.json_pointer import pointer as pointer_of

MAX_REPEAT = 4096  # items or characters. A larger limit is checked afterwards, and the token limit comes first
MAX_FACTOR = 1000  # of multipleOf, without its decimal point. A larger factor is checked afterwards
INTEGERS = (-9223372036854774784, 9223372036854775807)  # 64 bits. The lower one is the last that a double holds
INTEGER = {"type": "integer", "minimum": INTEGERS[0], "maximum": INTEGERS[1]}
Schema = dict[str, Any] | bool


def small_factor(factor: float) -> bool:
    """Whether llguidance can count modulo this factor: its automaton has a state for each remainder."""
    _, digits, exponent = Decimal(repr(factor)).normalize().as_tuple()
    return -9 <= int(exponent) <= 3 and int("".join(map(str, digits))) <= MAX_FACTOR


class Impossible(SchemaUnsupported):
    """A schema that no value can have."""


def impossible(pointer: str, keyword: str, why: str) -> Impossible:
    """The error for a place that no value can have."""
    error = refusal(pointer, keyword, why)
    return Impossible(error.message, pointer=pointer, keyword=keyword)


def refuse_impossible(pointer: str, keyword: str, why: str) -> NoReturn:
    """Refuse a place that no value can have.

    Raises:
        Impossible: always.
    """
    raise impossible(pointer, keyword, why)


class TypeKeywords:
    """Writes the keywords of single types. `value` makes subschemas plainer."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.after: set[str] = set()
        self.own: dict[str, Schema] = {}  # rules of our own, by name
        self.trees: dict[str, Tree] = {}  # of the patterns of names, by their written form

    def value(self, schema: Any, path: Path, depth: int) -> Schema:
        """A plainer schema that accepts every value of this one. `path` is its place in the root."""
        raise NotImplementedError

    def rewritten(self, word: str, schema: Any, path: Path, depth: int) -> Schema:
        """The plainer form of a schema that stands for the keyword `word`."""
        raise NotImplementedError

    def later(self, word: str, path: Path) -> None:
        """This keyword is checked after decoding."""
        self.after.add(f"{word} at {pointer_of(path) or '/'}")

    def size(self, words: Mapping[str, Any], word: str, path: Path, plain: dict[str, Any]) -> None:
        """A smallest or largest number of characters or items."""
        if word not in words:
            return
        limit = int(words[word])
        if limit > MAX_REPEAT:
            self.later(word, path)
            if word.startswith("max"):
                return
            limit = MAX_REPEAT
        plain[word] = limit
        opposite = f"min{word[3:]}"
        if word.startswith("max") and opposite in words and words[opposite] > words[word]:
            refuse_impossible(pointer_of(path), word, f"is smaller than {opposite}")

    def string(self, words: Mapping[str, Any], path: Path, plain: dict[str, Any]) -> None:
        """Lengths, a pattern and a format."""
        self.size(words, "minLength", path, plain)
        self.size(words, "maxLength", path, plain)
        pointer = pointer_of(path)
        if "pattern" in words:
            plain["pattern"] = patterns.translate(words["pattern"], pointer)
        if "format" in words:
            self.format(words["format"], path, plain)

    def format(self, name: str, path: Path, plain: dict[str, Any]) -> None:
        """A format with a shape is enforced. A name that nobody checks constrains nothing."""
        if name not in CHECKS:
            if self.strict:
                why = f"knows only {', '.join(sorted(CHECKS))}"
                refuse(pointer_of(path), "format", why, "Remove it, or use a pattern.")
            return
        self.later("format", path)
        if name not in SHAPES:
            plain["format"] = name
        elif "pattern" not in plain:
            plain["pattern"] = patterns.translate(SHAPES[name])

    def number(self, words: Mapping[str, Any], kinds: tuple[str, ...], path: Path, plain: dict[str, Any]) -> None:
        """Bounds and a factor. An integer without a bound has 64 bits."""
        integer = "number" not in kinds
        bounds = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        limits = {word: words[word] for word in bounds if word in words}
        lows = [limits[word] for word in bounds[:2] if word in limits]
        highs = [limits[word] for word in bounds[2:] if word in limits]
        if lows and highs:
            self.some_number(limits, max(lows), min(highs), path, integer=integer)
        for word, limit in limits.items():
            if float(limit) != limit:
                self.later(word, path)  # no double is this number
            if INTEGERS[0] < limit < INTEGERS[1]:
                plain[word] = limit
            elif (limit > 0) == word.lower().endswith("minimum"):
                refuse(pointer_of(path), word, "is beyond the integers of 64 bits")
            elif not integer:
                self.later(word, path)  # llguidance has no larger bound
        if "multipleOf" in words:
            if small_factor(words["multipleOf"]):
                plain["multipleOf"] = words["multipleOf"]
            self.later("multipleOf", path)
        if integer and len(kinds) == 1 and "type" in words and not any(word in plain for word in bounds):
            plain.pop("type", None)
            plain.update(self.shared("integer", INTEGER))

    def shared(self, name: str, schema: Schema) -> dict[str, str]:
        """A reference to a rule of our own, so that it is compiled once."""
        self.own[name] = schema
        return {"$ref": f"#/$defs/{name}"}

    @staticmethod
    def some_number(limits: Mapping[str, Any], low: Any, high: Any, path: Path, *, integer: bool) -> None:
        """Raises SchemaUnsupported if the bounds leave no number."""
        above, below = limits.get("exclusiveMinimum") == low, limits.get("exclusiveMaximum") == high
        if integer:
            low, above = (floor(low) + 1 if above else ceil(low)), False
            high, below = (ceil(high) - 1 if below else floor(high)), False
        if low > high or (low == high and (above or below)):
            refuse_impossible(pointer_of(path), "maximum", "leaves no number")

    def array(self, words: Mapping[str, Any], path: Path, depth: int, plain: dict[str, Any]) -> None:
        """The number of items and their schemas."""
        self.size(words, "minItems", path, plain)
        self.size(words, "maxItems", path, plain)
        if "prefixItems" in words:
            plain["prefixItems"] = [
                self.value(item, (*path, "prefixItems", at), depth + 1) for at, item in enumerate(words["prefixItems"])
            ]
        if "items" in words:
            plain["items"] = self.value(words["items"], (*path, "items"), depth + 1)
        if words.get("uniqueItems") and plain.get("maxItems") not in (0, 1):
            self.later("uniqueItems", path)
            items = plain.get("items")
            if isinstance(items, dict) and "enum" in items and "prefixItems" not in plain:
                plain["maxItems"] = min(plain.get("maxItems", MAX_REPEAT), len(items["enum"]))
        for word in ("contains", "unevaluatedItems"):
            if words.get(word, True) is not True:
                self.value(words[word], (*path, word), depth + 1)
                self.later(word, path)
        if "contains" in words:
            least = int(words.get("minContains", 1))
            plain["minItems"] = max(plain.get("minItems", 0), min(least, MAX_REPEAT))
            self.later("contains", path)
        if plain.get("items") is False and plain.get("minItems", 0) > len(plain.get("prefixItems", [])):
            refuse_impossible(pointer_of(path), "items", "leaves too few items for minItems")

    def object(
        self, words: Mapping[str, Any], path: Path, depth: int, plain: dict[str, Any], more: list[Schema]
    ) -> None:
        """Named properties in their order, then additional ones where they are allowed."""
        for word in words:
            if word in ("properties", "patternProperties", "dependentSchemas"):
                inner = {name: self.value(value, (*path, word, name), depth + 1) for name, value in words[word].items()}
                if word != "dependentSchemas":
                    plain[word] = inner
            elif word in ("additionalProperties", "unevaluatedProperties", "propertyNames"):
                inner_value = self.value(words[word], (*path, word), depth + 1)
                if word == "additionalProperties":
                    plain[word] = inner_value
        if "required" in words:
            missing = [name for name in words["required"] if name not in words.get("properties", {})]
            if self.strict and missing and "properties" in words and "additionalProperties" not in words:
                why = f"names {short_name(missing[0])}, which properties does not"
                refuse(pointer_of(path), "required", why, "Add it to properties.")
            plain["required"] = list(dict.fromkeys(words["required"]))
        later = names.name_patterns(words, plain, self.trees, pointer_of(path))
        later += names.unevaluated(words, plain)
        later += names.count(words, plain)
        for word, cases in names.dependent(words):
            if cases is None:
                later.append(word)
            else:
                more.append(self.rewritten(word, cases, path, depth))
        for word in later:
            self.later(word, path)
