"""Thoughts of a local model: templates that begin them, and marks that are control tokens."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.local.context import Context
from service.engine.local.detokenizer import Detokenizer
from service.engine.local.generation import Generation
from service.engine.local.input_processor import InputProcessor
from service.engine.local.model import LocalModel
from service.engine.local.submission import build_submission
from service.engine.local.template import ChatTemplate
from service.engine.thinking import ThinkingSplitter
from service.engine.types import Message, Request, TemplateInputs, Thinking
from service.settings import Settings

USER = (Message("user", "2 + 2?"),)
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
SHOWS = PLAIN + "{# <think> </think> #}"
BEGINS = PLAIN + "{% if enable_thinking | default(true) %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"
MISTRAL = PLAIN + "{# [THINK] [/THINK] #}"
CONTROLS = {7: "[THINK]", 8: "[/THINK]", 9: "[INST]"}
PIECES = {1: b"2 and 2", 2: b" It is 4.", **dict.fromkeys(CONTROLS, b"")}


def template_of(source: str | None) -> ChatTemplate:
    return ChatTemplate(source, special=(), bos="", eos="")


def thinking(source: str | None, request: Request) -> Thinking | None:
    """That of a model with this template. No file is read."""
    model = LocalModel.__new__(LocalModel)
    model._template = template_of(source)
    model._settings = Settings()
    return LocalModel.thinking(model, request)


@pytest.mark.parametrize(
    ("source", "request_", "expected"),
    [
        (PLAIN, Request(messages=USER), None),
        (None, Request(text="<think>"), None),
        (SHOWS, Request(text="<think>"), None),
        (SHOWS, Request(messages=USER), Thinking("<think>", "</think>")),
        (SHOWS, Request(messages=(Message("user", "<think>"),)), Thinking("<think>", "</think>")),
        (BEGINS, Request(messages=USER), Thinking("<think>", "</think>", begun=True)),
        (
            BEGINS,
            Request(messages=USER, template=TemplateInputs({"enable_thinking": False})),
            Thinking("<think>", "</think>"),
        ),
        (MISTRAL, Request(messages=USER), Thinking("[THINK]", "[/THINK]")),
    ],
)
def test_an_answer_thinks_as_its_template_says(
    source: str | None, request_: Request, expected: Thinking | None
) -> None:
    """The prompt may end inside the thoughts: then the answer has no opening mark."""
    assert thinking(source, request_) == expected


def test_only_the_marks_of_thoughts_are_asked_for_as_text() -> None:
    for source, marks in ((PLAIN, []), (MISTRAL, ["[THINK]", "[/THINK]"])):
        message = build_submission(Request(messages=USER), template_of(source), force=False)
        assert message["marks"] == marks


class Tokens:
    """A vocabulary in which marks of thoughts are control tokens, as in Mistral's and Cohere's."""

    endings: Sequence[int] = ()

    def piece(self, token: int) -> bytes:
        return PIECES[token]

    def written(self, token: int) -> bytes:
        return CONTROLS.get(token, "").encode() or PIECES[token]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        return [token for token, name in CONTROLS.items() if name == text and special] or [1, 1]


def test_marks_that_are_control_tokens_reach_the_splitter_and_other_control_tokens_stay_hidden() -> None:
    context = cast(Context, Tokens())
    processor = cast(Any, SimpleNamespace(_context=context))
    marks = InputProcessor._controls(processor, ["[THINK]", "[/THINK]", "<think>"])
    assert marks == {7, 8}  # a text of several tokens is text anyway
    generation = Generation(context, cast(Any, None), None, Detokenizer(), 99, None, False, marks)
    splitter = ThinkingSplitter(Thinking("[THINK]", "[/THINK]"))
    pieces = []
    for token in (7, 1, 9, 8, 2):
        generation._take(token, None)
        pieces.append(splitter.add(generation.take_fresh()[0]))
    pieces.append(splitter.end())
    assert ("".join(thoughts for thoughts, _ in pieces), "".join(text for _, text in pieces)) == ("2 and 2", "It is 4.")
