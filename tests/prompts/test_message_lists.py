"""A list of messages as an input takes the place of the message that holds only its placeholder."""

from __future__ import annotations

from typing import Any

import pytest

from service.errors import InputsError
from service.prompts.file import loads

TEXT = """
name: history
inputs: {type: object, properties: {history: {type: array}, question: {type: string}}}
messages:
  - {role: system, content: "You help."}
  - {role: user, content: "{{history}}"}
  - {role: user, content: "{{question}}"}
"""
TURNS = [{"role": "user", "content": "I am {{question}}."}, {"role": "assistant", "content": "Hello."}]


def roles(text: str, history: Any) -> list[tuple[str, str]]:
    messages = loads(text).messages({"history": history, "question": "Who?"})
    return [(message.role, message.content) for message in messages]


def test_turns_are_spliced_and_never_expanded() -> None:
    assert roles(TEXT, TURNS) == [
        ("system", "You help."), ("user", "I am {{question}}."), ("assistant", "Hello."), ("user", "Who?"),
    ]  # fmt: skip
    assert roles(TEXT, []) == [("system", "You help."), ("user", "Who?")]


def test_other_lists_and_other_places_stay_data() -> None:
    """A list of texts, a list inside a longer message, and an array that declares other items."""
    assert roles(TEXT, ["a", "b"])[1] == ("user", '["a", "b"]')
    assert roles(TEXT.replace('"{{history}}"', '"So far: {{history}}"'), TURNS)[1][1].startswith("So far: [{")
    declared = TEXT.replace("{type: array}", "{type: array, items: {type: object, properties: {name: {}}}}")
    assert roles(declared, [])[1] == ("user", "[]")


@pytest.mark.parametrize(
    ("history", "place"),
    [
        ([*TURNS, "text"], "/history/2"), ([{"role": "user"}], "/history/0"),
        ([{**TURNS[0], "name": "x"}], "/history/0"),
        ([{"role": "tool", "content": "x"}], "/history/0/role"), ([{"role": "user", "content": 3}], "/history/0"),
    ],
)  # fmt: skip
def test_a_list_that_holds_something_besides_messages_is_refused(history: list[Any], place: str) -> None:
    with pytest.raises(InputsError) as error:
        roles(TEXT, history)
    assert error.value.problems[0][0] == place
