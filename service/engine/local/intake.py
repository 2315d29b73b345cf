"""What the parent submitted, made ready to be computed: tokens, grammar, sampler, and whether it fits.

What comes in: `submit` messages of `protocol`. What goes out: a `Request`, or the error that refuses it before anything
is computed. What it does not know: slots, steps, other requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llguidance

from service.engine.local import labels as label_scores
from service.engine.local.constraint import Constraint, tokenizer_of
from service.engine.local.context import Context
from service.engine.local.generation import Generation
from service.engine.local.protocol import Pieces
from service.engine.local.sampling import Chain
from service.engine.local.scheduler import Active
from service.engine.local.tokens import Text
from service.errors import PromptTooLong


@dataclass
class Request:
    """What the parent submitted, and what has become of it."""

    message: dict[str, Any]
    active: Active
    generation: Generation | None = None
    labels: list[list[int]] | None = None
    scores: list[float] | None = None
    cached: int = 0
    begun: bool = False

    @property
    def id(self) -> int:
        """The parent's id."""
        return self.active.id


class Intake:
    """Makes requests for one loaded model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tokenizer: llguidance.LLTokenizer | None = None  # made for the first grammar

    def tokens(self, pieces: Pieces) -> list[int]:
        """A prompt's token ids, with one beginning-of-sequence token where the model wants it."""
        found = [self._context.bos] if self._context.add_bos else []
        for text, special in pieces:
            found += self._context.tokenize(text, special=special)
        if len(found) > 1 and self._context.add_bos and found[1] == self._context.bos:
            del found[0]  # the template writes it too
        return found

    def request(self, message: dict[str, Any]) -> Request:
        """The request, ready to be given a slot. Raises PromptTooLong, SchemaUnsupported."""
        prompt = self.tokens(message["pieces"]) or [self._context.bos if self._context.bos >= 0 else self._context.eos]
        if len(prompt) >= self._context.n_ctx:
            raise PromptTooLong(
                f"The prompt has {len(prompt)} tokens, and the context holds {self._context.n_ctx} with the answer.",
                limit=self._context.n_ctx,
                count=len(prompt),
                remedy="Shorten the prompt or raise SAMEBOAT_CONTEXT.",
            )
        active = Active(message["id"], prompt, message["exact"], message["background"], salt=message["salt"])
        if message["labels"]:
            found = label_scores.sequences(self._context, message["labels"])
            longest = max(len(prompt), len(self.tokens(message["neutral"]))) + max(map(len, found))
            if longest > self._context.n_ctx:
                raise PromptTooLong(
                    f"The prompt and its longest choice have {longest} tokens, the context {self._context.n_ctx}.",
                    limit=self._context.n_ctx,
                    count=longest,
                )
            return Request(message, active, labels=found)
        constraint = None
        if message["lark"] is not None:
            if self._tokenizer is None:
                self._tokenizer = tokenizer_of(self._context)
            constraint = Constraint(self._tokenizer, message["lark"])
        sampling = message["sampling"]
        generation = Generation(
            self._context,
            Chain(self._context, sampling),
            constraint,
            Text(tuple(sampling["stop"])),
            min(sampling["max_tokens"], self._context.n_ctx - len(prompt)),
            message["logprobs"],
            message["force"],
        )
        return Request(message, active, generation)
