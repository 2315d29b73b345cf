"""Schemas as libraries, tools and people write them: they compile, or are refused by place and keyword.

The kinds are those of public bug reports of other servers.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import pathlib
import re
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from typing_extensions import TypedDict

from service.engine.schema import compile_schema
from service.errors import SchemaUnsupported
from tests.engine.schema.byte_tokens import accepts, matcher


def holding(schema: Any, **more: Any) -> dict[str, Any]:
    """An object with one property `v`."""
    return {"type": "object", "properties": {"v": schema}, "required": ["v"], "additionalProperties": False, **more}


ANNOTATIONS = [
    {"x-order": 1}, {"markdownDescription": "m"}, {"nullable": False}, {"id": "v"}, {"links": []}, {"$comment": "c"},
    {"example": 1}, {"xml": {}}, {"externalDocs": {}}, {"errorMessage": "e"}, {"enumNames": ["x"]}, {"options": {}},
    {"propertyOrder": 3}, {"tsType": "T"}, {"deprecationMessage": "d"}, {"contentMediaType": "text/plain"},
]  # fmt: skip
FORMATS = ["password", "binary", "path", "uuid4", "regex", "base64", "starts_with", "int32", "file-path", "color", ""]


@pytest.mark.parametrize("words", ANNOTATIONS)
def test_what_only_describes_constrains_nothing(words: dict[str, Any]) -> None:
    grammar = compile_schema(holding({"type": "boolean", **words}, **words))
    assert accepts(grammar.lark, '{"v": true}')
    assert not accepts(grammar.lark, '{"v": 1}')
    assert grammar.checked_after == ()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_nobody_checks_constrains_nothing(name: str) -> None:
    for beside in ({}, {"pattern": "^a.*", "maxLength": 3}):
        grammar = compile_schema(holding({"type": "string", "format": name, **beside}))
        assert accepts(grammar.lark, '{"v": "ab"}')
        assert grammar.checked_after == ()


TAGGED = [
    {"type": "object", "properties": {"kind": {"const": tag, "default": tag}, "n": {"type": "integer"}},
     "required": ["n"]} for tag in ("cat", "dog")
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        # pydantic's tagged union with defaults: the tag is optional, so the options are not disjoint
        ({"oneOf": TAGGED, "discriminator": {}}, ['{"kind": "cat", "n": 1}'], ['{"kind": "cat"}']),
        # zod's records
        (
            {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "boolean"}},
            ['{"a": true}', "{}"],
            ['{"a": 1}'],
        ),
        (
            {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "boolean"}},
            ['{"a": true}', '{"b": false}'],
            ['{"c": true}', '{"a": 1}'],
        ),
        # drafts 4 to 7
        ({"items": [{"type": "integer"}], "additionalItems": False}, ["[1]", "[]"], ['["x"]', "[1, 1]"]),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 3}, ["1", "3"], ["0", "4"]),
        # a required name that `properties` lacks
        ({"type": "object", "required": ["q"]}, ['{"q": 1}'], ["{}"]),
        # an unanchored pattern
        ({"type": "string", "pattern": "[0-9]"}, ['"a1b"'], ['"ab"']),
        # keywords beside $ref
        (
            {"$ref": "#/$defs/a", "required": ["v"], "$defs": {"a": holding({"type": "null"}, required=[])}},
            ['{"v": null}'],
            ["{}", '{"v": 1}'],
        ),
        ({}, ["1", "{}", '"x"', "null"], ["x"]),
        ({"const": 1}, ["1"], ["2"]),
        ({"type": "integer", "multipleOf": 7, "minimum": 10, "maximum": 99}, ["14", "98"], ["12", "7"]),
        ({"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}}, ['["a", "b"]'], ['["a", "b", "a"]']),
    ],
)  # fmt: skip
def test_a_form_in_common_use_is_enforced(schema: Any, right: list[str], wrong: list[str]) -> None:
    grammar = compile_schema(schema)
    for text in right:
        assert accepts(grammar.lark, text), text
        assert grammar.check(text)[1] == ()
    for text in wrong:
        assert not accepts(grammar.lark, text), text


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("email", "a@b.example", "nobody"), ("uri", "https://a.example/x", "no uri"), ("hostname", "a.example", "-a"),
        ("ipv6", "::1", "1.1.1.1"), ("ipv4", "10.0.0.1", "10.0.0.256"), ("duration", "PT1H", "1 hour"),
        ("date", "2026-02-28", "2026-02-31"), ("time", "10:00:00Z", "25:00:00Z"),
        ("date-time", "2026-02-28T10:00:00Z", "2026-02-31T10:00:00Z"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"), ("uri-reference", "a/b", "a b"),
        ("json-pointer", "/a", "a"),
    ],
)  # fmt: skip
def test_a_known_format_is_checked_and_never_let_through(name: str, right: str, wrong: str) -> None:
    grammar = compile_schema({"type": "string", "format": name})
    assert accepts(grammar.lark, f'"{right}"')
    assert grammar.check(f'"{right}"')[1] == ()
    assert grammar.check(f'"{wrong}"')[1] != ()
    assert grammar.checked_after == ("format at /",)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(1000)},
         "required": [f"p{n}" for n in range(1000)]},
        {"anyOf": [{"const": n} for n in range(500)]},
        {"enum": list(range(1899))},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(240)}},
        {"type": "array", "items": holding({"type": "string", "maxLength": 10_000}), "maxItems": 100},
        {"type": "object", "properties": {f"p{n}": {"type": "string", "maxLength": 4} for n in range(30)}},
    ],
)  # fmt: skip
def test_an_ordinary_size_is_not_too_much(schema: Any) -> None:
    matcher(compile_schema(schema).lark)


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        (holding({"type": "string", "pattern": r"^(?!\.)a@b$"}), "/properties/v", "pattern"),
        (holding({"enum": list(range(2500))}), "/properties/v", "enum"),
        (holding({"$ref": "https://a.example/x.json"}), "/properties/v", "$ref"),
    ],
)
def test_a_refusal_names_the_place_and_the_keyword(schema: Any, pointer: str, keyword: str) -> None:
    with pytest.raises(SchemaUnsupported) as refused:
        compile_schema(schema)
    assert (refused.value.key, refused.value.keyword) == (pointer, keyword)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    name: str


class Row(TypedDict):
    x: int
    name: NotRequired[str]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    n: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    n: int


class Tree(BaseModel):
    v: int
    kids: list[Tree] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = Field(json_schema_extra={"x-note": 1})


TEXT = Annotated[str, StringConstraints(min_length=1, max_length=9, pattern=r"^\w+$")]
PYDANTIC: list[Any] = [
    str, int, float, bool, bytes, Any, dict, dict[str, int], dict[int, str], dict[Color, int],
    dict[Literal["a", "b"], int], dict[TEXT, int], list[int], set[str], tuple[int, str], tuple[int, ...], int | None,
    int | str | None, Literal["a", 1, None], Color, Level, Point, Row, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, pydantic.AwareDatetime, pydantic.PastDate, decimal.Decimal,
    Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=2)], uuid.UUID, pydantic.UUID4, pathlib.Path,
    pydantic.FilePath, pydantic.HttpUrl, pydantic.AnyUrl, pydantic.FileUrl, pydantic.PostgresDsn,
    ipaddress.IPv4Address, pydantic.IPvAnyAddress, ipaddress.IPv4Network, ipaddress.IPv6Address, pydantic.SecretStr,
    pydantic.Json, re.Pattern, pydantic.ByteSize, pydantic.Base64Str, Annotated[int, Field(ge=0, le=9, multiple_of=3)],
    Annotated[float, Field(gt=0, lt=1)], TEXT, Annotated[list[int], Field(min_length=1, max_length=3)],
    Annotated[set[int], Field(min_length=2)], pydantic.PositiveInt, pydantic.StrictStr, pydantic.FiniteFloat,
    Annotated[Cat | Dog, Field(discriminator="kind")], Cat | Dog, Tree, Open, Closed, deque[int], frozenset[int],
    OrderedDict[str, int], Counter[str], Mapping[str, int], Sequence[int], Iterable[int],
    Annotated[bytes, Field(max_length=4)],
    Annotated[int, Field(examples=[1], title="t", description="d")],
]  # fmt: skip


def test_every_ordinary_type_of_pydantic_compiles() -> None:
    """In the gate and in llguidance."""
    refused = []
    for kind in PYDANTIC:
        schema = TypeAdapter(kind).json_schema()
        defs = schema.pop("$defs", {})
        try:
            matcher(compile_schema(holding(schema, **{"$defs": defs})).lark)
        except (SchemaUnsupported, AssertionError) as error:
            refused.append((kind, str(error)))
    assert refused == []
