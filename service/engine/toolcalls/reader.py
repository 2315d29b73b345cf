"""Finds the calls in an answer, in all forms that models write.

In: an answer's text, whole or in pieces, and the tools. Out: the text beside the calls, and OpenAI's `tool_calls`.
Not here: grammars. An answer of a remote engine had none, so arguments are checked at the end (`check`).

A call is JSON that names a declared function, `{"name": "now", "arguments": {}}`, also with `parameters`, or Mistral's
`now[ARGS]{}`. It may stand behind a mark such as `<tool_call>`, behind a Markdown fence, in a list, or bare. Other
JSON, fences and markup are text. Text is held back only while it may be the beginning of a call.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.engine.toolcalls.definitions import allowed, arguments_grammar
from service.errors import RequestError

FENCE, LIST = "```", "["
MARKS = (
    "<tool_call>", "<tool_calls>", "<function_call>", "<tools>", "<|tool_call|>", "<|tool_call>", "<|python_tag|>",
    "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
)  # fmt: skip
MAX_SPACE = 64  # characters of white space in a row, at the beginning of a call
_CLOSERS = ("```", "</tool_call>", "</tool_calls>", "</function_call>", "</tools>", "<|/tool_call|>", "<tool_call|>")
_SIGNS = " \t\r\n]},;"  # that close a call or divide calls
_NAME_KEY = re.compile(r'"(?:name|type)"\s*:\s*"')
_BEGINNINGS = re.compile(r"[`<\[{]")


class _Unfinished(Exception):
    """The text ends where a call may yet begin."""


@dataclass(frozen=True)
class _Opening:
    """The beginning of a call, up to its arguments."""

    name: str
    end: int
    braces: int  # that close the call behind its arguments


class _Scanner:
    """Reads the beginning of a call at one place of a text. Raises _Unfinished where the text ends first."""

    def __init__(self, text: str, at: int, names: Sequence[str]) -> None:
        self.text = text
        self.at = at
        self.names = names

    def opening(self, *, first: bool) -> _Opening | None:
        """The beginning of a call. `first`: nothing stands before it, so that its mark may be a hidden token."""
        marked = self._wrappers()
        if self._word("{"):
            self._word("{")  # some templates show their form with doubled braces, and models copy it
            return self._json()
        return self._named() if first or marked else None

    def _wrappers(self) -> bool:
        """Pass marks, a fence and the bracket of a list. Whether there was a mark."""
        marked = False
        while True:
            mark = self._word(FENCE, *MARKS)
            if mark is None:
                break
            marked = marked or mark != FENCE
            if mark == FENCE:
                self._pass(r"\w*")
            self._space()
        if self._word(LIST):
            self._space()
        return marked

    def _json(self) -> _Opening | None:
        """The keys of a call, behind its first brace."""
        braces = 1
        while True:
            self._space()
            key = self._word('"type"', '"id"', '"function"', '"name"')
            if key is None or not self._colon():
                return None
            if key == '"name"':
                break
            if key == '"function"' and self._word("{"):
                braces += 1
                continue
            if not self._text_and_comma():
                return None
        name = self._word(*(f'"{name}"' for name in self.names))
        self._space()
        if name is None or not self._word(","):
            return None
        self._space()
        if self._word('"arguments"', '"parameters"') is None or not self._colon() or not self._peek("{"):
            return None
        return _Opening(name.strip('"'), self.at, braces)

    def _named(self) -> _Opening | None:
        """Mistral's newer form. Its marks are hidden if they are control tokens."""
        name = self._word(*self.names)
        if name is None:
            return None
        if self._word("[CALL_ID]"):
            self._pass(r"\w*")
        if self._word("[ARGS]") is None:
            return None
        self._space()
        return _Opening(name, self.at, 0) if self._peek("{") else None

    def _text_and_comma(self) -> bool:
        if not self._word('"'):
            return False
        self._pass(r"[^\"\\]*")
        if not self._word('"'):
            return False
        self._space()
        return self._word(",") is not None

    def _colon(self) -> bool:
        self._space()
        if not self._word(":"):
            return False
        self._space()
        return True

    def _peek(self, character: str) -> bool:
        if self.at == len(self.text):
            raise _Unfinished
        return self.text[self.at] == character

    def _space(self) -> None:
        begun = self.at
        while self.at < len(self.text) and self.text[self.at].isspace() and self.at - begun < MAX_SPACE:
            self.at += 1

    def _pass(self, pattern: str) -> None:
        match = re.compile(pattern).match(self.text, self.at)
        assert match is not None, "these patterns match the empty text"
        self.at = match.end()
        if self.at == len(self.text):
            raise _Unfinished

    def _word(self, *words: str) -> str | None:
        """The longest of these words that stands here. None if there is none."""
        rest = self.text[self.at : self.at + 80]
        if any(len(word) > len(rest) and word.startswith(rest) for word in words):
            raise _Unfinished
        word = max((word for word in words if rest.startswith(word)), key=len, default=None)
        self.at += len(word) if word is not None else 0
        return word


@dataclass
class CallDelta:
    """What one piece of an answer adds: text, and pieces of calls in the form of OpenAI's streams."""

    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Call:
    name: str
    braces: int
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")
    arguments: str = ""
    sent: int | None = None  # characters of the arguments that were sent. None: not even the name
    depth: int = 0
    in_text: bool = False
    escaped: bool = False

    def take(self, text: str) -> int:
        """Add characters up to the end of the arguments. Returns how many were taken."""
        for count, character in enumerate(text, 1):
            if self.escaped:
                self.escaped = False
            elif self.in_text:
                self.escaped = character == "\\"
                self.in_text = character != '"'
            elif character == '"':
                self.in_text = True
            elif character in "{[":
                self.depth += 1
            elif character in "}]":
                self.depth -= 1
                if not self.depth:
                    self.arguments += text[:count]
                    return count
        self.arguments += text
        return len(text)

    @property
    def complete(self) -> bool:
        return bool(self.arguments) and not self.depth

    def delta(self, index: int) -> list[dict[str, Any]]:
        """The pieces that were not sent yet."""
        pieces: list[dict[str, Any]] = []
        if self.sent is None:
            function = {"name": self.name, "arguments": ""}
            pieces.append({"index": index, "id": self.id, "type": "function", "function": function})
            self.sent = 0
        if len(self.arguments) > self.sent:
            pieces.append({"index": index, "function": {"arguments": self.arguments[self.sent :]}})
            self.sent = len(self.arguments)
        return pieces


class CallReader:
    """One answer while it grows.

    `parallel`: further calls count, else they are dropped. A call that repeats an earlier one is dropped too.
    `structured`: an answer without calls is JSON, so a call can only be at its beginning.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]], *, parallel: bool = True, structured: bool = False) -> None:
        self._names = list(allowed(tools, None)[0])
        self._parallel = parallel
        self._structured = structured
        self._held = ""
        self._open: _Call | None = None
        self._complete: list[_Call] = []
        self._behind_call = False
        self._wrote = False  # text other than white space

    @property
    def calls(self) -> tuple[dict[str, Any], ...]:
        """The complete calls, in OpenAI's shape."""
        return tuple(
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self._complete
        )

    @property
    def unfinished(self) -> bool:
        """Whether a call has begun and is not complete."""
        return self._open is not None

    def add(self, text: str) -> CallDelta:
        """The text that is surely no call, and the pieces of calls."""
        delta = CallDelta()
        self._held += text
        while self._held:
            if self._open is not None:
                self._read_arguments(delta)
            elif (self._behind_call and self._skip_closers()) or not self._read_text(delta):
                break
        return delta

    def end(self, *, cut: bool = False) -> str:
        """The text that was held back and became no call. `cut`: a limit ended the answer, perhaps within a call."""
        held, self._held = self._held, ""
        if self._open is not None or (self._behind_call and _may_close(held.strip())):
            return ""
        if cut and (_NAME_KEY.search(held) or any(mark[:3] in held for mark in MARKS)):
            return ""
        return held.rstrip() if self._complete else held

    def _read_text(self, delta: CallDelta) -> bool:
        """Pass text up to the next call. Whether a call begins."""
        for start, opening in self._openings():
            if opening is None:  # it may yet become one
                sure = self._held[:start].rstrip()
                self._held = self._held[len(sure) :]
                self._say(delta, sure)
                return False
            before = self._held[:start].rstrip()
            self._held = self._held[opening.end :]
            self._say(delta, before)
            self._open = _Call(opening.name, opening.braces)
            return True
        sure = self._held.rstrip()
        self._held = self._held[len(sure) :]
        self._say(delta, sure)
        return False

    def _openings(self) -> Iterator[tuple[int, _Opening | None]]:
        """Places where a call begins, or (None) may yet begin."""
        begin = len(self._held) - len(self._held.lstrip()) if not self._wrote else None
        places = [] if begin is None else [begin]
        if not self._structured:
            places += [match.start() for match in _BEGINNINGS.finditer(self._held) if match.start() != begin]
        for start in places:
            try:
                opening = _Scanner(self._held, start, self._names).opening(first=start == begin)
            except _Unfinished:
                yield start, None
                continue
            if opening is not None:
                yield start, opening

    def _say(self, delta: CallDelta, text: str) -> None:
        if text:
            self._wrote = True
            delta.text += text

    def _skip_closers(self) -> bool:
        """Drop what closes a call. Whether nothing else is there yet."""
        while True:
            self._held = self._held.lstrip(_SIGNS)
            if not self._held:
                return True
            try:
                begins = _Scanner(self._held, 0, self._names).opening(first=False) is not None
            except _Unfinished:
                return True
            closer = next((closer for closer in _CLOSERS if self._held.startswith(closer)), None)
            if closer is None or begins:
                if not begins and _may_close(self._held):
                    return True
                self._held = ("" if begins or not self._wrote else "\n") + self._held
                self._behind_call = False
                return False
            self._held = self._held[len(closer) :]

    def _read_arguments(self, delta: CallDelta) -> None:
        call = self._open
        assert call is not None
        taken = call.take(self._held)
        self._held = self._held[taken:]
        index = len(self._complete)
        if call.complete:
            self._open, self._behind_call = None, True
            if index and (not self._parallel or any(_same(call, other) for other in self._complete)):
                return
            self._complete.append(call)
        if index == 0 or call.complete:  # further calls come whole, because a repeated one is dropped
            delta.calls += call.delta(index)


def _may_close(text: str) -> bool:
    """Whether this may be the beginning of a closing mark."""
    return any(closer.startswith(text) for closer in _CLOSERS)


def _same(call: _Call, other: _Call) -> bool:
    return (call.name, call.arguments) == (other.name, other.arguments)


def parse(
    text: str, tools: Sequence[Mapping[str, Any]], *, parallel: bool = True, structured: bool = False, cut: bool = False
) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The text beside the calls, and the complete calls in OpenAI's shape. Ids are random, so none comes twice.

    `cut`: a limit ended the answer. An incomplete call at its end is left out.

    Raises:
        RequestError: if the answer ends within a call and was not cut, or arguments break the function's schema.
    """
    reader = CallReader(tools, parallel=parallel, structured=structured)
    visible = reader.add(text).text + reader.end(cut=cut)
    check(reader, tools, cut=cut)
    return (visible.strip() if reader.calls else visible), reader.calls


def check(reader: CallReader, tools: Sequence[Mapping[str, Any]], *, cut: bool = False) -> None:
    """Whether the calls of a finished answer are complete and obey their schemas.

    Raises:
        RequestError: if not.
    """
    if reader.unfinished and not cut:
        raise RequestError("The answer ends within a tool call.", key="tool_calls")
    functions, _ = allowed(tools, None)
    for call in reader.calls:
        name = call["function"]["name"]
        grammar = arguments_grammar(functions[name].get("parameters"), "/tools")
        _, problems = grammar.check(call["function"]["arguments"])
        if problems:
            raise RequestError(f"The arguments of {name} are not valid: {problems[0]}.", key="tool_calls")


def has_call(text: str, tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the answer of a request that wants JSON, or a call, is a call."""
    reader = CallReader(tools, structured=True)
    reader.add(text)
    return bool(reader.calls) or reader.unfinished
