"""Warm-up: the tokens of a prompt before its first input, which can be decoded before the first request.

In: a prompt. Out: requests with inputs that differ from the first character on. The tokens that they share are the
prompt's fixed prefix. If the tokenizer merges the last fixed character with the first input character, that token
differs and is left out.
Not here: the decoding (`engine`).
"""

from __future__ import annotations

from service.engine.types import Request
from service.prompts import render
from service.prompts.file import Prompt

VARIED = ("Aa", "7,", "\n\n(", "é")  # a letter, a digit, a line end, a character outside ASCII


def variants(prompt: Prompt) -> tuple[Request, ...]:
    """Requests that share exactly the prompt's fixed prefix."""
    return tuple(
        Request(messages=render.render(prompt.spec.messages, dict.fromkeys(prompt.variables, value)))
        for value in VARIED
    )
