"""The cost of a schema: a small schema with a large grammar is refused with the limit and the place, a large plain one
is accepted, and the work grows linearly with the size of the schema."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

import llguidance
import pytest

from service.engine import toolcalls
from service.engine.schema import compile_schema
from service.engine.schema.matching import Matcher, TooCostly
from service.engine.schema.patterns import parse
from service.errors import SchemaUnsupported

Schema = dict[str, Any]


def optional(count: int, *, more: bool = False) -> Schema:
    properties = {f"p{number}": {"type": "null"} for number in range(count)}
    return {"type": "object", "properties": properties, "additionalProperties": more}


def lines_run(work: Callable[[], object]) -> int:
    """Lines of Python that `work` runs: a measure of work that no other process disturbs."""
    count = 0

    def tracer(frame: Any, event: str, value: Any) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    sys.settrace(tracer)
    try:
        work()
    except SchemaUnsupported:
        pass
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize(
    "schema",
    [
        lambda size: {"oneOf": [{"const": number} for number in range(size)]},
        lambda size: {"oneOf": [{"enum": list(range(size))}, {"enum": list(range(size, 2 * size))}]},
        lambda size: {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": number}}, "required": ["kind"]}
                for number in range(size)
            ]
        },
        optional,
        lambda size: {"type": "array", "prefixItems": [{"type": "null"}] * size, "items": False},
        lambda size: {"type": "array", "prefixItems": [{"type": "integer", "minimum": n} for n in range(size)]},
        lambda size: {"pattern": "^(" + "|".join(f"w{number}" for number in range(size)) + ")$"},
    ],
    ids=["constants", "enums", "tagged", "optional", "places", "terminals", "alternatives"],
)
def test_four_times_as_much_takes_about_four_times_the_work(schema: Callable[[int], Schema]) -> None:
    small, large = (lines_run(lambda size=size: compile_schema(schema(size))) for size in (100, 400))  # type: ignore[misc]
    assert large < 6 * small


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"oneOf": [{"const": number} for number in range(1901)]}, "'oneOf' at the root .* 1900 alternatives"),
        ({"enum": list(range(100_000))}, "'enum' at the root .* 1900 alternatives"),
        (optional(2001), "'properties' at the root .* 2000 properties"),
        ({"items": {"pattern": "a" * 8193}}, "'pattern' at /items .* 8192 characters"),
        ({"properties": {"a": {"pattern": r"\S" * 4000}}}, "400000 bytes"),
        ({"pattern": "(" * 300 + "a" + ")" * 300}, "groups nested deeper than 50"),
        ({"description": "x" * 200_001}, "200000 characters"),
        ({"const": [0] * 20_001}, "20000 values"),
        (reduce(lambda inner, _: {"items": inner}, range(900), {}), "nested deeper than 128"),
        ({"allOf": [{"anyOf": [{"minLength": n} for n in range(9)]}] * 9}, "combines too many alternatives"),
        (
            {"enum": ["ab" * 2000 + str(number) for number in range(20)], "pattern": "^(a|b)*a(a|b){500}$"},
            "takes too long to compare",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_too_much_is_refused_with_its_place_and_limit(schema: Schema, why: str) -> None:
    with pytest.raises(SchemaUnsupported, match=why) as caught:
        compile_schema(schema)
    assert len(str(caught.value)) < 1000
    assert caught.value.key is not None
    assert len(caught.value.key) < 1100


def test_a_target_that_is_named_in_several_ways_is_compiled_once() -> None:
    """Work and text grow with the schema, and not with the number of ways to name a part of it."""
    values = {f"p{number}": {"type": "null"} for number in range(1500)}
    target = {"type": "object", "properties": values, "required": list(values)}
    schema = {"$defs": {"a~b": target}, "anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("a~0b", "a~b", "%61~b")]}
    assert compile_schema(schema).lark.count('"p7"') == 2  # in `properties` and in `required`


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("count", [3, 24, 28, 30, 100, 450])
def test_any_number_of_optional_properties_is_enforced(count: int, more: bool) -> None:
    matcher = _matcher(compile_schema(optional(count, more=more)).lark)
    names = [f"p{number}" for number in range(count) if number % 3 == 1]
    assert _takes(matcher, "{" + ", ".join(f'"{name}": null' for name in names) + "}")
    assert not _takes(_matcher(compile_schema(optional(count, more=more)).lark), '{"p1": null, "p0": null}')


@pytest.mark.parametrize("count", [3, 30, 300])
def test_any_number_of_places_that_may_stay_empty_is_enforced(count: int) -> None:
    lark = compile_schema({"type": "array", "prefixItems": [{"type": "null"}] * count, "items": False}).lark
    assert _takes(_matcher(lark), "[" + ", ".join(["null"] * count) + "]")
    assert not _takes(_matcher(lark), "[" + ", ".join(["null"] * (count + 1)) + "]")


ANY_OF_TWO = [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(40)]
BOTH = {"allOf": [{"$ref": "#/$defs/t"}, {"$ref": "#/$defs/u"}]}
HOSTILE: list[Schema] = [
    {"allOf": ANY_OF_TWO},
    {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
    {"allOf": [{"pattern": "^(a|b)*a(a|b){300}$"}, {"pattern": "^(a|b)*b(a|b){400}$"}]},
    {"type": "integer", "multipleOf": 999_999_937},
    {"type": "number", "multipleOf": 1e-15},
    reduce(lambda inner, _: {"not": {"properties": {"a": inner}}}, range(20), {"type": "null"}),
    reduce(lambda inner, _: {"oneOf": [inner, {"type": "object", "required": ["a"]}]}, range(12), {"type": "object"}),
    reduce(lambda inner, _: {"if": inner, "then": inner, "else": {"type": "object"}}, range(8), {"required": ["q"]}),
    {"patternProperties": {f"^(a|b)*{chr(97 + n)}(a|b){{50}}": {"type": "integer"} for n in range(16)}},
    {"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"c": BOTH}}, "u": {"properties": {"c": BOTH}}}},
    {"type": "array", "minItems": 4000, "items": {"type": "array", "minItems": 4000, "items": {"minLength": 4096}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_schema_is_refused_or_compiled_within_the_limits(schema: Schema) -> None:
    """Neither the gate nor llguidance goes on without an end, so no schema can hold a turn of the worker."""
    try:
        matcher = _matcher(compile_schema(schema).lark)
    except SchemaUnsupported:
        return
    assert matcher.is_error() or matcher.compute_bitmask()


def test_of_many_patterns_for_one_text_the_first_ones_are_enforced() -> None:
    """llguidance takes exponential time for their intersection: more than 15 seconds for forty."""
    patterns = [f"^[ab]*a[ab]{{{number}}}$" for number in range(40)]
    for schema in (
        {"type": "string", "allOf": [{"pattern": pattern} for pattern in patterns]},
        {"type": "string", "allOf": [{"anyOf": [{"pattern": pattern}, {"minLength": 9}]} for pattern in patterns[:10]]},
        {"$ref": "#/$defs/r0", "$defs": {
            f"r{at}": {"pattern": pattern, "allOf": [{"$ref": f"#/$defs/r{at + 1}"}] if at < 39 else []}
            for at, pattern in enumerate(patterns)
        }},
    ):  # fmt: skip
        grammar = compile_schema(schema)
        assert grammar.lark.count('"pattern"') <= 8
        assert any(item.startswith("allOf at") for item in grammar.checked_after)
        assert grammar.check('"b"')[1] != ()


def test_tools_share_one_limit() -> None:
    def tool(number: int) -> Schema:
        parameters = {"type": "object", "properties": {"a": {"pattern": r"\S" * 1800 + str(number)}}}
        return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}

    assert toolcalls.grammar([tool(0)]) is not None
    with pytest.raises(SchemaUnsupported, match=r"400000 bytes.*/tools/[0-9]/function/parameters"):
        toolcalls.grammar([tool(number) for number in range(100)])
    with pytest.raises(Exception, match="128 tools"):
        toolcalls.grammar([tool(number) for number in range(129)])


def test_a_long_text_takes_a_look_up_a_character_and_a_hostile_pattern_ends() -> None:
    word = Matcher(parse(r"^(\w+\s?)*$"))
    assert not word.matches("a" * 40 + "!")
    assert word.matches("many words " * 20_000)
    assert word.steps < 200
    with pytest.raises(TooCostly):
        Matcher(parse("^(a|b)*a(a|b){500}$")).matches("abbaabab" * 500)


def _matcher(lark: str) -> llguidance.LLMatcher:
    tokenizer = llguidance.LLTokenizer("byte")
    return llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)


def _takes(matcher: llguidance.LLMatcher, text: str) -> bool:
    assert not matcher.is_error(), matcher.get_error()
    return bool(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())
