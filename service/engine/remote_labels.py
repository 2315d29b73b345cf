"""Scores labels on a remote server: the exact probability of each label's tokens behind the prompt.

In: requests with choices, a server of a kind that tells probabilities of given tokens. Out: their probabilities.
Not here: queues and tries. Local engines have an own scorer (`local.labels`), and the definitions are the same.

A label's probability is the product of its tokens' probabilities. If one label's tokens are a prefix of another's,
every label also has to end the turn. Calibration divides by the probabilities on a content-free input (Zhao et al.
2021), or is fitted: it multiplies the log-probabilities by a scale and adds a bias to each. Labels are tokenized once.
An answer takes one request for the prompt's tokens and one for all labels. A llama-server tells the probabilities of
the most likely tokens, and takes one request more for each other token.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from service.engine.remote_kinds import RemoteKind
from service.engine.remote_server import RemoteServer
from service.engine.types import LabelCalibration, Message, Request
from service.errors import NotSupported, RemoteError

KEPT = 4096  # labels with their tokens, and scores of content-free inputs
MOST_LIKELY = 64  # tokens that a llama-server is asked for
FORCED = 1e6  # added to the logit of a token, so that it is drawn. The probability that is told is without it
Tokens = tuple[int, ...]


class LabelScores(NamedTuple):
    """The result. `tokens` are those of the best label, without the end of the turn. `prompt` counts tokens.

    `logprobs` are the logarithms of the probabilities before calibration.
    """

    probabilities: list[float]
    logprobs: list[float]
    best: int
    tokens: Tokens
    prompt: int


class RemoteLabels:
    """Of one model of one server."""

    def __init__(self, server: RemoteServer, model: str) -> None:
        self._server = server
        self._model = model
        self._labels: OrderedDict[str, Tokens] = OrderedDict()
        self._neutral: OrderedDict[tuple[Any, ...], list[float]] = OrderedDict()
        self._end: int | None = None

    def forget(self) -> None:
        """Another model may be served now."""
        self._labels.clear()
        self._neutral.clear()
        self._end = None

    async def prompt(self, request: Request, kind: RemoteKind) -> Tokens:
        """The token ids of a conversation, as the server's template makes them.

        Raises:
            RemoteError: if the server cannot be asked.
            NotSupported: if this kind of server has no tokenizer.
        """
        if request.tokens is not None:
            return request.tokens
        if request.text is not None:
            return await self._tokenized(request.text, kind, special=True)
        return await self._conversation(request.messages, kind)

    async def end_of_turn(self, kind: RemoteKind) -> int:
        """The token behind an assistant's message: the first one that the template writes after its text.

        Raises:
            RemoteError: if the server does not tell it.
        """
        if self._end is None:
            if kind.tokenizer == "content":
                props = (await self._server.facts("/props") or ({}, ""))[0]
                body = {"content": _of(props, "eos_token", str), "add_special": False, "parse_special": True}
                tokens = await self._tokens(body)
            else:
                turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
                body = {"model": self._model, "messages": turns, "add_generation_prompt": False}
                closed = await self._tokens(body)
                opened = await self._tokens({**body, "continue_final_message": True})
                tokens = closed[len(opened) :] if closed[: len(opened)] == opened else ()
            if not tokens:
                raise RemoteError("The server does not tell the token that ends a turn.")
            self._end = tokens[0]
        return self._end

    async def score(self, request: Request, kind: RemoteKind) -> LabelScores:
        """The probabilities of the request's choices.

        Raises:
            RemoteError: if the server cannot be asked, or does not tell the probabilities.
            NotSupported: if this kind of server does not tell them.
        """
        labels = [await self._label(choice, kind) for choice in request.choices]
        ordered = sorted(labels)
        if any(shorter == longer[: len(shorter)] for shorter, longer in pairwise(ordered)):
            end = await self.end_of_turn(kind)
            scored = [(*label, end) for label in labels]
        else:
            scored = labels
        prompt = await self._conversation(request.messages, kind)
        scores = await self._scores(prompt, scored, kind)
        neutral: list[float] | None = None
        if request.calibrate and request.neutral:
            # The salt keeps callers apart: the time of an answer would else tell one about another's prompts.
            key = (request.cache_salt, request.neutral, request.choices)
            if key not in self._neutral:
                content_free = await self._conversation(request.neutral, kind)
                _keep(self._neutral, key, await self._scores(content_free, scored, kind))
            neutral = self._neutral[key]
        probabilities = normalize(scores, neutral, request.calibration)
        best = max(range(len(labels)), key=probabilities.__getitem__)
        most = max(scores)
        total = most + math.log(math.fsum(math.exp(score - most) for score in scores))
        return LabelScores(probabilities, [score - total for score in scores], best, labels[best], len(prompt))

    # Tokens

    async def _label(self, text: str, kind: RemoteKind) -> Tokens:
        if text not in self._labels:
            _keep(self._labels, text, await self._tokenized(text, kind, special=False))
        tokens = self._labels[text]
        if not tokens:
            raise RemoteError("The server has no tokens for a label.")
        return tokens

    async def _tokenized(self, text: str, kind: RemoteKind, *, special: bool) -> Tokens:
        if kind.tokenizer == "content":
            return await self._tokens({"content": text, "add_special": special, "parse_special": False})
        if kind.tokenizer is None:
            raise NotSupported("This kind of remote engine does not tell its tokens.", key="engine")
        return await self._tokens({"model": self._model, "prompt": text, "add_special_tokens": special})

    async def _conversation(self, messages: Sequence[Message], kind: RemoteKind) -> Tokens:
        plain = [message.to_openai() for message in messages]
        if kind.tokenizer == "content":
            text = _of(await self._server.ask("/apply-template", {"messages": plain}), "prompt", str)
            return await self._tokens({"content": text, "add_special": True, "parse_special": True})
        if kind.tokenizer is None:
            raise NotSupported("This kind of remote engine does not tell its tokens.", key="engine")
        return await self._tokens({"model": self._model, "messages": plain})

    async def _tokens(self, body: dict[str, Any]) -> Tokens:
        tokens = _of(await self._server.ask("/tokenize", body), "tokens", list)
        if not all(isinstance(token, int) for token in tokens):
            raise RemoteError("The server's tokens cannot be read.")
        return tuple(tokens)

    # Probabilities

    async def _scores(self, prompt: Tokens, labels: Sequence[Tokens], kind: RemoteKind) -> list[float]:
        """The log-probability of each label behind the prompt."""
        texts = [[*prompt, *label] for label in labels]
        try:
            if kind.labels == "prompt_logprobs":
                body = {"prompt": texts, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
                rows = [row["prompt_logprobs"] for row in await self._completions(body)]
                return [
                    math.fsum(float(entry[str(token)]["logprob"]) for entry, token in zip(tail, label, strict=True))
                    for label, tail in _tails(labels, rows)
                ]
            if kind.labels == "echo":
                body = {"prompt": texts, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 0}
                rows = [row["logprobs"]["token_logprobs"] for row in await self._completions(body)]
                rows = [row[: len(text)] for row, text in zip(rows, texts, strict=True)]
                return [math.fsum(float(entry) for entry in tail) for _, tail in _tails(labels, rows)]
            if kind.labels == "generate":
                return await self._generated(len(prompt), labels, texts)
            if kind.labels == "forced":
                return await self._forced(prompt, labels)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            reason = type(error).__name__
            raise RemoteError(f"The server's probabilities of the labels cannot be read: {reason}.") from None
        raise NotSupported("This kind of remote engine does not tell the probabilities of labels.", key="choices")

    async def _completions(self, body: dict[str, Any]) -> list[Any]:
        """The choices of one request with several prompts, in their order."""
        told = await self._server.ask("completions", {"model": self._model, **body})
        rows = sorted(told["choices"], key=lambda row: row["index"])
        if [row["index"] for row in rows] != list(range(len(body["prompt"]))):
            raise ValueError("choices")
        return rows

    async def _generated(self, prompt: int, labels: Sequence[Tokens], texts: list[list[int]]) -> list[float]:
        """SGLang: `input_token_logprobs` are lists of log-probability, token id and text."""
        body = {
            "input_ids": texts,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "logprob_start_len": prompt - 1,
        }
        told = await self._server.ask("/generate", body)
        rows = [row["meta_info"]["input_token_logprobs"] for row in (told if isinstance(told, list) else [told])]
        scores = []
        for label, tail in _tails(labels, rows):
            if tuple(entry[1] for entry in tail) != label:
                raise ValueError("tokens")
            scores.append(math.fsum(float(entry[0]) for entry in tail))
        return scores

    async def _forced(self, prompt: Tokens, labels: Sequence[Tokens]) -> list[float]:
        """llama-server: the most likely tokens after each beginning of a label, then every other token by force."""
        steps = {(label[:at], token) for label in labels for at, token in enumerate(label)}
        beginnings = sorted({beginning for beginning, _ in steps})
        known: dict[tuple[Tokens, int], float] = {}
        for beginning, told in zip(beginnings, await self._next(prompt, beginnings, MOST_LIKELY), strict=True):
            known |= {((beginning), int(entry["id"])): float(entry["logprob"]) for entry in told["top_logprobs"]}
        for token in sorted({token for beginning, token in steps if (beginning, token) not in known}):
            places = sorted(
                beginning for beginning, other in steps if other == token and (beginning, token) not in known
            )
            for beginning, told in zip(places, await self._next(prompt, places, 1, token), strict=True):
                if told["id"] != token:
                    raise ValueError("tokens")
                known[beginning, token] = float(told["logprob"])
        return [math.fsum(known[label[:at], token] for at, token in enumerate(label)) for label in labels]

    async def _next(
        self, prompt: Tokens, beginnings: Sequence[Tokens], count: int, token: int | None = None
    ) -> list[dict[str, Any]]:
        """The next token after the prompt and each beginning: `id`, `logprob` and `top_logprobs`, before sampling."""
        body: dict[str, Any] = {
            "prompt": [[*prompt, *beginning] for beginning in beginnings],
            "n_predict": 1, "temperature": 0, "n_probs": count, "post_sampling_probs": False,
        }  # fmt: skip
        if token is not None:
            body["logit_bias"] = [[token, FORCED]]
        told = await self._server.ask("/completion", body)
        rows = sorted(told, key=lambda row: row["index"]) if isinstance(told, list) else [told]
        if len(rows) != len(beginnings):
            raise ValueError("completions")
        return [row["completion_probabilities"][0] for row in rows]


def _tails(labels: Sequence[Tokens], rows: Sequence[Any]) -> list[tuple[Tokens, list[Any]]]:
    """The last entries of each row, which are those of the label's tokens. Raises ValueError if one is too short."""
    if len(rows) != len(labels) or any(len(row) < len(label) for row, label in zip(rows, labels, strict=True)):
        raise ValueError("rows")
    return [(label, row[len(row) - len(label) :]) for label, row in zip(labels, rows, strict=True)]


def _of(told: Any, name: str, kind: type[Any]) -> Any:
    """This part of an answer. Raises RemoteError if it is missing or of another type."""
    value = told.get(name) if isinstance(told, dict) else None
    if not isinstance(value, kind):
        raise RemoteError(f"The server's answer has no usable {name}.")
    return value


def _keep(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    while len(cache) > KEPT:
        cache.popitem(last=False)


def normalize(
    scores: Sequence[float], neutral: Sequence[float] | None = None, calibration: LabelCalibration | None = None
) -> list[float]:
    """Probabilities that sum to 1, calibrated by the scores of a content-free input, or by a fit.

    Raises:
        RemoteError: if a score is no number, or no label is possible.
    """
    values = [score - other for score, other in zip(scores, neutral or [0.0] * len(scores), strict=True)]
    if not all(map(math.isfinite, values)):
        raise RemoteError("The server's probabilities of the labels are not finite.")
    if calibration is not None:
        values = [calibration.scale * value + bias for value, bias in zip(values, calibration.bias, strict=True)]
    best = max(values)
    weights = [math.exp(value - best) for value in values]
    return [weight / math.fsum(weights) for weight in weights]
