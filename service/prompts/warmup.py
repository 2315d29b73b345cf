"""What of a prompt can be decoded before anybody asks: everything up to its first input.

What comes in: a prompt. What goes out: requests that differ in nothing but their inputs, and in those from the first
character on. Their common beginning, in tokens, is the prompt's: where an input's first character joins the text before
it to one token, that token is not part of it.
"""

from __future__ import annotations

from service.engine.types import Request
from service.prompts import render
from service.prompts.file import Prompt

VARIED = ("Aa", "7,", "\n\n(", "é")  # a letter, a digit, a line's end, a character outside ASCII


def variants(prompt: Prompt) -> tuple[Request, ...]:
    """Requests whose common beginning is the prompt's."""
    return tuple(
        Request(messages=render.render(prompt.spec.messages, dict.fromkeys(prompt.variables, value)))
        for value in VARIED
    )
