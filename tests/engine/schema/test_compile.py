"""Each keyword is enforced while decoding, or checked after it, or refused with its pointer and a remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.engine.schema import any_json, canonical, compile_schema, matching, patterns
from service.engine.schema.keywords import ANNOTATIONS, CONSTRAINTS, TYPES
from service.engine.schema.validator import validator_for
from service.errors import SchemaUnsupported
from tests.engine.schema.byte_tokens import accepts, forced, matcher, walk

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["v", "kids"],
        }
    },
}
SHAPES = {
    "oneOf": [
        {"type": "object", "properties": {"kind": {"const": kind}, "n": {"type": "integer"}}, "required": ["kind", "n"]}
        for kind in ("circle", "square")
    ]
}


NUMBERS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "number"}}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (
            OBJECT,
            ['{"a": 1}', '{"a": 1, "b": "x"}'],
            ['{"b": "x", "a": 1}', '{"a":1}', '{"a": 1, "b": 2}', '{"a": 1.0}', "{}"],
        ),
        ({**OBJECT, "required": []}, ["{}", '{"b": ""}', '{"a": 0, "b": ""}'], ['{"a": 0,}', '{, "b": ""}']),
        (
            {**OBJECT, "additionalProperties": {"type": "null"}},
            ['{"a": 1, "z": null}', '{"a": 1, "b": "", "y": null, "z": null}'],
            ['{"a": 1, "a": null}', '{"a": 1, "z": 1}'],
        ),
        (
            {**NUMBERS, "propertyNames": {"enum": ["a", "b"]}, "required": ["a", "b"]},
            ['{"a": 1, "b": 2}'],
            ['{"a": 1}', '{"a": 1, "b": "x"}', '{"a": 1, "b": 2, "c": 3}'],
        ),
        (
            {
                **NUMBERS,
                "patternProperties": {"^k": {"type": "number"}},
                "additionalProperties": False,
                "required": ["k1"],
            },
            ['{"k1": 2}', '{"k1": 2, "k2": 3}'],
            ["{}", '{"k2": 3}', '{"k1": "x"}'],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
            ["{}", '{"x": 1, "y": 2}'],
            ['{"x": 1, "y": 2, "z": 3}'],
        ),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
            ["[true]", "[true, false]"],
            ["[]", "[true,false]", "[true, true, true]"],
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
            ["[]", "[1]", '[1, "x"]'],
            ['["x"]', '[1, "x", 1]'],
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1},
            ["[1]", '[1, {"any": [null]}]'],
            ["[]"],
        ),
        ({"type": ["string", "null"], "maxLength": 2}, ['"ab"', "null", '"\\n\\u00e9"'], ['"abc"', "1"]),
        (
            {"enum": ["a", "ab", 1, 12, None, [1, 2], {"k": [1]}, "é\n\x7f"]},
            ['"a"', '"ab"', "1", "12", "[1, 2]", '{"k": [1]}', '"é\\n\\u007f"'],
            ['"b"', "2", "[1]"],
        ),
        (
            {"type": "object", "properties": {"a\x7f": {"type": "string"}}, "required": ["a\x7f"]},
            ['{"a\x7f": ""}', '{"a\x7f": "\\u007f"}'],
            ['{"a": ""}'],
        ),
        (
            {"anyOf": [{"const": [1]}, {"type": "array", "items": {"type": "integer"}}, OBJECT, {"type": "object"}]},
            ["[1]", "[1, 2]", '{"a": 1}', '{"q": 1}'],
            ['["x"]'],
        ),
        ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
        (
            {"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]},
            ["1", "1.5", '"x"', "1e-07", "1e+300"],
            ["01", "+1", ".5", "1.", "NaN"],
        ),
        (TREE, ['{"v": 1, "kids": []}', '{"v": 1, "kids": [{"v": 2, "kids": []}]}'], ['{"v": 1}']),
        (SHAPES, ['{"kind": "circle", "n": 1}', '{"kind": "square", "n": 1}'], ['{"kind": "line", "n": 1}']),
        (True, ["null", '{"a": [1, 2.5, "x", true]}'], ["{a: 1}"]),
        ({"type": "integer", "minimum": 1.5, "exclusiveMaximum": 4}, ["2", "3"], ["1", "4", "02"]),
        (
            {"type": "number", "minimum": 0, "maximum": 1},
            ["0", "1", "0.5", "1.0", "0.05"],
            ["1.1", "-0.1", "2", "1.01"],
        ),
        ({"type": "string", "format": "date"}, ['"2026-02-28"'], ['"2026-13-01"', '"yesterday"']),
        (
            {
                "type": "object",
                "patternProperties": {"^l[1-3]$": {"type": "null"}},
                "additionalProperties": False,
                "required": ["l1"],
            },
            ['{"l1": null}', '{"l1": null, "l2": null}'],
            ['{"l2": null}', "{}"],
        ),
        ({"type": "string", "format": "uri-reference"}, ['"a/b?c#d"', '"%20"'], ['"a b"', '"%2"']),
        ({"type": "string", "format": "json-pointer"}, ['""', '"/a~1b"'], ['"a"', '"/~2"']),
        ({"type": "string", "format": "uuid"}, ['"123e4567-e89b-12d3-a456-426614174000"'], ['"123"']),
    ],
)
def test_enforced(schema: Any, right: list[str], wrong: list[str]) -> None:
    """The right texts are in the grammar and obey the schema; the wrong ones are not in the grammar."""
    grammar = compile_schema(schema)
    for text in right:
        assert accepts(grammar.lark, text), text
        assert grammar.check(text)[1] == (), text
    for text in wrong:
        assert not accepts(grammar.lark, text), text


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"^[A-Z]{2}-\d+$", ["AB-1", "XY-123"], ["AB-", "ab-1", "AB-1x", "AB-٣"]),
        (r"\d", ["1", "a1b", '"1\\'], ["", "abc"]),
        (r"^(?:a|b)*$|^\w+\s\w+$", ["", "abba", "so it"], ["c d e", "abc"]),
        (r'^["\\/\n]+$', ['"', "\\", "/", "\n", '"\\/\n'], ["a"]),
        (r"^[^a-z\x00-\x1f]+$", ["AÉ😀", '"'], ["a", "\n"]),
        (r"^.{2,3}$", ["ab", "é😀", "abc"], ["a", "abcd", "a\n"]),
        (r"^\S+@\S+$", ["a@b"], ["a @b", "@"]),
        ("^\u00e9\\u00e8+$", ["éè", "éèè"], ["e"]),
        (r"^a{2,}(b{2})?c{1,2}$", ["aac", "aaabbcc"], ["ac", "aabc", "aaccc"]),
        ("^(a?){3}$", ["", "a", "aaa"], ["aaaa"]),
    ],
)
def test_patterns(pattern: str, right: list[str], wrong: list[str]) -> None:
    """A pattern holds over the string's characters, however JSON has to escape them."""
    grammar = compile_schema({"type": "string", "pattern": pattern})
    for value in right:
        assert accepts(grammar.lark, canonical(value)), value
        assert grammar.check(canonical(value))[1] == (), value
    for value in wrong:
        assert not accepts(grammar.lark, canonical(value)), value
        assert grammar.check(canonical(value))[1] != (), value


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        ({"$ref": "https://example.org/schema"}, "", "$ref"),
        ({"$ref": "#/$defs/none"}, "", "$ref"),
        ({"$ref": "#"}, "", "$ref"),
        ({"anyOf": [{"type": "string"}, {"$ref": "#"}]}, "", "$ref"),
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "/$defs/a", "$ref"),
        ({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}, "", "$ref"),
        ({"type": "string", "pattern": "(?=a)"}, "", "pattern"),
        ({"type": "string", "pattern": "((a{1000}){1000}){1000}"}, "", "pattern"),
        ({"type": "string", "pattern": r"(a)\1"}, "", "pattern"),
        ({"type": "string", "pattern": "a^"}, "", "pattern"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "", "maximum"),
        ({"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1}, "", "maximum"),
        ({"type": "text"}, "", "type"),
        ({"type": "string", "minLength": -1}, "", "minLength"),
        ({"enum": []}, "", "enum"),
        ({"type": "string", "enum": [1]}, "", "enum"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "", "maxLength"),
        (
            {"type": "object", "properties": {"a": {"enum": [1], "type": "string"}}, "required": ["a"]},
            "/properties/a",
            "enum",
        ),
        ({"type": "array", "items": False, "minItems": 1}, "", "items"),
        (False, "", "false"),
        ({"const": float("nan")}, "", "schema"),
        ({"const": "\ud800"}, "", "schema"),
    ],
)
def test_refused(schema: Any, pointer: str, keyword: str) -> None:
    """A schema that can neither be enforced nor checked is refused with the keyword and its place."""
    with pytest.raises(SchemaUnsupported) as caught:
        compile_schema(schema)
    assert (caught.value.key, caught.value.keyword) == (pointer, keyword)


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"enum": ["a"], "type": "text"}, "type"),
        ({"enum": ["a"], "minLength": "x"}, "minLength"),
        ({"enum": ["a"], "pattern": "("}, "pattern"),
        ({"enum": [1], "multipleOf": 0}, "multipleOf"),
        ({"enum": [{"a": 1}], "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}, "$ref"),
        ({"const": "a", "enum": 1}, "enum"),
        ({"oneOf": [{"type": 5}, {"type": "string"}]}, "type"),
        ({"oneOf": [{"type": "object", "required": 5}, OBJECT]}, "required"),
        ({"type": "object", "required": [{}]}, "required"),
        ({"type": "string", "format": []}, "format"),
        ({"type": "string", "multipleOf": "x"}, "multipleOf"),
        ({"type": "object", "minProperties": None}, "minProperties"),
        ({"type": "string", "$id": 5}, "$id"),
        ({"$ref": "#/$defs/0", "$defs": {str(at): {"$ref": f"#/$defs/{at + 1}"} for at in range(900)}}, "schema"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, keyword: str) -> None:
    """Schemas come from callers: a keyword with a value of another form is their error, wherever it stands."""
    with pytest.raises(SchemaUnsupported) as caught:
        compile_schema(schema)
    assert caught.value.keyword == keyword


ODD: list[Any] = [None, True, 0, -1, 1.5, 10**400, "string", "(", [], {}, [1], [{}], ["a"], {"a": 1}, [{"type": 5}]]


@pytest.mark.parametrize("keyword", sorted({*CONSTRAINTS, *ANNOTATIONS}))
def test_any_value_of_any_keyword_is_refused_or_harmless(keyword: str) -> None:
    """Alone, beside a type, beside values, inside others: nothing but a refusal comes out, then or at the check."""
    beside: list[dict[str, Any]] = [{}, *({"type": kind} for kind in TYPES), {"enum": ["a", 1, {"a": 1}, [1]]}]
    compiled = 0
    for inner in [{**each, keyword: odd} for each in beside for odd in ODD]:
        for schema in (inner, {"oneOf": [inner, {"type": "null"}]}, {"type": "object", "properties": {"a": inner}}):
            try:
                grammar = compile_schema(schema)
            except SchemaUnsupported:
                continue
            compiled += 1
            for text in ('"a"', "1", '{"a": 1}', "[1]", '{"a": "a"}'):
                grammar.check(text)
    assert compiled or keyword == "$ref"


def test_a_reference_to_elsewhere_is_never_fetched() -> None:
    """A validator that came across one would ask a server of the caller's choice."""
    assert not validator_for({"$ref": "http://127.0.0.1:1/x"}).is_valid(1)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(?:(a+)+c|a+)!?$", "(a*)*b", "^(a{0,1000}){0,1000}b$"])
def test_no_pattern_holds_up_the_check(pattern: str) -> None:
    """Patterns and values are the caller's: Python's `re` would try 2^n ways through these, for hours."""
    text = "a" * 60 + "?"
    assert compile_schema({"type": "string", "pattern": pattern}).check(canonical(text))[1] != ()
    with pytest.raises(SchemaUnsupported, match=r"allows no value|takes too long"):
        compile_schema({"enum": [text], "pattern": pattern})


def test_what_would_take_too_long_to_check_is_not_passed() -> None:
    """A pattern with a thousand ways to go on for each character: the check gives up, and giving up is no success."""
    assert matching.matches(patterns.parse("a{0,1000}x"), "a" * 100 + "x")
    with pytest.raises(matching.TooCostly):
        matching.matches(patterns.parse("a{0,1000}x"), "a" * 2000 + "x")
    grammar = compile_schema({"type": "string", "pattern": "a{0,1000}x"})
    assert grammar.check(canonical("a" * 2000 + "x"))[1] == ("the answer breaks 'pattern'",)


def test_a_misspelt_keyword_names_the_nearest() -> None:
    """The remedy of an unknown keyword is the known one that it resembles."""
    with pytest.raises(SchemaUnsupported, match="Did you mean 'maxLength'"):
        compile_schema({"type": "string", "maxlength": 3}, strict=True)
    assert accepts(compile_schema({"type": "string", "maxlength": 3}).lark, '"four"')


@pytest.mark.parametrize(
    ("schema", "named", "wrong"),
    [
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "uniqueItems at /", "[1, 1]"),
        (
            {"type": "object", "unevaluatedProperties": False, "allOf": [OBJECT]},
            "unevaluatedProperties at /",
            '{"a": 1, "c": 1}',
        ),
        ({"type": "array", "contains": {"const": 1}}, "contains at /", "[2]"),
        ({"type": "number", "maximum": 3.4e38}, "maximum at /", "1e39"),
        ({"type": "number", "exclusiveMinimum": -1e19}, "exclusiveMinimum at /", "-1e20"),
        (
            {**NUMBERS, "properties": {"a": {"type": "string"}}, "propertyNames": {"pattern": "^[ab]$"}},
            "propertyNames at /",
            '{"a": "x", "c": 1}',
        ),
        ({"type": "string", "format": "date"}, "format at /", '"2026-02-31"'),
        ({**OBJECT, "minProperties": 2}, "minProperties at /", '{"a": 1}'),
        ({"type": "string", "maxLength": 5000}, "maxLength at /", json.dumps("x" * 5001)),
    ],
)
def test_checked_after(schema: Any, named: str, wrong: str) -> None:
    """A keyword that the grammar does not enforce is named in `checked_after`, and the check finds a wrong value."""
    grammar = compile_schema(schema)
    assert named in grammar.checked_after
    assert named in grammar.coverage
    assert accepts(grammar.lark, wrong)
    assert grammar.check(wrong)[1]


def test_no_problem_tells_the_value() -> None:
    """A problem does not repeat the answer, because the answer may hold private data."""
    _, problems = compile_schema(OBJECT).check('{"a": "secret-value"}')
    assert problems == ("/a breaks 'type'",)
    assert compile_schema(OBJECT).check('{"a": ')[1][0].startswith("the answer is not JSON")
    assert "deep" in compile_schema(True).check("[" * 100_000)[1][0]


def test_what_has_no_alternative_is_forced() -> None:
    """Everything up to the first choice is known without a model, keys and punctuation included."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "ok": {"type": "boolean"}},
        "required": ["name", "ok"],
    }
    made = matcher(compile_schema(schema).lark)
    assert made.compute_ff_bytes() == b'{"name": "'
    assert made.consume_tokens(list(b'{"name": "x"'))
    assert made.compute_ff_bytes() == b', "ok": '


def test_the_same_schema_has_the_same_digest_and_another_order_another() -> None:
    """The digest names the language and the order of keys, not the object that held them."""
    turned = {**OBJECT, "properties": dict(reversed(OBJECT["properties"].items()))}
    assert compile_schema(OBJECT).digest == compile_schema(json.loads(json.dumps(OBJECT))).digest
    assert compile_schema(OBJECT).digest != compile_schema(turned).digest


def test_the_grammar_grows_with_the_schema_and_not_faster() -> None:
    """Optional objects inside optional objects are written once each, and hostile sizes are refused."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(20):
        schema = {"type": "object", "properties": {"a": schema, "b": {"type": "null"}}}
    assert len(compile_schema(schema).lark) < 20_000
    for _ in range(40):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SchemaUnsupported, match="nested deeper"):
        compile_schema(schema)
    with pytest.raises(SchemaUnsupported, match="bytes"):
        compile_schema({"type": "string", "pattern": "\\S" * 4_000})


def test_any_json_is_an_object_of_anything() -> None:
    """json_object: an object and nothing else, nested as deep as it likes."""
    grammar = any_json()
    assert forced(grammar.lark) == "{"
    assert accepts(grammar.lark, '{"a": {"b": [1, "x", null, {}]}, "c": []}')
    assert not accepts(grammar.lark, "[]")


def test_a_large_realistic_schema_is_read() -> None:
    """Twenty fields of every kind, nested and optional, compile, load and walk to valid JSON."""
    fields = {
        "text": {"type": "string", "maxLength": 80},
        "mail": {"type": "string", "format": "email"},
        "price": {"type": "number", "minimum": 0, "exclusiveMaximum": 10000},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 8},
        "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
    }
    schema = {
        "type": "object",
        "properties": {f"{name}{number}": inner for number in range(4) for name, inner in fields.items()},
        "required": ["text0", "price0", "when0"],
        "additionalProperties": False,
    }
    grammar = compile_schema(schema)
    import random

    source = random.Random(7)
    texts = [walk(grammar.lark, source.choice, limit=3000) for _ in range(3)]
    assert any(text is None or json.loads(text) for text in texts)
