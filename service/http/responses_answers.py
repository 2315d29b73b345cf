"""The answers of /v1/responses, whole and streamed.

In: the answer objects of a chat (`openai_answers`), whole or in chunks. Out: OpenAI's response object, or its events.
Not here: requests, engines, routes.

Both forms are made by the same steps, so a whole answer is the last event of a streamed one.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any

from service.errors import SameboatError
from service.http import problems, sse
from service.http.responses_types import ResponsesBody

Event = dict[str, Any]
Chunks = AsyncGenerator[Sequence[Mapping[str, Any]], None]


class ResponseWriter:
    """One response while it grows. Each method returns the events of its step."""

    def __init__(self, body: ResponsesBody, model: str) -> None:
        self._number = 0
        self._open: dict[str, Any] | None = None  # the last item of the output, while it grows
        self._call: int | None = None  # the index of the call that it is
        options = body.text.model_dump(exclude_none=True) if body.text is not None else {}
        self.response: dict[str, Any] = {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response",
            "created_at": int(time.time()),
            "completed_at": None,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": None,
            "metadata": body.metadata or {},
            "model": model,
            "output": [],
            "parallel_tool_calls": body.parallel_tool_calls,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"}, **options},
            "tool_choice": body.tool_choice if body.tool_choice is not None else "auto",
            "tools": body.tools or [],
            "top_logprobs": body.top_logprobs,
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
        }

    @property
    def begun(self) -> bool:
        """Whether there was an event."""
        return self._number > 0

    def begin(self) -> list[Event]:
        """The first events."""
        return [
            self._event("response.created", response=self._now()),
            self._event("response.in_progress", response=self._now()),
        ]

    def add(self, chunk: Mapping[str, Any]) -> list[Event]:
        """The events of one chunk of the chat."""
        events: list[Event] = []
        for choice in chunk["choices"]:
            logprobs = (choice.get("logprobs") or {}).get("content") or []
            delta = choice["delta"]
            thoughts = delta.get("reasoning_content")
            if thoughts:
                events += self._think(thoughts)
            if delta.get("content") or (logprobs and not thoughts):
                events += self._text(delta.get("content") or "", logprobs)
            for call in delta.get("tool_calls") or ():
                events += self._arguments(call)
            if choice.get("finish_reason") is not None:
                events += self._finish(cut=choice["finish_reason"] == "length")
        if chunk.get("usage"):
            self.response["usage"] = _usage(chunk["usage"])
        if "sameboat" in chunk:
            self.response["sameboat"] = chunk["sameboat"]
        return events

    def end(self) -> list[Event]:
        """The last event."""
        return [self._event(f"response.{self.response['status']}", response=self._now())]

    def fail(self, error: SameboatError) -> list[Event]:
        """The last event of a response that an error ended."""
        status, body = problems.body_of(error, openai=True)
        code = "rate_limit_exceeded" if status == 429 else "server_error"
        self.response |= {"status": "failed", "error": {"code": code, "message": body["error"]["message"]}}
        return self.end()

    def whole(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        """The response of a whole chat answer."""
        [choice] = chat["choices"]
        message = choice["message"]
        calls = [{"index": at, **call} for at, call in enumerate(message.get("tool_calls") or ())]
        thoughts = {"reasoning_content": message.get("reasoning_content")}
        self.add({"choices": [{"delta": thoughts}]})
        delta = {"content": message.get("content"), "tool_calls": calls}
        self.add({**chat, "choices": [{**choice, "delta": delta}]})
        return self.response

    def _think(self, text: str) -> Iterator[Event]:
        """A piece of the thoughts before the answer."""
        if self._open is None:
            begun: dict[str, Any] = {"id": f"rs_{secrets.token_hex(24)}", "type": "reasoning", "status": "in_progress"}
            part = {"type": "reasoning_text", "text": ""}
            yield from self._open_with({**begun, "summary": [], "content": []}, part)
        item, place = self._current()
        item["content"][0]["text"] += text
        yield self._event("response.reasoning_text.delta", **place, content_index=0, delta=text)

    def _text(self, text: str, logprobs: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        """A piece of text, in a message."""
        if self._open is None or self._open["type"] != "message":
            yield from self._done()
            yield from self._open_message()
        item, place = self._current()
        part = item["content"][0]
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._event("response.output_text.delta", **place, content_index=0, delta=text, logprobs=list(logprobs))

    def _open_message(self) -> Iterator[Event]:
        item: dict[str, Any] = {
            "id": f"msg_{secrets.token_hex(24)}", "type": "message", "status": "in_progress", "role": "assistant",
            "content": [],
        }  # fmt: skip
        yield from self._open_with(item, {"type": "output_text", "text": "", "annotations": [], "logprobs": []})

    def _open_with(self, item: dict[str, Any], part: dict[str, Any]) -> Iterator[Event]:
        """A new item with one part of content."""
        yield self._opened(item)
        _, place = self._current()
        yield self._event("response.content_part.added", **place, content_index=0, part=dict(part))
        item["content"].append(part)

    def _arguments(self, call: Mapping[str, Any]) -> Iterator[Event]:
        """A piece of a function call. The first one has its name."""
        function = call["function"]
        if self._open is None or self._call != call["index"]:
            yield from self._done()
            self._call = call["index"]
            yield self._opened({
                "id": f"fc_{secrets.token_hex(24)}", "type": "function_call", "status": "in_progress",
                "call_id": call["id"], "name": function["name"], "arguments": "",
            })  # fmt: skip
        item, place = self._current()
        piece = function.get("arguments") or ""
        item["arguments"] += piece
        if piece:
            yield self._event("response.function_call_arguments.delta", **place, delta=piece)

    def _finish(self, *, cut: bool) -> Iterator[Event]:
        """The end of the answer. `cut`: the limit of tokens ended it."""
        thinks = self._open is not None and self._open["type"] == "reasoning"
        if not self.response["output"] or (thinks and not cut):
            yield from self._done()
            yield from self._open_message()
        yield from self._done("incomplete" if cut else "completed")
        self.response["status"] = "incomplete" if cut else "completed"
        if cut:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            self.response["completed_at"] = int(time.time())

    def _opened(self, item: dict[str, Any]) -> Event:
        self._open = item
        self.response["output"].append(item)
        _, place = self._current()
        return self._event("response.output_item.added", output_index=place["output_index"], item=_copy(item))

    def _done(self, status: str = "completed") -> Iterator[Event]:
        """The item that grew is complete."""
        if self._open is None:
            return
        item, place = self._current()
        if item["type"] == "message":
            part = _copy(item)["content"][0]
            at = {**place, "content_index": 0}
            yield self._event("response.output_text.done", **at, text=part["text"], logprobs=part["logprobs"])
            yield self._event("response.content_part.done", **at, part=part)
        elif item["type"] == "reasoning":
            part, at = _copy(item)["content"][0], {**place, "content_index": 0}
            yield self._event("response.reasoning_text.done", **at, text=part["text"])
            yield self._event("response.content_part.done", **at, part=part)
        else:
            yield self._event(
                "response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"]
            )
        item["status"] = status
        self._open = self._call = None
        yield self._event("response.output_item.done", output_index=place["output_index"], item=_copy(item))

    def _current(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The item that grows, and its place."""
        assert self._open is not None
        return self._open, {"item_id": self._open["id"], "output_index": len(self.response["output"]) - 1}

    def _now(self) -> dict[str, Any]:
        """The response as it is now."""
        return {**self.response, "output": [_copy(item) for item in self.response["output"]]}

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event


def _copy(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item that later pieces do not change."""
    if "content" not in item:
        return dict(item)
    logprobs = [{"logprobs": list(part["logprobs"])} if "logprobs" in part else {} for part in item["content"]]
    return {**item, "content": [{**part, **own} for part, own in zip(item["content"], logprobs, strict=True)]}


def _usage(chat: Mapping[str, Any]) -> dict[str, Any]:
    """A chat's usage under the names of this route."""
    cached = (chat.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    reasoning = (chat.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": chat["total_tokens"],
    }


async def events(chunks: Chunks, writer: ResponseWriter) -> AsyncGenerator[str, None]:
    """The events of a streamed response. An error after the first one ends it as failed.

    Raises:
        SameboatError: if there was no event before it.
    """
    try:
        async with contextlib.aclosing(chunks) as batches:
            async for batch in batches:
                steps = [] if writer.begun else writer.begin()
                for chunk in batch:
                    steps += writer.add(chunk)
                yield _frames(steps)
    except SameboatError as error:
        if not writer.begun:
            raise
        yield _frames(writer.fail(error))
    else:
        yield _frames(writer.end())


def _frames(steps: Sequence[Event]) -> str:
    return "".join(sse.frame(event, event["type"]) for event in steps)
