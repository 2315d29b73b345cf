"""One answer during generation: its pending tokens, its finished tokens, and its end.

In: rows of logits, one at a time, and drafts to verify. Out: tokens to compute next, final text, a finish reason.
Not here: slots, batches, other requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from service.engine.local.constraint import Constraint
from service.engine.local.context import Context
from service.engine.local.detokenizer import Detokenizer
from service.engine.local.sampling import RowLogprobs, Sampler
from service.engine.local.scheduler import common_length


@dataclass
class Generation:
    """The state of one sampled answer. `pending` tokens are decided but not yet in the context's memory."""

    context: Context
    sampler: Sampler
    constraint: Constraint | None
    text: Detokenizer
    limit: int
    logprobs: int | None
    force: bool
    marks: frozenset[int] = frozenset()  # control tokens that stay in the text
    tokens: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    forced: int = 0
    finish: str | None = None
    fresh_text: str = ""
    fresh_tokens: list[int] = field(default_factory=list)
    fresh_logprobs: list[dict[str, Any]] = field(default_factory=list)

    def possible(self, draft: list[int]) -> list[int]:
        """The beginning of a draft that could be the answer's next tokens: in the grammar, and before an ending."""
        ending = next((at for at, token in enumerate(draft) if token in self.context.endings), len(draft))
        draft = draft[:ending]
        return draft[: self.constraint.possible(draft)] if draft and self.constraint is not None else draft

    def verify(self, row: int, draft: Sequence[int]) -> int:
        """Choose the next tokens, from `row` on: one, and one more behind each drafted token that was chosen too.

        The rows behind `row` are those of the draft. Returns how many drafted tokens were accepted. Each token is
        chosen from its own row, in order, and nothing is chosen behind a token that differs. So sampler, grammar and
        text never have to go back.
        """
        accepted = 0
        while True:
            self.step(row + accepted, self.context.logits(row + accepted))
            agreed = common_length(self.pending, draft[accepted:])
            accepted += agreed
            self.pending = self.pending[agreed:]
            if self.pending or self.finish is not None:
                return accepted

    def step(self, row: int, logits: npt.NDArray[np.float32]) -> None:
        """Choose the next token from these logits, and append the forced tokens after it."""
        logprobs = RowLogprobs(logits, self.logprobs) if self.logprobs is not None else None
        self.pending = []
        token = self._known()
        if token is None:
            token = self._choose(row, logits)
        self._take(token, logprobs)
        while self.force and self.finish is None and self.constraint is not None:
            forced = self.constraint.forced()
            if not forced:
                break
            for forced_token in forced:
                if self.finish is None:
                    self.forced += 1
                    self.sampler.force(forced_token)
                    self._take(forced_token, None)

    def _known(self) -> int | None:
        """The token that must come next, when there is no alternative."""
        forced = self.constraint.forced() if self.constraint is not None else []
        if not forced:
            return None
        self.forced += 1
        self.sampler.force(forced[0])
        return forced[0]

    def _choose(self, row: int, logits: npt.NDArray[np.float32]) -> int:
        """Choose without the grammar first. Only if the grammar rejects the token, apply the mask and choose again.

        Greedy choices are the same either way. Drawn tokens would have the same distribution (rejection sampling), but
        the generator would advance twice, so drawn choices use the mask at once.
        """
        if self.constraint is None:
            return self.sampler.choose(row, logits)
        if self.sampler.plain:
            token = self.sampler.choose(row, logits)
            if self.constraint.allows(token):
                return token
        self.constraint.mask(logits)
        return self.sampler.choose(row, logits)

    def _take(self, token: int, logprobs: RowLogprobs | None) -> None:
        """Record a token, and see whether it ends the answer."""
        if token in self.context.endings:
            self.finish = "stop"
            self.fresh_text += self.text.end()
            return
        self.tokens.append(token)
        self.pending.append(token)
        self.fresh_tokens.append(token)
        if self.logprobs is not None:
            self.fresh_logprobs.append(token_logprob(self.context, token, logprobs))
        piece = self.context.written if token in self.marks else self.context.piece
        self.fresh_text += self.text.add(piece(token))
        if self.constraint is not None:
            self.constraint.take(token)
        if self.text.stopped is not None or (self.constraint is not None and self.constraint.complete):
            self.finish = "stop"
        elif len(self.tokens) >= self.limit:
            self.finish = "length"
        if self.finish is not None:
            self.fresh_text += self.text.end()

    def take_fresh(self) -> tuple[str, list[int], list[dict[str, Any]]]:
        """The text, tokens and log-probabilities since the last call."""
        fresh = (self.fresh_text, self.fresh_tokens, self.fresh_logprobs)
        self.fresh_text, self.fresh_tokens, self.fresh_logprobs = "", [], []
        return fresh


def token_logprob(
    context: Context, token: int, logprobs: RowLogprobs | None, *, written: bool = False
) -> dict[str, Any]:
    """The model's log-probability of a token, before any sampler, and those of the best alternatives.

    It is 0 for a token without alternatives (`logprobs` is None). `written`: control tokens have their texts.
    """
    piece = context.written if written else context.piece

    def named(token: int) -> dict[str, Any]:
        """The token's text, and its bytes if they are not whole characters."""
        data = piece(token)
        try:
            return {"token": token, "text": data.decode(), "data": None}
        except UnicodeDecodeError:
            return {"token": token, "text": data.decode(errors="replace"), "data": list(data)}

    if logprobs is None:
        return {**named(token), "logprob": 0.0, "top": []}
    top = [{**named(other), "logprob": value} for other, value in logprobs.best]
    return {**named(token), "logprob": logprobs.of(token), "top": top}
