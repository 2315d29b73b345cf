"""Renders a conversation to prompt segments with the chat template of the model file.

In: messages, tools, a date, and further inputs of a request. Out: segments (text, special).
Not here: tokenizing, the sandbox (`template_environment`).

The template's own text may become control tokens. A caller's text never does: a message that contains `<|im_end|>` is a
message about `<|im_end|>`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import TemplateError

from service import strict_json
from service.engine import toolcalls
from service.engine.local.protocol import Segments
from service.engine.local.template_environment import GIVEN, TemplateEnvironment, strftime_on
from service.engine.types import Message, TemplateInputs
from service.errors import NotSupported, RequestError, did_you_mean

_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")
MAX_SOURCE = 1 << 17  # characters of a template. To compile as many takes about a second, once
THINKING = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
"""Marks around a model's thoughts: of DeepSeek, Qwen and most others, of Seed, of Mistral, of Cohere."""
NOTHING_MORE = TemplateInputs()
CONTINUED = "CONTINUE_FINAL_MESSAGE_TAG "  # behind the text that is continued. Some templates look for just this word
FIRST_MARK = 0xF0000  # Supplementary Private Use Area-A: a mark stands for a control token's text inside a message


class ChatTemplate:
    """One model's template."""

    def __init__(
        self,
        source: str | None,
        *,
        special: Sequence[str],
        bos: str,
        eos: str,
        controls: Mapping[str, int] | None = None,
    ) -> None:
        """`special`: texts that input must never become. `controls`: the ids of the model's control tokens."""
        self._source = source
        self._controls = controls or {}
        self._special = (
            re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True)))) if special else None
        )
        self._bos, self._eos = bos, eos
        self._template = None
        self._names: frozenset[str] = frozenset()
        if source is not None:
            self._environment = TemplateEnvironment()
            try:
                if len(source) > MAX_SOURCE:
                    raise TemplateError(f"it has more than {MAX_SOURCE} characters")
                self._template, self._names = self._environment.compiled(source)
            except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
                raise NotSupported(f"The model's chat template cannot be used: {error}.", key="chat_template") from None

    @property
    def reads_date(self) -> bool:
        """Whether the date may change the prompt."""
        return "strftime_now" in self._names

    @property
    def has_source(self) -> bool:
        """Whether the model has a chat template."""
        return self._source is not None

    @property
    def shows_tools(self) -> bool:
        """Whether the template shows the model its tools. Otherwise a message does (`toolcalls.generic`)."""
        return self._source is not None and toolcalls.reads_tools(self._source)

    @property
    def calls(self) -> toolcalls.Form:
        """The form in which the model writes its calls."""
        return toolcalls.form_of(self._source or "", self._controls)

    @property
    def thinking(self) -> tuple[str, str] | None:
        """The marks around the model's thoughts before its answer. None if the template has none."""
        written = self._source or ""
        return next((marks for marks in THINKING if marks[1] in written), None)

    def segments(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        inputs: TemplateInputs = NOTHING_MORE,
        *,
        date: str | None = None,
    ) -> Segments:
        """The prompt up to the beginning of the assistant's answer, or to the end of the message that is continued.

        `date` is an ISO date. A template that reads the date cannot be rendered without one.

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
        self._check_values(inputs.values)
        given = [list(tools), list(inputs.documents), dict(inputs.values)]
        marks: dict[str, str] = {}
        written = json.dumps([[asdict(message) for message in messages], given], ensure_ascii=False, default=str)
        used = set(_PRIVATE.findall(written))
        free = (chr(code) for code in range(FIRST_MARK, sys.maxunicode + 1) if chr(code) not in used)
        plain = [self._plain(message, marks, free) for message in messages]
        if inputs.continue_final_message:
            _mark_continued(plain)
        tools, documents, values = self._clean(given, marks, free)
        values |= {
            "messages": plain,
            "tools": tools or None,
            "documents": documents or None,
            "add_generation_prompt": inputs.add_generation_prompt and not inputs.continue_final_message,
            "bos_token": self._bos,
            "eos_token": self._eos,
            "strftime_now": strftime_on(date),
        }
        try:
            text = self._environment.rendered(self._template, values, len(written))
        except TemplateError as error:
            raise RequestError(f"The model's chat template refuses these messages: {error}.", key="messages") from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            raise RequestError(
                f"The model's chat template cannot render these messages: {error}.", key="messages"
            ) from None
        return split(_cut(text) if inputs.continue_final_message else text, marks)

    def _check_values(self, values: Mapping[str, Any]) -> None:
        """Raises RequestError for a name that a caller may not set, and for a misspelt one. Others have no effect."""
        for name in values:
            if name in GIVEN or name in self._environment.globals:
                raise RequestError(
                    "chat_template_kwargs sets a name that the engine gives the template itself.",
                    key="chat_template_kwargs",
                    remedy="Use the parameter of the request that has this name.",
                )
            if name not in self._names and (meant := did_you_mean(name, self._names)):
                raise RequestError(f"chat_template_kwargs has an unknown name; {meant}", key="chat_template_kwargs")

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
        if message.reasoning is not None:
            plain["reasoning_content"] = message.reasoning
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


def _mark_continued(messages: list[dict[str, Any]]) -> None:
    """Mark the end of the text that is continued. Raises RequestError."""
    if not messages or messages[-1]["role"] != "assistant" or "tool_calls" in messages[-1]:
        raise RequestError(
            "continue_final_message continues a message of the assistant, and the last message is none.",
            key="continue_final_message",
            remedy="Put the beginning of the answer into a last message with the role assistant.",
        )
    messages[-1] = {**messages[-1], "content": messages[-1]["content"] + CONTINUED}


def _cut(text: str) -> str:
    """The text up to the mark. Space in front of it goes where the template cuts the space behind it."""
    at = text.rfind(CONTINUED.strip())
    if at < 0:
        raise RequestError(
            "The model's chat template does not write the last message as it is, so it cannot be continued.",
            key="continue_final_message",
        )
    return text[:at] if text.startswith(CONTINUED, at) else text[:at].rstrip()
