"""Random schemas: valid values are accepted, accepted values are valid, and no state is a dead end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine.schema import compile_schema
from tests.engine.schema.byte_tokens import accepts, walk
from tests.tiers import draws

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
Pair = tuple[Any, st.SearchStrategy[Any]]  # a schema, and values that are valid under it
TOO_LARGE = ("the answer is not JSON: a number in it is out of range",)  # 1e310: only the check refuses it
RELAXED = settings(max_examples=draws(40, 400), deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def strings(draw: st.DrawFn) -> Pair:
    low = draw(st.integers(0, 4))
    schema: dict[str, Any] = {"type": "string"}
    high = low + draw(st.integers(0, 4))
    if draw(st.booleans()):
        schema |= {"minLength": low, "maxLength": high}
    else:
        low, high = 0, 6
    return schema, st.text(st.characters(exclude_categories=("Cs",)), min_size=low, max_size=high)


@st.composite
def integers(draw: st.DrawFn) -> Pair:
    low, high = sorted(draw(st.tuples(*[st.integers(-(10**6), 10**6)] * 2)))
    return draw(
        st.sampled_from(
            [
                ({"type": "integer"}, st.integers(-(2**63) + 1024, 2**63 - 1)),
                ({"type": "integer", "minimum": low, "maximum": high}, st.integers(low, high)),
                ({"type": "integer", "exclusiveMinimum": low}, st.integers(low + 1, 2**63 - 1)),
                ({"type": "integer", "exclusiveMaximum": high}, st.integers(-(2**63) + 1, high - 1)),
            ]
        )
    )


@st.composite
def numbers(draw: st.DrawFn) -> Pair:
    cents = st.integers(-(10**6), 10**6)
    low, high = sorted(draw(st.tuples(cents, cents)))
    within = st.integers(low, high).map(lambda value: value / 100)
    free = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
    return draw(
        st.sampled_from(
            [({"type": "number"}, free), ({"type": "number", "minimum": low / 100, "maximum": high / 100}, within)]
        )
    )


@st.composite
def enums(draw: st.DrawFn) -> Pair:
    scalar = st.one_of(TEXT, st.integers(-99, 99), st.booleans(), st.none())
    values = draw(st.lists(scalar, min_size=1, max_size=4))
    return {"enum": values}, st.sampled_from(values)


LEAVES = st.one_of(
    strings(),
    integers(),
    numbers(),
    enums(),
    st.sampled_from([({"type": "boolean"}, st.booleans()), ({"type": "null"}, st.none())]),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    names = draw(st.lists(TEXT, unique=True, max_size=4))
    pairs = {name: draw(inner) for name in names}
    required = [name for name in names if draw(st.booleans())]
    schema = {
        "type": "object",
        "properties": {name: pair[0] for name, pair in pairs.items()},
        "required": required,
        "additionalProperties": False,
    }

    @st.composite
    def value(draw_value: st.DrawFn) -> Any:
        return {name: draw_value(pairs[name][1]) for name in names if name in required or draw_value(st.booleans())}

    return schema, value()


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    schema, values = draw(inner)
    low = draw(st.integers(0, 2))
    high = low + draw(st.integers(0, 2))
    return {"type": "array", "items": schema, "minItems": low, "maxItems": high}, st.lists(
        values, min_size=low, max_size=high
    )


@st.composite
def unions(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    pairs = draw(st.lists(inner, min_size=1, max_size=3))
    return {"anyOf": [schema for schema, _ in pairs]}, st.one_of(*(values for _, values in pairs))


def dumped(value: Any) -> str:
    """A value as json.dumps writes it, with DEL escaped in its strings. The name of a property keeps DEL as it is."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name, ensure_ascii=False)}: {dumped(item)}" for name, item in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(dumped, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(value: Any) -> list[str]:
    """The texts of a value: as it is, and with whole numbers without a fraction."""

    def whole(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: whole(item) for name, item in inner.items()}
        if isinstance(inner, list):
            return [whole(item) for item in inner]
        return int(inner) if isinstance(inner, float) and inner.is_integer() else inner

    return [dumped(form) for form in (value, whole(value))]


PAIRS = st.recursive(LEAVES, lambda inner: st.one_of(objects(inner), arrays(inner), unions(inner)), max_leaves=6)


@pytest.mark.draws
@RELAXED
@given(st.data())
def test_what_is_valid_is_accepted(data: st.DataObject) -> None:
    """Every value of a random schema, written as json.dumps writes it, is in the grammar and passes the check."""
    schema, values = data.draw(PAIRS)
    grammar = compile_schema(schema)
    texts = written(data.draw(values))
    assert any(accepts(grammar.lark, text) for text in texts), f"{texts}\n{grammar.lark}"
    assert [grammar.check(text)[1] for text in texts] == [(), ()]


@pytest.mark.draws
@RELAXED
@given(st.data())
def test_what_is_accepted_is_valid_and_no_state_is_a_dead_end(data: st.DataObject) -> None:
    """Random walks through the masks reach the end or the limit, and the text obeys the schema."""
    schema, _ = data.draw(PAIRS)
    grammar = compile_schema(schema)
    random = data.draw(st.randoms(use_true_random=False))
    text = walk(grammar.lark, lambda allowed: 256 if 256 in allowed else random.choice(allowed))
    if text is not None:
        assert grammar.check(text)[1] in ((), TOO_LARGE), f"{text}\n{grammar.lark}"


@pytest.mark.draws
@RELAXED
@given(low=st.integers(-2000, 2000), size=st.integers(0, 3000), probe=st.integers(-6000, 6000))
def test_integer_bounds_are_exact(low: int, size: int, probe: int) -> None:
    """An integer is in the grammar exactly when it is within the inclusive bounds."""
    lark = compile_schema({"type": "integer", "minimum": low, "maximum": low + size}).lark
    for value in (probe, low - 1, low, low + size, low + size + 1):
        assert accepts(lark, str(value)) == (low <= value <= low + size), value


@pytest.mark.draws
@RELAXED
@given(
    bound=st.decimals(-50, 50, places=3),
    probe=st.decimals(-60, 60, places=4),
    word=st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
)
def test_number_bounds_are_exact(bound: Any, probe: Any, word: str) -> None:
    """A decimal is in the grammar exactly when it is on the right side of the bound."""
    lark = compile_schema({"type": "number", word: float(bound)}).lark
    for value in (probe, bound):
        if value == 0:
            value = abs(value)
        right = {
            "minimum": value >= bound,
            "maximum": value <= bound,
            "exclusiveMinimum": value > bound,
            "exclusiveMaximum": value < bound,
        }[word]
        texts = {f"{value:f}", f"{value.normalize():f}"}  # at a bound only the shorter one is in the grammar
        assert any(accepts(lark, text) for text in texts) == right, (value, lark)


@pytest.mark.draws
@RELAXED
@given(st.text(max_size=20))
def test_hostile_strings(text: str) -> None:
    """Quotes, backslashes, control characters and every plane pass unchanged. Lone surrogates never pass."""
    lark = compile_schema({"type": "string", "maxLength": len(text)}).lark
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not accepts(lark, json.dumps(text))
        return
    assert accepts(lark, written(text)[0])
    assert accepts(lark, json.dumps(text)), "the escaped spelling counts the same characters"


WALKED = [
    {
        "type": "object",
        "properties": {"a": {"type": "null"}},
        "additionalProperties": {"type": "integer", "maximum": 9},
    },
    {"type": "array", "prefixItems": [{"enum": [1, [1], {"k": 2}]}, {"type": "boolean"}], "minItems": 1, "maxItems": 3},
    {"type": "string", "pattern": r"^[a-c\"\\\n]+(x|yz)?$", "minLength": 2, "maxLength": 4},
    {"type": "string", "pattern": r"\d-\d", "maxLength": 12},
    {"type": "string", "format": "ipv4"},
    {"type": "number", "exclusiveMinimum": -1.25, "exclusiveMaximum": 0.5},
    {"anyOf": [{"const": {"a": [1, "x"]}}, {"type": "object", "properties": {"a": {"type": "null"}}}]},
]


@settings(max_examples=20, deadline=None)
@given(random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("schema", WALKED, ids=str)
def test_walks_through_every_feature_end_valid(schema: Any, random: Any) -> None:
    """Additional properties, prefix items, patterns with lengths, shapes of formats, exclusive bounds, constants."""
    grammar = compile_schema(schema)
    text = walk(grammar.lark, lambda allowed: 256 if 256 in allowed else random.choice(allowed))
    assert text is None or grammar.check(text)[1] in ((), TOO_LARGE), f"{text}\n{grammar.lark}"
