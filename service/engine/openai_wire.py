"""OpenAI's API from the client's side: a request becomes path and body, events become an answer.

In: requests, events. Out: JSON values, chunks, the parts of an answer.
Not here: connections, retries.

Servers may ignore a parameter, so the answer is checked for a requested schema and requested log-probabilities.
Protocol: OpenAI's API reference, /v1/chat/completions and /v1/completions, streamed as server-sent events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.engine import toolcalls
from service.engine.remote_kinds import KINDS, RemoteKind
from service.engine.schema import compiled
from service.engine.types import Alternative, Chunk, FinishReason, Logprob, Request, Usage
from service.errors import NotSupported, RemoteError


def request_body(request: Request, model: str, kind: RemoteKind = KINDS["openai"]) -> tuple[str, dict[str, Any]]:
    """Path and JSON body. Raises NotSupported for a parameter that this kind of server does not have."""
    _refuse(request, kind)
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.frequency_penalty:
        body["frequency_penalty"] = sampling.frequency_penalty
    if sampling.presence_penalty:
        body["presence_penalty"] = sampling.presence_penalty
    for name, theirs in kind.sampling.items():
        value = getattr(sampling, name)
        body[theirs] = kind.no_top_k if name == "top_k" and not value else value
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    if kind.ids_by == "return_token_ids":
        body["return_token_ids"] = True
    logprobs = request.logprobs
    if kind.ids_by == "logprobs":  # the token ids come with them, and not without an alternative
        logprobs = max(1, logprobs or 0)
    if request.text is not None or request.tokens is not None:
        if logprobs is not None:
            body["logprobs"] = logprobs
        if request.schema is not None or request.any_json:
            body |= _text_schema(request, kind)
        if request.suffix is not None:
            body["suffix"] = request.suffix
        prompt = list(request.tokens) if request.tokens is not None else request.text
        return "completions", {**body, "prompt": prompt}
    body["messages"] = [message.to_openai() for message in request.messages]
    if logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": logprobs}
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
        body["parallel_tool_calls"] = request.parallel_tools
    if request.schema is not None or request.any_json:
        body["response_format"] = _response_format(request)
    return "chat/completions", body


def _response_format(request: Request) -> dict[str, Any]:
    if request.schema is None:
        return {"type": "json_object"}
    wrapped = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
    return {"type": "json_schema", "json_schema": wrapped}


def _text_schema(request: Request, kind: RemoteKind) -> dict[str, Any]:
    """The schema of an answer to raw text, under the server's own name."""
    schema = json.loads(request.schema) if request.schema is not None else {"type": "object"}
    if kind.text_schema == "structured_outputs":
        return {"structured_outputs": {"json": schema}}
    if kind.text_schema == "response_format":
        return {"response_format": _response_format(request)}
    return {"json_schema": schema}


def _refuse(request: Request, kind: RemoteKind) -> None:
    """Nothing that would change the answer is quietly dropped."""
    sampling = request.sampling
    lacks = f"A remote engine of the kind {kind.name} has no"
    refused = {
        "choices": (bool(request.choices) and kind.labels is None, f"{lacks} way to score labels."),
        "mode": (request.mode == "exact", "Nobody can promise exact answers of a remote engine."),
        "top_k": (bool(sampling.top_k) and "top_k" not in kind.sampling, f"{lacks} top-k."),
        "min_p": (bool(sampling.min_p) and "min_p" not in kind.sampling, f"{lacks} min-p."),
        "repeat_penalty": (
            sampling.repeat_penalty != 1.0 and "repeat_penalty" not in kind.sampling, f"{lacks} repeat penalty."
        ),
        "logit_bias": (bool(sampling.logit_bias) and not kind.logit_bias, f"{lacks} token ids, so no logit bias."),
        "grammar": (request.grammar is not None, "A remote engine takes no grammar."),
        "echo": (request.echo, "A remote engine's prompt is not read back."),
        "parse_special": (request.parse_special, "A remote engine reads control tokens as it likes."),
        "text": (
            (request.text is not None or request.tokens is not None)
            and (request.schema is not None or request.any_json)
            and kind.text_schema is None,
            "A remote engine enforces schemas only in conversations, not on raw text.",
        ),
    }  # fmt: skip
    for name, (asked, why) in refused.items():
        if asked:
            raise NotSupported(why, key=name, remedy="Leave it out, or use the local engine.")


def parse_event(line: str) -> dict[str, Any] | None:
    """The event in one line of the stream. None for comments, empty lines and the end.

    Raises:
        RemoteError: if the line is not a JSON object, or reports an error.
    """
    data = line[5:].strip()
    if not line.startswith("data:") or data == "[DONE]":
        return None
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise RemoteError("The server's event stream is not JSON.") from None
    if not isinstance(event, dict):
        raise RemoteError("The server's event stream is not JSON objects.")
    if event.get("error"):
        error = event["error"]
        raise RemoteError(
            f"The server broke off: {str(error.get('message', error) if isinstance(error, dict) else error)[:300]}"
        )
    return event


@dataclass
class AnswerReader:
    """One answer while its events arrive."""

    request: Request
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    _finish: str | None = None
    _calls: dict[int, dict[str, str]] = field(default_factory=dict)
    _written: int | None = None  # characters of the first call's arguments that were passed on. None: not its name
    _late: str = ""  # text that came after the first call

    def add(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        """The chunks of this event.

        Raises:
            RemoteError: if the model refused, or the event has another form.
        """
        try:
            yield from self._add(event)
        except (AttributeError, TypeError, ValueError) as error:
            raise RemoteError(f"An event of the server's cannot be read: {type(error).__name__}.") from None

    def _add(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        if event.get("usage"):
            self.usage = _usage(event["usage"])
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            if delta.get("refusal"):
                raise RemoteError("The model refused to answer.")
            begun = bool(self._calls)
            _collect(self._calls, delta.get("tool_calls") or [])
            self._finish = choice.get("finish_reason") or self._finish
            text = choice.get("text") or delta.get("content") or ""
            told = choice.get("logprobs") or {}
            tokens = _token_ids(choice, told)
            self.tokens += tokens
            best = self.request.logprobs
            logprobs = tuple(_logprobs(told, best)) if best is not None else ()
            self.logprobs += logprobs
            if begun and text:
                self._late, text = self._late + text, ""
            text += self._first_call()
            self.text += text
            if text or logprobs:
                yield Chunk(text, tokens, logprobs)

    def end(self) -> Iterator[Chunk]:
        """The chunks that are complete only at the end: tool calls. A truncated answer has finish reason "length".

        Raises:
            RemoteError: if the answer is incomplete, filtered, or lacks a requested schema or log-probabilities.
        """
        if self._finish is None:
            raise RemoteError("The stream ended in the middle of the answer.")
        if self._finish == "content_filter":
            raise RemoteError("The server's content filter stopped the answer.")
        if self.request.logprobs is not None and self.text and not self.logprobs:
            raise RemoteError("The server sent no log-probabilities, and they were asked for.")
        if self._calls:
            text = self._rest_of_calls() + self._late
            self.text += text
            yield Chunk(text)
        if self.finish == "stop":
            self._check()

    def _first_call(self) -> str:
        """What is new of the first call, in the form that models themselves write, which `toolcalls` reads.

        Further calls are passed on at the end, because servers may send them in turns.
        """
        if not self._calls:
            return ""
        call = self._calls[min(self._calls)]
        text, (opening, middle, _) = "", toolcalls.HERMES.call
        if self._written is None:
            if not call["name"] or not call["arguments"].strip():
                return ""
            text = f"{toolcalls.HERMES.mark}{opening}{json.dumps(call['name'])}{middle}"
            self._written = 0
        text += call["arguments"][self._written :]
        self._written = len(call["arguments"])
        return text

    def _rest_of_calls(self) -> str:
        """The end of the first call, and the others. In an answer that was cut the last one is incomplete."""
        calls = [self._calls[index] for index in sorted(self._calls)]
        known = {tool["function"]["name"] for tool in self.request.tools}
        if any(call["name"] not in known for call in calls):
            raise RemoteError("The server called a tool that was not given.")
        cut = self._finish == "length" and not _is_json(calls[-1]["arguments"])
        if any(not _is_json(call["arguments"] or "{}") for call in (calls[:-1] if cut else calls)):
            raise RemoteError("The server sent a tool call whose arguments are not JSON.")
        if self._written is None:
            return toolcalls.write(calls[:-1] if cut else calls)
        closing = "" if cut and len(calls) == 1 else toolcalls.HERMES.call[2]
        others = toolcalls.write(calls[1:-1] if cut else calls[1:])
        return f"{closing}\n{others}" if others else closing

    @property
    def finish(self) -> FinishReason:
        """Why it ended."""
        return "length" if self._finish == "length" else "tool_calls" if self._calls else "stop"

    def _check(self) -> None:
        request = self.request
        if (request.schema is None and not request.any_json) or toolcalls.has_call(self.text, request.tools):
            return
        _, problems = compiled(request.schema).check(self.text)
        if problems:
            raise RemoteError(f"The server did not enforce the schema: {problems[0]}.")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _usage(told: Mapping[str, Any]) -> Usage:
    cached = int((told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    return Usage(int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0), cached)


def _collect(calls: dict[int, dict[str, Any]], parts: Sequence[Mapping[str, Any]]) -> None:
    """Merge the tool-call deltas of one event: the name comes once, the arguments piece by piece."""
    for part in parts:
        call = calls.setdefault(int(part.get("index") or 0), {"name": "", "arguments": ""})
        function = part.get("function") or {}
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""


def _token_ids(choice: Mapping[str, Any], logprobs: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids of this event's tokens: `token_ids` of vLLM and SGLang, or llama-server's beside log-probabilities."""
    ids = choice.get("token_ids")
    if ids is None:
        ids = [entry["id"] for entry in logprobs.get("content") or [] if "id" in entry]
    return tuple(int(token) for token in ids)


def _logprobs(told: Mapping[str, Any], best: int) -> Iterator[Logprob]:
    """Either format: the chat's list of objects, or the parallel lists of /v1/completions. Raises RemoteError.

    At most `best` alternatives, because some servers do not give less than one.
    """
    try:
        for entry in told.get("content") or []:
            top = tuple(
                Alternative(_id(other), str(other["token"]), float(other["logprob"]), _data(other))
                for other in (entry.get("top_logprobs") or [])[:best]
            )
            yield Logprob(_id(entry), str(entry["token"]), float(entry["logprob"]), top, _data(entry))
        texts = told.get("tokens") or []
        several = told.get("top_logprobs") or [{}] * len(texts)
        for text, value, others in zip(texts, told.get("token_logprobs") or [], several, strict=True):
            top = tuple(Alternative(None, str(one), float(logprob)) for one, logprob in (others or {}).items())
            yield Logprob(None, str(text), float(value), top)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RemoteError(f"The server's log-probabilities cannot be read: {type(error).__name__}.") from None


def _id(told: Mapping[str, Any]) -> int | None:
    return int(told["id"]) if "id" in told else None


def _data(told: Mapping[str, Any]) -> bytes | None:
    """The token's bytes, where the server tells them and they are not its text's."""
    data = bytes(list(told["bytes"])) if told.get("bytes") is not None else None
    return None if data == str(told["token"]).encode(errors="replace") else data
