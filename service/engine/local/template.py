"""Renders a conversation to prompt segments with the chat template of the model file.

In: messages, tools. Out: segments (text, special).
Not here: tokenizing.

The template's own text may become control tokens. A caller's text never does: a message that contains `<|im_end|>` is a
message about `<|im_end|>`. The sandbox is jinja2's immutable one, with the helpers that templates expect (transformers,
chat_template_utils).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from service import strict_json
from service.engine import toolcalls
from service.engine.local.protocol import Segments
from service.engine.types import Message
from service.errors import NotSupported, RequestError

_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")
FIRST_MARK = 0xF0000  # Supplementary Private Use Area-A: a mark stands for a control token's text inside a message


class ChatTemplate:
    """One model's template."""

    def __init__(self, source: str | None, *, special: Sequence[str], bos: str, eos: str) -> None:
        self._source = source
        self._special = (
            re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True)))) if special else None
        )
        self._bos, self._eos = bos, eos
        self._template = None
        if source is not None:
            environment = ImmutableSandboxedEnvironment(
                trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], autoescape=False
            )
            environment.filters["tojson"] = _tojson
            environment.globals["raise_exception"] = _raise
            try:
                self._template = environment.from_string(source)
            except (TemplateError, RecursionError) as error:
                raise NotSupported(f"The model's chat template cannot be used: {error}.", key="chat_template") from None

    @property
    def takes_tools(self) -> bool:
        """Whether the template shows the model its tools and asks for calls in the form that is enforced."""
        return self._source is not None and toolcalls.template_has_tools(self._source)

    def segments(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> Segments:
        """The prompt up to the beginning of the assistant's answer.

        Raises:
            NotSupported: if the model has no chat template.
            RequestError: if the template refuses the messages or cannot render them.
        """
        if self._template is None:
            raise NotSupported(
                "This model has no chat template, so it cannot answer messages.",
                key="messages",
                remedy="Use /v1/completions with raw text, or an instruction-tuned model.",
            )
        marks: dict[str, str] = {}
        written = json.dumps([[asdict(message) for message in messages], list(tools)], ensure_ascii=False, default=str)
        used = set(_PRIVATE.findall(written))
        free = (chr(code) for code in range(FIRST_MARK, sys.maxunicode + 1) if chr(code) not in used)
        plain = [self._plain(message, marks, free) for message in messages]
        try:
            text = self._template.render(
                messages=plain,
                tools=[self._clean(dict(tool), marks, free) for tool in tools] or None,
                add_generation_prompt=True,
                bos_token=self._bos,
                eos_token=self._eos,
            )
        except TemplateError as error:
            raise RequestError(f"The model's chat template refuses these messages: {error}.", key="messages") from None
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise RequestError(
                f"The model's chat template cannot render these messages: {error}.", key="messages"
            ) from None
        return split(text, marks)

    def raw(self, text: str, *, special: bool = False) -> Segments:
        """Raw text as one piece. Control tokens in it are read only if `special`."""
        return [(text, special)]

    def _clean(self, value: Any, marks: dict[str, str], free: Iterator[str]) -> Any:
        """A caller's value with the texts of control tokens replaced by marks, which are the next `free` signs."""

        def mark(match: re.Match[str]) -> str:
            for sign, text in marks.items():
                if text == match[0]:
                    return sign
            sign = next(free)
            marks[sign] = match[0]
            return sign

        def clean(value: Any) -> Any:
            if isinstance(value, str):
                return self._special.sub(mark, value) if self._special else value
            if isinstance(value, Mapping):
                return {clean(key): clean(item) for key, item in value.items()}
            if isinstance(value, (list, tuple)):
                return [clean(item) for item in value]
            return value

        return clean(value)

    def _plain(self, message: Message, marks: dict[str, str], free: Iterator[str]) -> dict[str, Any]:
        """The message as templates expect it."""
        plain = message.to_openai()
        if message.tool_calls:
            plain["tool_calls"] = [_call(call) for call in message.tool_calls]
        cleaned: dict[str, Any] = self._clean(plain, marks, free)
        return cleaned


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as templates expect it: its arguments are an object, where OpenAI's API has that object's JSON text."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError("A tool call in messages has no function with a name.", key="messages")
    arguments = function.get("arguments") or "{}"
    try:
        value = strict_json.loads(arguments) if isinstance(arguments, str) else arguments
    except strict_json.NotJson as error:
        raise RequestError(f"The text of a tool call's arguments in messages {error}.", key="messages") from None
    return {**call, "function": {**function, "arguments": value}}


def split(text: str, marks: Mapping[str, str]) -> Segments:
    """Cut rendered text at its marks. A mark stands for plain text. The rest may hold control tokens."""
    if not marks:
        return [(text, True)]
    segments: Segments = []
    for part in re.split(f"([{''.join(marks)}])", text):
        if part:
            segments.append((marks[part], False) if part in marks else (part, True))
    return segments


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)
