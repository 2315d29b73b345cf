"""The reader finds calls in every form, streams them, and leaves all other text alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import toolcalls
from service.errors import RequestError
from tests.engine.toolcalls.tools import TOOLS, called

CLOCK, WEATHER = ("clock", {}), ("weather", {"city": ']}\\"{'})
ARGUMENTS = json.dumps(WEATHER[1])
ONE, OTHER = '{"name": "clock", "arguments": {}}', f'{{"name": "weather", "arguments": {ARGUMENTS}}}'
FORMS = [
    (called(*CLOCK) + "\n" + called(*WEATHER), "", [CLOCK, WEATHER]),
    ("Let me see.\n\n" + called(*CLOCK), "Let me see.", [CLOCK]),
    (f"<tool_call>{ONE}{OTHER}</tool_call>", "", [CLOCK, WEATHER]),
    (f"```json\n{ONE}\n```", "", [CLOCK]),
    (f"```json\n{ONE}\n```\n```json\n{OTHER}\n```\nDone.", "Done.", [CLOCK, WEATHER]),
    (f"```\n{ONE}", "", [CLOCK]),
    (f"{{{ONE}}}", "", [CLOCK]),
    (f"<tool_call>\n{{{OTHER}}}\n</tool_call>", "", [WEATHER]),
    (f"```xml\n<tool_call>\n{OTHER}\n</tool_call>\n```", "", [WEATHER]),
    (f"<tools>\n{ONE}\n</tools>", "", [CLOCK]),
    (ONE, "", [CLOCK]),
    (f"I will call {OTHER} now", "I will call\nnow", [WEATHER]),
    (f"[{ONE}, {OTHER}]", "", [CLOCK, WEATHER]),
    ('{"name": "clock", "parameters": {}}', "", [CLOCK]),
    ('<|python_tag|>{"name": "clock", "parameters": {}}; ' + OTHER, "", [CLOCK, WEATHER]),
    ('{"type": "function", "function": {"name": "clock", "arguments": {}}}', "", [CLOCK]),
    ('{"id": "a", "type": "function", "name": "clock", "parameters": {}}', "", [CLOCK]),
    (f"[TOOL_CALLS] [{ONE}, {OTHER}]", "", [CLOCK, WEATHER]),
    (f"[TOOL_CALLS]clock[ARGS]{{}}[TOOL_CALLS]weather[ARGS]{ARGUMENTS}", "", [CLOCK, WEATHER]),
    (f"[TOOL_CALLS]weather[CALL_ID]abc123[ARGS]{ARGUMENTS}", "", [WEATHER]),
    ("clock[ARGS]{}", "", [CLOCK]),
    ('{\n  "name" : "clock" ,\n  "arguments" : {\n  }\n}\n', "", [CLOCK]),
]
PLAIN = [
    "Hello.", "<b>black</b>", "<", "a < b", "```python\nprint({})\n```", '{"name": "Anna", "age": 3}', "[1, 2]",
    '{"name": "map", "arguments": {}}', '{"name": "clock"}', '{"name": "clock", "arguments": 3}', " \n", "",
    "The tag <tool_call> begins a call.", "clock is a function", '{"arguments": {}}', "[TOOL_CALLS] none",
]  # fmt: skip


def calls_of(reader: toolcalls.CallReader) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in reader.calls]


def streamed(text: str, sizes: list[int]) -> tuple[str, list[tuple[str, str]], toolcalls.CallReader]:
    """The text and the calls that a client joins from the pieces."""
    reader = toolcalls.CallReader(TOOLS)
    visible, joined, rest = "", {}, text
    while rest:
        size = sizes[len(rest) % len(sizes)]
        delta = reader.add(rest[:size])
        rest = rest[size:]
        visible += delta.text
        for call in delta.calls:
            function = call["function"]
            if "id" in call:
                joined[call["index"]] = [function["name"], ""]
            joined[call["index"]][1] += function["arguments"]
    return visible + reader.end(), [tuple(joined[index]) for index in sorted(joined)], reader


@pytest.mark.parametrize(("text", "visible", "calls"), FORMS)
def test_calls_are_read_in_every_form_whole_and_in_pieces(text: str, visible: str, calls: Any) -> None:
    """No piece of markup is text, and joined pieces equal the whole answer."""
    whole, read = toolcalls.parse(text, TOOLS)
    assert whole == visible
    assert [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in read] == calls
    for sizes in ([1], [2, 3], [5]):
        said, joined, reader = streamed(text, sizes)
        assert said.strip() == visible
        assert [(name, json.loads(arguments)) for name, arguments in joined] == calls == calls_of(reader)


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_is_left_alone(text: str) -> None:
    """Also text that looks like the beginning of a call."""
    assert toolcalls.parse(text, TOOLS) == (text, ())
    assert streamed(text, [1])[0] == text


@given(
    st.lists(st.sampled_from([*"<`[{ \n", "<tool", "```json", '{"name": "', "clock", "x", '"}', "[ARGS]"])).map("".join)
)
def test_pieces_of_any_text_join_to_the_whole(text: str) -> None:
    """Nothing is lost, doubled or moved."""
    whole = toolcalls.CallReader(TOOLS)
    visible = whole.add(text).text + whole.end()
    said, _, reader = streamed(text, [1, 4])
    assert (said, calls_of(reader)) == (visible, calls_of(whole))


def test_text_is_streamed_as_it_comes_and_arguments_too() -> None:
    """Only a possible beginning of a call is held back."""
    reader = toolcalls.CallReader(TOOLS)
    assert [reader.add(piece).text for piece in ("A small ", "text.", " <", "b>", " `x`")] == [
        "A small", " text.", "", " <b>", " `x",
    ]  # fmt: skip
    pieces = [
        reader.add(piece).calls for piece in ('<tool_call>\n{"name": "weather", "arguments": {"ci', 'ty": ', '"B"')
    ]
    assert [[call["function"].get("arguments") for call in calls] for calls in pieces] == [
        ["", '{"ci'], ['ty": '], ['"B"'],
    ]  # fmt: skip


@pytest.mark.parametrize("text", [called(*WEATHER), called(*CLOCK) + "\n" + called(*WEATHER)])
def test_a_call_that_is_cut_shows_no_markup(text: str) -> None:
    """Wherever the limit is. The calls before it are complete."""
    for size in range(3, len(text)):
        visible, calls = toolcalls.parse(text[:size], TOOLS, cut=True)
        assert visible == ""
        assert all(json.loads(call["function"]["arguments"]) is not None for call in calls)


def test_an_answer_that_ends_in_a_call_and_was_not_cut_is_an_error() -> None:
    """Half a call is no call."""
    with pytest.raises(RequestError):
        toolcalls.parse('<tool_call>\n{"name": "weather", "arguments": {"city": "B', TOOLS)


@pytest.mark.parametrize("arguments", [{"city": 1}, {}, {"city": "x", "days": 9}])
def test_arguments_that_break_their_schema_are_an_error(arguments: Any) -> None:
    """Told without the value."""
    with pytest.raises(RequestError, match="arguments of weather"):
        toolcalls.parse(called("weather", arguments), TOOLS)


def test_ids_never_repeat() -> None:
    """Not for the same answer, and not for the same call in it."""
    text = called(*CLOCK) + "\n" + called(*WEATHER)
    ids = [call["id"] for _ in range(3) for call in toolcalls.parse(text, TOOLS)[1]]
    assert len(set(ids)) == 6


def test_a_repeated_call_is_dropped() -> None:
    """A model that repeats itself until the limit calls once."""
    _, calls = toolcalls.parse("\n".join([called(*CLOCK)] * 5 + [called(*WEATHER)]), TOOLS)
    assert [call["function"]["name"] for call in calls] == ["clock", "weather"]


def test_without_parallel_calls_the_first_one_counts() -> None:
    """A remote server may send more."""
    _, calls = toolcalls.parse(called(*CLOCK) + called(*WEATHER), TOOLS, parallel=False)
    assert [call["function"]["name"] for call in calls] == ["clock"]


def test_a_structured_answer_has_calls_only_at_its_beginning() -> None:
    """JSON that holds the text of a call further in is an answer."""
    answer = f'{{"steps": [{ONE}]}}'
    assert toolcalls.parse(answer, TOOLS, structured=True) == (answer, ())
    assert not toolcalls.has_call(answer, TOOLS)
    assert all(toolcalls.has_call(text, TOOLS) for text in (ONE, called(*CLOCK)))
