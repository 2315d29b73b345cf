"""JSON Schema to a grammar, fail closed: a keyword is enforced, or checked afterwards, or refused. Never dropped.

In: a schema of the draft 2020-12 subset in `keywords.py`. Out: a `Grammar`. It knows no model, no tokenizer and no
engine, and imports none.

The text of an answer is exactly what `json.dumps(value, ensure_ascii=False)` writes: one line, `", "` and `": "`
between things, keys in the order of `properties`. One form only, so that whatever has no alternative is forced and need
not be decoded; this one, because it is what Python writes into few-shot examples and what models write on one line.

Three narrowings, each valid under the schema: an object without `additionalProperties` gets only the properties it
names; integers have at most 19 digits where no bound asks for more; a number with bounds has no exponent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from math import ceil, floor
from typing import Any

from jsonschema import Draft202012Validator

from service import json_pointer
from service.engine.schema import numbers, patterns, strings
from service.engine.schema.disjoint import overlap
from service.engine.schema.formats import CHECKS, SHAPES
from service.engine.schema.grammar import Grammar, validator_for
from service.engine.schema.keywords import ANNOTATIONS, OF_TYPE, TYPES, check_keywords, refuse
from service.engine.schema.lark import Book, Name, Node, Repeat, Sequence, Text, either, sequence
from service.engine.schema.limits import Work
from service.engine.schema.matching import Matcher, TooCostly
from service.engine.schema.members import MAX_NESTED, MAX_OPTIONAL, in_order
from service.engine.schema.values import any_object, array_of, canonical, constant, listed, scalars
from service.json_pointer import pointer as pointer_of

MAX_DEPTH = 48  # of the schema itself, references not counted
MAX_REPEAT = 4096  # of items or characters; a larger limit is checked afterwards, the token limit comes first
ANY: Mapping[str, Any] = {}
META = Draft202012Validator(Draft202012Validator.META_SCHEMA)
SUBSCHEMAS = {"properties", "additionalProperties", "items", "prefixItems"}
SPEAK = {**OF_TYPE, "integer": OF_TYPE["number"]}


def compile_schema(schema: Mapping[str, Any] | bool, work: Work | None = None) -> Grammar:
    """The grammar of a JSON Schema; with `work`, what it costs counts together with what was done before.

    Raises SchemaUnsupported with the JSON pointer, the keyword and a remedy.
    """
    work = work or Work()
    work.admit(schema)
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise refuse("", "schema", "is not plain JSON (text, finite numbers, lists, mappings)") from None
    try:
        return _Compiler(schema, work).grammar()
    except RecursionError:
        raise refuse("", "schema", "leads from reference to reference too often", "Write them in place.") from None


class _Compiler:
    """One walk over one schema; `value` turns a subschema into a node."""

    def __init__(self, root: Mapping[str, Any] | bool, work: Work) -> None:
        self.root = root
        self.book = Book()
        self.work = work
        self.enforced: set[str] = set()
        self.after: list[str] = []
        self.referenced: dict[str, Name] = {}

    def grammar(self) -> Grammar:
        lark = self.work.whole(self.book.text(self.value(self.root, (), 0)))
        if endless := self.book.endless():
            at = next((ref for ref, name in self.referenced.items() if name.name == endless), "#")
            raise refuse(at.removeprefix("#"), "$ref", "needs itself again without end", "Make one property optional.")
        return Grammar(lark, tuple(sorted(self.enforced)), tuple(sorted(set(self.after))), self.root)

    # One subschema

    def value(self, schema: Any, path: tuple[str | int, ...], depth: int) -> Node:
        """The node for every value of this schema; `path` is where it stands in the root."""
        pointer = pointer_of(path)
        self.work.subschema(pointer)
        if depth > MAX_DEPTH:
            raise refuse(
                pointer, "schema", f"is nested deeper than {MAX_DEPTH} levels", "Use $ref, or make it flatter."
            )
        if schema is True:
            schema = ANY
        if schema is False:
            raise refuse(pointer, "false", "allows no value at all", "Remove it.")
        if not isinstance(schema, Mapping):
            raise refuse(pointer, str(path[-1]) if path else "schema", "is not a schema (an object, true or false)")
        check_keywords(schema, pointer)
        constraints = [keyword for keyword in schema if keyword not in ANNOTATIONS]
        if not constraints:
            return self.anything()
        for keyword in ("$ref", "anyOf", "oneOf", "allOf"):
            if keyword in schema:
                if len(constraints) > 1:
                    other = next(name for name in constraints if name != keyword)
                    raise refuse(pointer, other, f"beside {keyword} is not supported", f"Move it into the {keyword}.")
                self.enforced.add(keyword)
                return self.reference(schema, path) if keyword == "$ref" else self.any_of(schema, keyword, path, depth)
        if "const" in schema or "enum" in schema:
            return self.literals(schema, pointer)
        kinds = self.types(schema, pointer)
        self.formed(schema, set(constraints).difference({"type"}, *(SPEAK.get(kind, ()) for kind in kinds)), pointer)
        return either([self.of_type(kind, schema, path, depth) for kind in kinds])

    def formed(self, schema: Mapping[str, Any], words: set[str], pointer: str) -> None:
        """What stands in a schema and is not compiled must at least have the form that a validator can read."""
        for word in sorted(words):
            if word in SUBSCHEMAS and not isinstance(schema[word], bool):
                raise refuse(pointer, word, "says nothing beside the type or the values that are there", "Remove it.")
            if word == "pattern":
                patterns.parse(schema[word], pointer)
            elif not META.is_valid({word: schema[word]}):
                raise refuse(pointer, word, "does not have the form that it must have")

    def types(self, schema: Mapping[str, Any], pointer: str) -> tuple[str, ...]:
        """The types that it names; without `type`, the one that its keywords speak of."""
        if "type" not in schema:
            spoken = [kind for kind, words in OF_TYPE.items() if any(word in schema for word in words)]
            if len(spoken) != 1:
                raise refuse(pointer, "type", "is missing, and the keywords speak of several types", "Add type.")
            return (spoken[0],)
        named = schema["type"]
        listed = (named,) if isinstance(named, str) else named
        if not isinstance(listed, (list, tuple)) or not listed or any(kind not in TYPES for kind in listed):
            raise refuse(pointer, "type", f"must be one or several of {', '.join(TYPES)}")
        self.enforced.add("type")
        return tuple(dict.fromkeys(listed))

    def of_type(self, kind: str, schema: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> Node:
        match kind:
            case "object":
                return self.object(schema, path, depth)
            case "array":
                return self.array(schema, path, depth)
            case "string":
                return self.string(schema, pointer_of(path))
            case "integer":
                return self.integer(schema, pointer_of(path))
            case "number":
                return self.number(schema, pointer_of(path))
            case "boolean":
                return either(sequence(text) for text in ("true", "false"))
            case _:
                return sequence("null")

    def reference(self, schema: Mapping[str, Any], path: tuple[str | int, ...]) -> Node:
        """A rule per target, so that references may be recursive."""
        reference, pointer = schema["$ref"], pointer_of(path)
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise refuse(pointer, "$ref", "must point into this schema", "Use #/$defs/NAME.")
        if reference in self.referenced:
            return self.referenced[reference]
        try:
            target, steps = json_pointer.follow_reference(self.root, reference)
        except LookupError:
            raise refuse(pointer, "$ref", f"points to {reference}, which is not there") from None
        name = self.book.reserve("ref")
        self.referenced[reference] = name
        return self.book.define(name, self.value(target, steps, 0))

    def any_of(self, schema: Mapping[str, Any], keyword: str, path: tuple[str | int, ...], depth: int) -> Node:
        options, pointer = schema[keyword], pointer_of(path)
        if not isinstance(options, list) or not options:
            raise refuse(pointer, keyword, "must be a list of schemas")
        if keyword == "allOf" and len(options) > 1:
            raise refuse(pointer, keyword, "with several schemas is not supported", "Write them as one schema.")
        values = [self.value(option, (*path, keyword, at), depth + 1) for at, option in enumerate(options)]
        if keyword == "oneOf" and (why := overlap(options, self.root)):  # of options that can be read
            raise refuse(pointer, keyword, why, "Use anyOf, or give each a required property with a const of its own.")
        return either(values)

    def literals(self, schema: Mapping[str, Any], pointer: str) -> Node:
        """The values of `const` or `enum` that the keywords beside it allow."""
        keyword = "const" if "const" in schema else "enum"
        values = [schema["const"]] if keyword == "const" else schema["enum"]
        if not isinstance(values, list) or not values:
            raise refuse(pointer, keyword, "must be a list of values")
        beside = {word: schema[word] for word in schema if word not in ANNOTATIONS and word != keyword}
        self.formed(beside, set(beside), pointer)
        pattern = beside.pop("pattern", None)
        validator = validator_for(beside)
        allowed = [value for value in values if validator.is_valid(value)]
        if pattern is not None:
            allowed = self.matching(pattern, allowed, pointer)
        if not allowed:
            raise refuse(pointer, keyword, "allows no value together with the keywords beside it")
        self.enforced.update(set(schema) - ANNOTATIONS)
        return either(constant(value) for value in allowed)

    def matching(self, pattern: Any, values: list[Any], pointer: str) -> list[Any]:
        """The values that are no texts, or have the pattern."""
        matcher = Matcher(patterns.parse(pattern, pointer))
        try:
            return [value for value in values if not isinstance(value, str) or matcher.matches(value)]
        except TooCostly:
            why = "takes too long to compare with the values beside it"
            raise refuse(pointer, "pattern", why, "List only values that match, and leave it out.") from None

    # Objects

    def object(self, schema: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> Node:
        """Named properties in their order, optional ones left out or not, then additional ones where allowed."""
        pointer = pointer_of(path)
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, Mapping):
            raise refuse(pointer, "properties", "must be an object")
        if not isinstance(required, list) or any(not isinstance(name, str) for name in required):
            raise refuse(pointer, "required", "must be a list of names")
        bare = "properties" not in schema and "required" not in schema
        more = schema.get("additionalProperties", bare)
        missing = [name for name in required if name not in properties]
        if missing:
            raise refuse(
                pointer, "required", f"names {missing[0]!r}, which properties does not", "Add it to properties."
            )
        low, high = self.count(schema, "minProperties", pointer), self.count(schema, "maxProperties", pointer)
        if properties or more is not False:
            self.enforced.update(key for key in ("properties", "required", "additionalProperties") if key in schema)
        if more is False and (low is not None or high is not None):
            self.after += [
                f"{word} at {pointer or '/'}" for word in ("minProperties", "maxProperties") if word in schema
            ]
        if high is not None and (low or 0) > high:
            raise refuse(pointer, "maxProperties", "is smaller than minProperties")
        pairs = []
        for name, inner in properties.items():
            pair = sequence(canonical(name), ": ", self.value(inner, (*path, "properties", name), depth + 1))
            if name not in required:  # it stands in two places below: a rule of its own keeps the text linear
                pair = self.book.define(self.book.reserve("member"), pair)
            pairs.append((pair, name in required))
        extra = None if more is False else self.additional(more, properties, path, depth)
        return sequence("{", self.members(pairs, extra, low, high, schema, pointer), "}")

    def additional(self, more: Any, properties: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> Node:
        """One additional property: any key but the named ones."""
        body = f"/{strings.KEY}/"
        if properties:
            named = "|".join(patterns.literal(name) for name in properties)
            body += f' & ~/"(?:{named})"/'
        key = self.book.terminal("KEY", self.work.text(body, pointer_of(path), "properties"))
        return sequence(key, ": ", self.value(more, (*path, "additionalProperties"), depth + 1))

    def members(
        self,
        pairs: list[tuple[Node, bool]],
        extra: Node | None,
        low: int | None,
        high: int | None,
        schema: Mapping[str, Any],
        pointer: str,
    ) -> Node:
        """What stands between the braces. Optional pairs share the rule of what may follow them."""
        if not pairs:
            if extra is None:
                return Sequence(())
            self.enforced.update({"maxProperties"} & set(schema))
            if low:  # counted here too, but a key may be written twice
                self.after.append(f"minProperties at {pointer or '/'}")
            extra = self.book.define(self.book.reserve("member"), extra)
            return listed(extra, low or 0, high)
        if extra is not None:
            counted = [word for word in ("minProperties", "maxProperties") if word in schema]
            self.after += [f"{word} at {pointer or '/'}" for word in counted]
        if extra is not None:
            extra = self.book.define(self.book.reserve("member"), extra)
        optional = sum(not needed for _, needed in pairs)
        if optional > (most := MAX_OPTIONAL[extra is None]):
            raise refuse(pointer, "properties", f"has more than {most} optional ones", "Make some of them required.")
        return in_order(self.book, pairs, extra)

    def count(self, schema: Mapping[str, Any], keyword: str, pointer: str) -> int | None:
        """A count keyword's value, or None without it."""
        if keyword not in schema:
            return None
        value = schema[keyword]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != int(value):
            raise refuse(pointer, keyword, "must be a whole number of 0 or more")
        return int(value)

    # Arrays

    def array(self, schema: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> Node:
        """`prefixItems` in their places, then `items`, as many as the counts allow."""
        pointer = pointer_of(path)
        low, high = self.count(schema, "minItems", pointer) or 0, self.count(schema, "maxItems", pointer)
        if high is not None and high < low:
            raise refuse(pointer, "maxItems", "is smaller than minItems")
        prefix = schema.get("prefixItems", [])
        if not isinstance(prefix, list):
            raise refuse(pointer, "prefixItems", "must be a list of schemas")
        if schema.get("uniqueItems"):
            self.after.append(f"uniqueItems at {pointer or '/'}")
        for keyword, value in (("minItems", low), ("maxItems", high)):
            if keyword in schema:
                if (value or 0) > MAX_REPEAT:
                    self.after.append(f"{keyword} at {pointer or '/'}")
                else:
                    self.enforced.add(keyword)
        self.enforced.update(word for word in ("items", "prefixItems") if word in schema)
        places = [self.value(item, (*path, "prefixItems", at), depth + 1) for at, item in enumerate(prefix)]
        if high is not None:
            places = places[:high]
        rest = schema.get("items", True)
        least, most = max(0, low - len(places)), None if high is None else high - len(places)
        if rest is False and least:
            raise refuse(pointer, "items", "is false, and minItems asks for more than prefixItems has")
        tail: Node = Sequence(())
        if rest is not False and most != 0:
            item = self.book.define(self.book.reserve("item"), self.value(rest, (*path, "items"), depth + 1))
            least, most = min(least, MAX_REPEAT), None if most is None or most > MAX_REPEAT else most
            tail = Repeat(sequence(", ", item), least, most) if places else listed(item, least, most)
        for at in range(len(places) - 1, -1, -1):
            tail = sequence(Text(", " if at else ""), places[at], tail)
            if at >= low:
                tail = Repeat(tail, 0, 1)
                if (len(places) - at) % MAX_NESTED == 0:
                    tail = self.book.define(self.book.reserve("tail"), tail)
        return sequence("[", tail, "]")

    # Scalars

    def string(self, schema: Mapping[str, Any], pointer: str) -> Node:
        """Lengths, a pattern and a format's shape hold at the same time: terminals are intersected."""
        low, high = self.count(schema, "minLength", pointer) or 0, self.count(schema, "maxLength", pointer)
        if high is not None and high < low:
            raise refuse(pointer, "maxLength", "is smaller than minLength")
        for keyword, value in (("minLength", low), ("maxLength", high)):
            if keyword in schema:
                if (value or 0) > MAX_REPEAT:
                    self.after.append(f"{keyword} at {pointer or '/'}")
                else:
                    self.enforced.add(keyword)
        bodies = []
        shape = schema.get("format")
        if shape is not None:
            if not isinstance(shape, str) or shape not in CHECKS:
                raise refuse(pointer, "format", f"is {shape!r}, which is not checked", f"Known: {', '.join(CHECKS)}.")
            if shape in SHAPES:
                bodies.append(patterns.translate(SHAPES[shape], pointer))
            self.after.append(f"format at {pointer or '/'}")
        if "pattern" in schema:
            bodies.append(patterns.translate(schema["pattern"], pointer))
            self.enforced.add("pattern")
        least, most = min(low, MAX_REPEAT), None if high is None or high > MAX_REPEAT else high
        if not bodies or (least, most) != (0, None):
            bodies.append(strings.free(least, most))
        body = self.work.text(" & ".join(f"/{body}/" for body in bodies), pointer, "pattern")
        return self.book.terminal("STRING", body)

    def bounds(self, schema: Mapping[str, Any], pointer: str) -> dict[str, Decimal]:
        """The number keywords' values."""
        found = {}
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
            if keyword not in schema:
                continue
            value = schema[keyword]
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise refuse(pointer, keyword, "must be a number")
            exact = Decimal(str(value))
            if keyword != "multipleOf" and (
                abs(exact) > numbers.LARGEST or len(f"{exact:f}".partition(".")[2]) > numbers.FRACTION_DIGITS
            ):
                raise refuse(
                    pointer, keyword,
                    f"has more than {numbers.INTEGER_DIGITS} digits, or {numbers.FRACTION_DIGITS} behind the point",
                )  # fmt: skip
            found[keyword] = exact
        if "multipleOf" in found:
            if found["multipleOf"] <= 0:
                raise refuse(pointer, "multipleOf", "must be greater than 0")
            self.after.append(f"multipleOf at {pointer or '/'}")
        self.enforced.update(set(found) - {"multipleOf"})
        return found

    def integer(self, schema: Mapping[str, Any], pointer: str) -> Node:
        """Exactly the integers within the bounds."""
        found = self.bounds(schema, pointer)
        lows = [ceil(found["minimum"])] if "minimum" in found else []
        lows += [floor(found["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in found else []
        highs = [floor(found["maximum"])] if "maximum" in found else []
        highs += [ceil(found["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in found else []
        low, high = max(lows, default=None), min(highs, default=None)
        if low is not None and high is not None and low > high:
            raise refuse(pointer, "maximum", "leaves no integer")
        body = self.work.text(f"/{numbers.integers(low, high)}/", pointer, "minimum")
        return self.book.terminal("INTEGER", body)

    def number(self, schema: Mapping[str, Any], pointer: str) -> Node:
        """Exactly the numbers within the bounds."""
        found = self.bounds(schema, pointer)
        bodies = []
        lows = [(found[word], word != "minimum") for word in ("minimum", "exclusiveMinimum") if word in found]
        highs = [(found[word], word != "maximum") for word in ("maximum", "exclusiveMaximum") if word in found]
        for bound, strict in lows:
            if any(bound > top or (bound == top and (strict or open_)) for top, open_ in highs):
                raise refuse(pointer, "maximum", "leaves no number")
            bodies.append(numbers.at_least(bound, strict=strict))
        bodies += [numbers.at_most(bound, strict=strict) for bound, strict in highs]
        for word in ("exclusiveMinimum", "exclusiveMaximum"):
            if word in found:  # a decimal close to the bound can round to it when it becomes a double
                self.after.append(f"{word} at {pointer or '/'}")
        body = self.work.text(" & ".join(f"/{body}/" for body in bodies or [numbers.NUMBER]), pointer, "minimum")
        return self.book.terminal("NUMBER", body)

    def anything(self) -> Node:
        """Any JSON value."""
        if "any" not in self.referenced:
            name = self.book.reserve("any")
            self.referenced["any"] = name
            self.book.define(name, either([any_object(self.book, name), array_of(name), *scalars(self.book)]))
        return self.referenced["any"]


def any_json() -> Grammar:
    """The grammar of any JSON object: OpenAI's `response_format: {"type": "json_object"}`."""
    return compile_schema({"type": "object"})


@lru_cache(maxsize=256)
def compiled(schema: str | None) -> Grammar:
    """The grammar of a schema's text, or of any JSON object; the same text is compiled once."""
    return any_json() if schema is None else compile_schema(json.loads(schema))
