"""Limits that the parent checks before anything is rendered, sent or computed.

In: a `Request`, sizes of a model. Out: nothing, or RequestError with the parameter and its limit.
Not here: the meaning of a value for a caller. HTTP and prompt files have their own, sometimes tighter limits.

llama.cpp checks little: a penalty of 0 or an infinite bias ends the process, and with it all answers. So a value that
its samplers cannot take, as single-precision numbers, never reaches them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.engine.types import Request, Sampling
from service.errors import PromptTooLong, RequestError

RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0.01, 100),
    "frequency_penalty": (-100, 100),
    "presence_penalty": (-100, 100),
}
"""Both ends are allowed. Within them no logit of a model overflows a single-precision number."""

MAX_BIASES = 1024  # as in OpenAI's API. Each bias costs time in every step of the answer
MAX_BIAS = 100.0
MAX_STOPS, MAX_STOP_CHARS = 64, 4_096  # each is looked for behind every token
MAX_LOGPROBS = 100
MAX_CHOICES = 4_096


def check_sampling(sampling: Sampling, *, vocabulary: int, least: int = 1) -> None:
    """Check the sampling parameters against `RANGES` and the bounds of lists. `least`: the smallest `max_tokens`.

    Raises:
        RequestError: with the parameter as key.
    """
    for name, (low, high) in RANGES.items():
        value = getattr(sampling, name)
        if not low <= value <= high:  # also true for NaN
            raise RequestError(f"{name} must be a number from {low:g} to {high:g}.", key=name)
    if sampling.max_tokens < least:
        raise RequestError(f"max_tokens must be at least {least}.", key="max_tokens")
    if len(sampling.stop) > MAX_STOPS or any(len(word) > MAX_STOP_CHARS for word in sampling.stop):
        raise RequestError(f"stop takes up to {MAX_STOPS} strings of {MAX_STOP_CHARS} characters.", key="stop")
    if len(sampling.logit_bias) > MAX_BIASES:
        raise RequestError(f"logit_bias takes up to {MAX_BIASES} tokens.", key="logit_bias")
    for token, bias in sampling.logit_bias:
        if not 0 <= token < vocabulary:
            raise RequestError(f"logit_bias takes token ids from 0 to {vocabulary - 1}.", key="logit_bias")
        if not math.isfinite(bias) or abs(bias) > MAX_BIAS:
            raise RequestError(f"logit_bias takes numbers from -{MAX_BIAS:g} to {MAX_BIAS:g}.", key="logit_bias")


def check_request(request: Request, *, vocabulary: int) -> None:
    """Check a request's parameters.

    Raises:
        RequestError: if a step could not compute the request.
    """
    check_sampling(request.sampling, vocabulary=vocabulary, least=0 if request.echo else 1)
    check_tokens(request.tokens or (), vocabulary=vocabulary, key="prompt")
    if request.logprobs is not None and not 0 <= request.logprobs <= MAX_LOGPROBS:
        raise RequestError(f"logprobs must be from 0 to {MAX_LOGPROBS}.", key="logprobs")
    if len(request.choices) > MAX_CHOICES:
        raise RequestError(f"There are {len(request.choices)} choices, and at most {MAX_CHOICES}.", key="choices")
    if len(set(request.choices)) != len(request.choices) or "" in request.choices:
        raise RequestError("Choices must differ from each other, and none may be empty.", key="choices")


def check_tokens(tokens: Sequence[int], *, vocabulary: int, key: str) -> None:
    """Check that the model has these tokens.

    Raises:
        RequestError: if it does not have one of them.
    """
    if tokens and not (min(tokens) >= 0 and max(tokens) < vocabulary):
        raise RequestError(f"{key} takes token ids from 0 to {vocabulary - 1}.", key=key)


def check_size(request: Request, *, context: int, longest: int) -> None:
    """Check the size of a prompt before it is tokenized. It costs no more than reading `context` tokens of `longest`
    bytes.

    Raises:
        PromptTooLong: if the prompt cannot fit whatever its tokens are. `too_large` makes the error.
    """
    for messages in (request.messages, request.neutral):
        if len(messages) > context:  # each takes a token at least
            raise too_large(context, len(messages), f"{len(messages)} messages")
    if request.tokens is not None and len(request.tokens) > context:
        raise too_large(context, len(request.tokens), f"{len(request.tokens)} token ids")
    written = [
        request.text or "",
        request.suffix or "",
        *((message.content, message.reasoning or "", message.tool_calls) for message in request.messages),
    ]
    beside = [request.tools, request.template.documents, request.template.values]
    for whole in ([written, beside], [message.content for message in request.neutral]):
        check_text(whole, context=context, longest=longest)


def check_text(value: Any, *, context: int, longest: int) -> None:
    """Check the size of a text, or of the texts within lists and objects.

    Raises:
        PromptTooLong: if it cannot fit. `too_large` makes the error.
    """
    size = text_bytes(value, enough=context * longest)
    if size > context * longest:
        raise too_large(context, -(-size // longest), f"more than {context * longest} bytes")


def too_large(context: int, count: int, what: str) -> PromptTooLong:
    """The error of a prompt that was not counted, because it cannot fit."""
    return PromptTooLong(
        f"The prompt has {what}, at least {count} tokens, and the context holds {context} with the answer.",
        limit=context,
        count=count,
        at_least=True,
        remedy="Shorten the prompt or raise SAMEBOAT_CONTEXT.",
    )


def text_bytes(value: Any, *, enough: int) -> int:
    """Bytes of the texts and keys in a JSON value, plus one for each item. Counting ends soon after `enough`."""
    size, left = 0, [value]
    while left and size <= enough:
        item = left.pop()
        if isinstance(item, str):
            size += len(item) if len(item) > enough else len(item.encode(errors="surrogatepass"))
        elif isinstance(item, Mapping):
            size += len(item)
            if size <= enough:
                left += item.keys()
                left += item.values()
        elif isinstance(item, (list, tuple)):
            size += len(item)
            if size <= enough:
                left += item
    return size


def is_heavy(request: Request) -> bool:
    """Whether rendering it could take longer than a few milliseconds."""
    light = 16_384  # bytes, about 1 ms
    if request.tools or request.template.documents or request.template.values or len(request.messages) > 64:
        return True
    return (
        text_bytes(
            [request.text or "", request.suffix or "", [message.content for message in request.messages]], enough=light
        )
        > light
    )
