"""The gate in front of llguidance's JSON Schema compiler: bounds, references, and the keywords that are only checked.

In: a JSON Schema. Out: a `Grammar` with one `%json` of a plainer schema. That schema has no keyword that
llguidance refuses or reads differently. Where it accepts more than the original, the original's keyword is listed in
`checked_after`, and `Grammar.check` decides. Nothing is dropped.
Not here: regular expressions (`patterns.py`), the rewriting of `not` (`negation.py`), llguidance itself.

The text of an answer is exactly as `json.dumps(value, ensure_ascii=False)` writes it: one line, `", "` and `": "`
between things. Keys have the order of `properties`, and further keys follow. Integers without a bound have 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from service.engine.schema import names, patterns
from service.engine.schema.disjoint import disjoint
from service.engine.schema.finite import is_finite
from service.engine.schema.grammar import Grammar
from service.engine.schema.keywords import (
    CONSTRAINTS,
    OF_TYPE,
    TYPES,
    check_keywords,
    is_scalar_of,
    is_schema,
    refuse,
)
from service.engine.schema.legacy import has_old_references, modern
from service.engine.schema.limits import Work
from service.engine.schema.matching import Matcher, TooCostly
from service.engine.schema.merging import Merges, cost
from service.engine.schema.negation import Inexact, conditional, exactly_one, negated
from service.engine.schema.of_types import Impossible, Schema, TypeKeywords, impossible, refuse_impossible
from service.engine.schema.references import Path, References
from service.engine.schema.validator import validator_for
from service.errors import SchemaUnsupported
from service.json_pointer import pointer as pointer_of

MAX_DEPTH = 48  # of the schema itself, references not counted
MAX_EXACT_OPTIONS, MAX_EXACT_TEXT = 6, 1200  # options and characters of a oneOf that is rewritten exactly
MAX_EXACT_COST, MAX_COST = 20_000, 100_000  # of merging. 100,000 take about a tenth of a second
OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allow_general_unicode_escapes": True,
}
NESTED = {
    "properties", "patternProperties", "additionalProperties", "propertyNames", "dependentSchemas", "items",
    "prefixItems", "contains", "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
OF_ANY_TYPE = {word for words in OF_TYPE.values() for word in words}


def compile_schema(schema: Mapping[str, Any] | bool, work: Work | None = None, *, strict: bool = False) -> Grammar:
    """The grammar of a JSON Schema.

    `work` adds its cost to that of other schemas. With `strict`, as in a prompt file, an unknown keyword is an error.

    Raises:
        SchemaUnsupported: if the schema cannot be enforced or checked, with the JSON pointer and the keyword.
    """
    work = work or Work()
    work.admit(schema)
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        refuse("", "schema", "is not plain JSON (text, finite numbers, lists, mappings)")
    try:
        grammar, price = _Gate(schema, work, strict=strict).grammar()
        if price > MAX_EXACT_COST:
            grammar, price = _Gate(schema, work, strict=strict, exact=False).grammar()
    except RecursionError:
        refuse("", "schema", "leads from reference to reference too often", "Write them in place.")
    if price > MAX_COST:
        refuse("", "schema", "combines too many alternatives", "Use fewer anyOf inside allOf.")
    work.whole(grammar.lark)
    return grammar


class _Gate(TypeKeywords):
    """One walk over one schema. `value` returns the plainer form of a subschema."""

    def __init__(self, root: Mapping[str, Any] | bool, work: Work, *, strict: bool, exact: bool = True) -> None:
        super().__init__(strict=strict)
        self.root = root
        self.work = work
        self.exact = exact  # whether `not`, `if` and the like are rewritten, or only checked afterwards
        self.references = References(root)
        self.old_references = has_old_references(root)
        self.enforced: set[str] = set()
        self.impossible: list[SchemaUnsupported] = []  # places that no value can have
        self.rules: dict[Path, tuple[str, Schema | None]] = {}  # a rule that is being written has no schema yet
        self.here: str | None = None  # the rule that constrains the same value as this place
        self.leads: dict[str, set[str]] = {}  # from a rule to rules for the same value
        self.places: dict[int, Path] = {}  # of the plain schemas, by identity

    def grammar(self) -> tuple[Grammar, int]:
        """The grammar, and the cost of merging its alternatives."""
        start = self.value(self.root, (), 0)
        self.no_circle()
        rules = {name: rule for name, rule in self.rules.values() if rule is not None} | self.own
        if not is_finite(start, rules):
            if self.impossible:
                raise self.impossible[0]
            endless = next((path for path, (name, _) in self.rules.items() if not is_finite(rules[name], rules)), None)
            if endless is None:
                refuse("", "schema", "allows no value at all")
            why = "needs itself again without end"
            refuse(pointer_of(endless), "$ref", why, "Make one property optional.")
        merges = Merges(rules, self.dropped, self.share_names, self.matches_name)
        merges.mend(start, None)
        for name, rule in rules.items():
            merges.mend(rule, name)
        plain: dict[str, Any] = {"x-guidance": OPTIONS, **(start if isinstance(start, dict) else {"allOf": [start]})}
        if rules:
            plain["$defs"] = rules
        text = f"start: %json {json.dumps(plain, ensure_ascii=False)}\n"
        grammar = Grammar(text, tuple(sorted(self.enforced)), tuple(sorted(self.after)), self.root)
        return grammar, cost(start, rules)

    def no_circle(self) -> None:
        """Refuse references that lead back to the same value: no check of an answer would end."""
        for path, (name, _) in self.rules.items():
            reached: set[str] = set()
            pending = [name]
            while pending:
                following = self.leads.get(pending.pop(), set()) - reached
                reached |= following
                pending += following
            if name in reached:
                refuse(pointer_of(path), "$ref", "needs itself again without end", "Make one property optional.")

    def dropped(self, plain: Any) -> None:
        """A schema lost one of the parts that hold at the same time."""
        self.later("allOf", self.places.get(id(plain), ()))

    def matches_name(self, written: str, name: str) -> bool:
        """Whether a name matches this expression. It is yes, too, where telling takes too long."""
        try:
            return written not in self.trees or Matcher(self.trees[written]).matches(name)
        except TooCostly:
            return True

    def share_names(self, written: set[str]) -> bool:
        """Whether some name may match two of these expressions."""
        return any(text not in self.trees for text in written) or names.shared([self.trees[text] for text in written])

    # One subschema

    def value(self, schema: Any, path: Path, depth: int) -> Schema:
        """A plainer schema that accepts every value of this one. `path` is its place in the root."""
        outer = self.here
        if depth and not NESTED.isdisjoint(path[-2:]):
            self.here = None  # another value
        plain = self.plain(schema, path, depth)
        self.here = outer
        return plain

    def plain(self, schema: Any, path: Path, depth: int) -> Schema:
        """`value`, for the value of `here`."""
        pointer = pointer_of(path)
        self.work.subschema(pointer)
        if depth > MAX_DEPTH:
            refuse(pointer, "schema", f"is nested deeper than {MAX_DEPTH} levels", "Use $ref, or make it flatter.")
        if isinstance(schema, bool):
            if not schema and not path:
                refuse(pointer, "false", "allows no value at all", "Remove it.")
            return schema
        if not isinstance(schema, Mapping):
            refuse(pointer, str(path[-1]) if path else "schema", "is not a schema (an object, true or false)")
        check_keywords(schema, pointer, strict=self.strict)
        words = {word: schema[word] for word in schema if word in CONSTRAINTS}
        if "$ref" in words and self.old_references:
            words = {"$ref": words["$ref"]}
        words = modern(words)
        plain: dict[str, Any] = {}
        more: list[Schema] = []  # further schemas that hold as well
        kinds = self.kinds(words)
        order = {word: at for at, word in enumerate(words)}
        for word in words:
            match word:
                case "$ref":
                    self.reference(words, path, plain, more)
                case "anyOf" | "allOf":
                    plain[word] = [
                        self.value(option, (*path, word, at), depth + 1) for at, option in enumerate(words[word])
                    ]
                case "oneOf":
                    one = self.one_of(words["oneOf"], path, depth)
                    if "anyOf" not in words and isinstance(one, dict) and list(one) == ["anyOf"]:
                        plain["anyOf"], order["anyOf"] = one["anyOf"], order["oneOf"]
                    else:
                        more.append(one)
                case "not":
                    more.append(self.negation(words["not"], path, depth))
                case "if" if "then" in words or "else" in words:
                    more.append(self.rewritten("if", conditional(words), path, depth))
                case "type":
                    plain["type"] = words["type"]
        self.enforced.update(word for word in words if word in schema)
        try:
            if "const" in words or "enum" in words:
                if not NESTED.isdisjoint(words):  # they must be schemas
                    self.aside(lambda into: self.of_types(words, kinds, path, depth, into, []))
                self.literals(words, path, plain)
            else:
                self.of_types(words, kinds, path, depth, plain, more)
        except SchemaUnsupported as error:
            if self.strict or not isinstance(error, Impossible):
                raise
            self.impossible.append(error)
            return False
        plain = dict(sorted(plain.items(), key=lambda item: order.get(item[0], len(order))))
        whole = self.joined(plain, more)
        self.places[id(whole)] = path
        return whole

    @staticmethod
    def joined(plain: dict[str, Any], more: list[Schema]) -> Schema:
        """The schema and everything that holds as well."""
        more = [schema for schema in more if schema is not True]
        if not more:
            return plain
        if not plain and len(more) == 1:
            return more[0]
        return {**plain, "allOf": [*plain.get("allOf", []), *more]}

    def kinds(self, words: Mapping[str, Any]) -> tuple[str, ...]:
        """The types that it may have."""
        named = words.get("type", list(TYPES))
        return (named,) if isinstance(named, str) else tuple(dict.fromkeys(named))

    def rewritten(self, word: str, schema: Any, path: Path, depth: int) -> Schema:
        """The plainer form of a schema that stands for the keyword `word`. Its parts are reported as this keyword."""
        if not self.exact:
            self.later(word, path)
            return True
        outer, self.after = self.after, set()
        try:
            plain = self.value(schema, (*path, word), depth + 1)
        finally:
            inner, self.after = self.after, outer
        if inner:
            self.later(word, path)
        return plain

    def negation(self, schema: Any, path: Path, depth: int) -> Schema:
        inexact = Inexact()
        target, at = schema, (*path, "not")
        if isinstance(target, Mapping):
            check_keywords(target, pointer_of(at), strict=self.strict)
            target = modern(target)
            if set(target) & set(CONSTRAINTS) == {"$ref"}:
                target = self.target(target["$ref"], at)[0]
                return self.rewritten("not", {"not": target}, path, depth)
        if not is_schema(target):
            refuse(pointer_of(path), "not", "is not a schema (an object, true or false)")
        plain = self.rewritten("not", negated(target, inexact), path, depth)
        if plain is False:
            self.impossible.append(impossible(pointer_of(path), "not", "refuses every value"))
        if inexact.noted:
            self.later("not", path)
        return plain

    def one_of(self, options: list[Any], path: Path, depth: int) -> Schema:
        """`oneOf` as anyOf where no value can match two options."""
        plain = [self.value(option, (*path, "oneOf", at), depth + 1) for at, option in enumerate(options)]
        if disjoint(options, self.references):
            return {"anyOf": plain}
        text = json.dumps(options) if self.exact and len(options) <= MAX_EXACT_OPTIONS else ""
        if 0 < len(text) <= MAX_EXACT_TEXT and '"$ref"' not in text:
            return self.rewritten("oneOf", exactly_one(options), path, depth)
        self.later("oneOf", path)
        return {"anyOf": plain}

    def target(self, reference: str, path: Path) -> tuple[Any, Path]:
        """The schema that a reference names, and its path."""
        resolved = self.references.resolve(reference)
        if resolved is None:
            why = "points to nothing in this schema" if reference.startswith("#") else "must point into this schema"
            refuse(pointer_of(path), "$ref", why, "Use #/$defs/NAME.")
        return resolved

    def reference(self, words: Mapping[str, Any], path: Path, plain: dict[str, Any], more: list[Schema]) -> None:
        """A rule for each target, so that references may be recursive."""
        target, place = self.target(words["$ref"], path)
        name, rule = self.rules.get(place, ("", None))
        if self.here is not None:
            self.leads.setdefault(self.here, set()).add(name or f"r{len(self.rules)}")
        if not name:
            name = f"r{len(self.rules)}"
            self.rules[place] = (name, None)
            outer, self.here = self.here, name
            rule = self.value(target, place, 0)
            self.here = outer
            self.rules[place] = (name, rule)
        plain["$ref"] = f"#/$defs/{name}"

    def literals(self, words: Mapping[str, Any], path: Path, plain: dict[str, Any]) -> None:
        """The values of `const` or `enum` that the keywords beside it allow."""
        pointer = pointer_of(path)
        word = "const" if "const" in words else "enum"
        values = [words["const"]] if word == "const" else words["enum"]
        beside = {other: words[other] for other in words if other == "type" or other in OF_ANY_TYPE}
        if word == "const" and "enum" in words:
            beside["enum"] = words["enum"]
        pattern = beside.pop("pattern", None)
        allowed = values
        if beside and not (set(beside) == {"type"} and all(is_scalar_of(value, beside["type"]) for value in values)):
            validator = validator_for(beside)
            allowed = [value for value in values if validator.is_valid(value)]
        if pattern is not None:
            allowed = self.matching(pattern, allowed, pointer)
        if not allowed:
            refuse_impossible(pointer, word, "allows no value together with the keywords beside it")
        plain.pop("type", None)
        plain["enum"] = allowed

    def matching(self, pattern: str, values: list[Any], pointer: str) -> list[Any]:
        """The values that are no texts, or have the pattern."""
        matcher = Matcher(patterns.parse(pattern, pointer))
        try:
            return [value for value in values if not isinstance(value, str) or matcher.matches(value)]
        except TooCostly:
            why = "takes too long to compare with the values beside it"
            refuse(pointer, "pattern", why, "List only values that match, and leave it out.")

    def of_types(
        self, words: Mapping[str, Any], kinds: tuple[str, ...], path: Path, depth: int, plain: dict[str, Any],
        more: list[Schema],
    ) -> None:  # fmt: skip
        writers: dict[str, Callable[[dict[str, Any]], None]] = {
            "string": lambda into: self.string(words, path, into),
            "number": lambda into: self.number(words, kinds, path, into),
            "array": lambda into: self.array(words, path, depth, into),
            "object": lambda into: self.object(words, path, depth, into, more if into is plain else []),
        }
        for kind, write in writers.items():
            if kind in kinds or (kind == "number" and "integer" in kinds):
                write(plain)
            elif not OF_TYPE[kind].keys().isdisjoint(words):  # it constrains nothing here, but a validator reads it
                self.aside(write)

    def aside(self, write: Callable[[dict[str, Any]], None]) -> None:
        """Look at keywords that do not apply here: their forms count, and their constraints do not."""
        after = set(self.after)
        with suppress(Impossible):
            write({})
        self.after = after


def any_json() -> Grammar:
    """The grammar of any JSON object: OpenAI's `response_format: {"type": "json_object"}`."""
    return compile_schema({"type": "object"})


@lru_cache(maxsize=256)
def compiled(schema: str | None) -> Grammar:
    """The grammar of a schema's text, or of any JSON object. The same text is compiled once.

    Raises:
        SchemaUnsupported: as `compile_schema` does.
    """
    return any_json() if schema is None else compile_schema(json.loads(schema))
