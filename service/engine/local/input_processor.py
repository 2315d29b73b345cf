"""Prepares a submitted request for computing: tokens, grammar, sampler, and the check that it fits.

In: `submit` messages of `protocol`. Out: a `RunningRequest`, or the error that refuses it before anything is computed.
Not here: slots, steps, other requests, threads. It may run on any thread.

llama.cpp looks for every control token in every part of a text, so the time of one call grows with the square of their
number. A long text is therefore cut in front of control tokens, which are token boundaries in any case. A text that
surely does not fit is refused after its beginning.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import llguidance

from service.engine.local import labels as label_scores
from service.engine.local.constraint import Constraint, tokenizer_of
from service.engine.local.context import Context
from service.engine.local.detokenizer import Detokenizer
from service.engine.local.generation import Generation
from service.engine.local.preparation import Check
from service.engine.local.protocol import Segments
from service.engine.local.sampling import sampler_of
from service.engine.local.scheduler import ScheduledSequence
from service.engine.local.speculation import SequenceDrafts
from service.errors import PromptTooLong, RequestError

PART_CHARS = 8_192  # about 10 ms of tokenizing. Shorter texts are tokenized in one call
PROBE_CHARS = 65_536  # of a longer text the beginning is tokenized first
ENOUGH = 2  # a beginning with so many times the context's tokens proves that the whole does not fit

Scoring = Generator[None, None, list[float]]


@dataclass
class RunningRequest:
    """A submitted request and its state."""

    message: dict[str, Any]
    sequence: ScheduledSequence
    generation: Generation | None = None
    labels: list[list[int]] | None = None
    neutral: list[int] = field(default_factory=list)  # tokens of the content-free prompt
    scoring: Scoring | None = None
    scores: list[float] | None = None
    cached: int = 0
    begun: bool = False
    drafts: SequenceDrafts = field(default_factory=SequenceDrafts)

    @property
    def id(self) -> int:
        """The parent's id."""
        return self.sequence.id


def is_costly(message: dict[str, Any]) -> bool:
    """Whether making it ready could take longer than a few milliseconds."""
    if message.get("lark") is not None or message.get("labels"):
        return True
    return sum(len(text) for text, _ in message["segments"]) + len(message["suffix"] or "") > PART_CHARS


class InputProcessor:
    """Makes requests for one loaded model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._tokenizer: llguidance.LLTokenizer | None = None  # made for the first grammar
        control = sorted(context.control_texts(), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, control))) if control else None

    def prompt(self, message: dict[str, Any], check: Check = lambda: None) -> list[int]:
        """The token ids of a message's prompt (`protocol.WirePrompt`). Calls `check` between parts.

        Raises:
            PromptTooLong: as soon as the tokens surely exceed the context.
            RequestError: if there is a suffix, and the model has no tokens to fill in the middle.
        """
        if message["ids"] is not None:
            return list(message["ids"])
        pieces = message["segments"]
        if message["suffix"] is not None:
            before, after, middle = self._fill_in_texts()
            special = any(special for _, special in pieces)
            pieces = [(before, True), *pieces, (after, True), (message["suffix"], special), (middle, True)]
        return self.tokens(pieces, check, add_special=message.get("add_special", True))

    def begins_itself(self, message: dict[str, Any], prompt: list[int]) -> bool:
        """Whether the prompt's first token was added here, and is not in the caller's text."""
        bos = self._context.bos
        if message["ids"] is not None or not self._context.add_bos or prompt[0] != bos:
            return False
        text, special = message["segments"][0]
        return not (special and text.startswith(self._context.name(bos)))

    def _fill_in_texts(self) -> tuple[str, str, str]:
        """The model's own tokens in front of a prefix, a suffix, and the middle. Raises RequestError without them."""
        if self._context.fill_in is None:
            raise RequestError(
                "This model has no tokens to fill in the middle of a text.",
                key="suffix",
                remedy="Leave suffix out, or use a model for code that was trained for it.",
            )
        before, after, middle = (self._context.name(token) for token in self._context.fill_in)
        return before, after, middle

    def tokens(self, pieces: Segments, check: Check = lambda: None, *, add_special: bool = True) -> list[int]:
        """Token ids of segments, with one beginning-of-sequence token if the model wants it and `add_special` is set.
        Calls `check` between parts.

        Raises:
            PromptTooLong: as soon as the tokens surely exceed the context.
        """
        add_bos = self._context.add_bos and add_special
        ids = [self._context.bos] if add_bos else []
        most = ENOUGH * self._context.n_ctx
        for text, special in self._parts(pieces):
            check()
            if len(text) > PROBE_CHARS:
                self._bound(len(ids) + len(self._context.tokenize(text[:PROBE_CHARS], special=special)), most)
                check()
            ids += self._context.tokenize(text, special=special)
            self._bound(len(ids), most)
        if len(ids) > 1 and add_bos and ids[1] == self._context.bos:
            del ids[0]  # the template writes it too
        return ids

    def _bound(self, count: int, most: int) -> None:
        if count > most:
            raise too_long(self._context.n_ctx, count, at_least=True)

    def _parts(self, pieces: Segments) -> Iterator[tuple[str, bool]]:
        """The pieces, long ones cut in front of control tokens into parts of `PART_CHARS` or more."""
        for text, special in pieces:
            start = 0
            if special and self._control is not None and len(text) > PART_CHARS:
                for match in self._control.finditer(text):
                    if match.start() - start >= PART_CHARS:
                        yield text[start : match.start()], True
                        start = match.start()
            yield text[start:], special

    def request(self, message: dict[str, Any], check: Check = lambda: None) -> RunningRequest:
        """The prepared request, which needs only a slot. `check` is called between units of work.

        Raises:
            PromptTooLong: if the prompt leaves no room for an answer or for the longest choice. `too_long` makes the
            error. SchemaUnsupported: if llguidance cannot enforce the grammar.
        """
        prompt = self.prompt(message, check)
        prompt = prompt or [self._context.bos if self._context.bos >= 0 else self._context.eos]
        if len(prompt) >= self._context.n_ctx:
            raise too_long(self._context.n_ctx, len(prompt))
        sequence = ScheduledSequence(
            message["id"],
            prompt,
            message["exact"],
            message["background"],
            salt=message["salt"],
            reads_all=message["prompt_logprobs"],
            has_labels=bool(message["labels"]),
        )
        if message["labels"]:
            labels = label_scores.sequences(self._context, message["labels"], check)
            neutral = self.tokens(message["neutral"], check)
            longest = max(len(prompt), len(neutral)) + max(map(len, labels))
            if longest > self._context.n_ctx:
                raise PromptTooLong(
                    f"The prompt and its longest choice have {longest} tokens, the context {self._context.n_ctx}.",
                    limit=self._context.n_ctx,
                    count=longest,
                )
            return RunningRequest(message, sequence, labels=labels, neutral=neutral)
        constraint = None
        if message["lark"] is not None:
            check()
            constraint = Constraint(self._guidance(), message["lark"])
            check()
        sampling = message["sampling"]
        generation = Generation(
            self._context,
            sampler_of(self._context, sampling, prompt, exact=message["exact"]),
            constraint,
            Detokenizer(tuple(sampling["stop"])),
            min(sampling["max_tokens"], self._context.n_ctx - len(prompt)),
            message["logprobs"],
            message["force"],
            self._controls(message["marks"]),
        )
        return RunningRequest(message, sequence, generation)

    def _controls(self, texts: Sequence[str]) -> frozenset[int]:
        """The tokens that are written as these texts."""
        read = (self._context.tokenize(text, special=True) for text in texts)
        return frozenset(tokens[0] for tokens in read if len(tokens) == 1)

    def _guidance(self) -> llguidance.LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = tokenizer_of(self._context)
            return self._tokenizer


def too_long(limit: int, count: int, *, at_least: bool = False) -> PromptTooLong:
    """The error of a prompt that leaves no room for an answer."""
    how = "at least " if at_least else ""
    return PromptTooLong(
        f"The prompt has {how}{count} tokens, and the context holds {limit} with the answer.",
        limit=limit,
        count=count,
        at_least=at_least,
        remedy="Shorten the prompt or raise SAMEBOAT_CONTEXT.",
    )
