"""Chooses one token from one row of logits, with llama.cpp's samplers.

In: `Sampling` as a dict, logits. Out: a token id, log-probabilities. A sampler belongs to one request, because its
penalties and its random generator have a state. Order of the chain: `service.engine.types.Sampling`.
Not here: draws over all tokens in fast answers (`draw`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import llama_cpp as llama
import numpy as np
import numpy.typing as npt

from service.engine.local.context import Context
from service.engine.local.draw import BLOCK, TokenDraw, draws
from service.engine.local.recipe import PENALTY_WINDOW

NO_PENALTY = (1.0, 0.0, 0.0)  # repeat, frequency, presence
COLDEST = 1e-6  # below it a draw is the greedy choice, and logits divided by it could overflow
RANDOM_SEED = 0xFFFFFFFF  # llama.cpp draws a seed of its own for this value (llama.h: LLAMA_DEFAULT_SEED)


class Sampler(Protocol):
    """Chooses the tokens of one request."""

    @property
    def plain(self) -> bool:
        """Whether it takes the largest logit."""

    def choose(self, row: int, logits: npt.NDArray[np.float32]) -> int:
        """The next token from row `row` of the last batch. `logits` is that row, perhaps masked in place."""

    def force(self, token: int) -> None:
        """Note a token that was not chosen but had no alternative."""

    def close(self) -> None:
        """Free its memory."""


class SamplerChain:
    """The samplers of one request. Greedy requests without penalties or bias need none: the largest logit wins.

    The repeat penalty counts the end of the prompt too, as in llama.cpp, transformers and vLLM. Frequency and presence
    penalties count the answer only, as in OpenAI's API.
    """

    def __init__(self, context: Context, sampling: dict[str, Any], prompt: Sequence[int]) -> None:
        self._context = context
        self._chain: Any = None
        self._keep: Any = None
        penalties = (sampling["repeat_penalty"], sampling["frequency_penalty"], sampling["presence_penalty"])
        self.greedy = sampling["temperature"] < COLDEST
        self.plain = self.greedy and penalties == NO_PENALTY and not sampling["logit_bias"]
        if self.plain:
            return
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling["logit_bias"]:
            pairs = [(int(token), float(bias)) for token, bias in sampling["logit_bias"]]
            biases = (llama.llama_logit_bias * len(pairs))(*pairs)
            self._keep = biases
            self._add(llama.llama_sampler_init_logit_bias(context.vocab_size, len(pairs), biases))
        if sampling["repeat_penalty"] != 1.0:
            sampler = self._penalties(sampling["repeat_penalty"], 0.0, 0.0)
            for token in prompt[-PENALTY_WINDOW:]:
                llama.llama_sampler_accept(sampler, token)
        if penalties[1:] != (0.0, 0.0):
            self._penalties(1.0, *penalties[1:])
        if self.greedy:
            self._add(llama.llama_sampler_init_greedy())
            return
        if sampling["top_k"] > 0:
            self._add(llama.llama_sampler_init_top_k(min(sampling["top_k"], context.vocab_size)))
        if sampling["top_p"] < 1:
            self._add(llama.llama_sampler_init_top_p(sampling["top_p"], 1))
        if sampling["min_p"] > 0:
            self._add(llama.llama_sampler_init_min_p(sampling["min_p"], 1))
        self._add(llama.llama_sampler_init_temp(sampling["temperature"]))
        self._add(llama.llama_sampler_init_dist(sampling["seed"] % RANDOM_SEED))

    def _add(self, sampler: Any) -> None:
        llama.llama_sampler_chain_add(self._chain, sampler)

    def _penalties(self, *values: float) -> Any:
        """A sampler of repeat, frequency and presence penalty, added."""
        sampler = llama.llama_sampler_init_penalties(self._context.vocab_size, PENALTY_WINDOW, *values)
        self._add(sampler)
        return sampler

    def choose(self, row: int, logits: npt.NDArray[np.float32]) -> int:
        """The next token from row `row` of the last batch. `logits` is that row, perhaps masked in place."""
        if self._chain is None:
            return int(np.argmax(logits))
        return int(
            llama.llama_sampler_sample(self._chain, ctypes.cast(self._context.handle, ctypes.c_void_p).value, row)
        )

    def force(self, token: int) -> None:
        """Tell penalties about a token that was not chosen but had no alternative."""
        if self._chain is not None:
            llama.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain and its samplers."""
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    def __del__(self) -> None:
        """A chain that was made for a request which nobody waited for any more is freed too."""
        self.close()


def sampler_of(context: Context, sampling: dict[str, Any], prompt: Sequence[int], *, exact: bool) -> Sampler:
    """The sampler of one request. Exact answers come from llama.cpp's samplers only."""
    if not exact and sampling["temperature"] >= COLDEST and draws(sampling):
        return TokenDraw(sampling, sampling["seed"] % RANDOM_SEED)
    return SamplerChain(context, sampling, prompt)


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities, same shape, in double precision, shifted by the maximum."""
    largest, total = _normalizer(logits)
    logs: npt.NDArray[np.float64] = logits.astype(np.float64) - largest - total
    return logs


def _normalizer(logits: npt.NDArray[np.float32]) -> tuple[np.float64, np.float64]:
    """The largest logit, and the logarithm of the sum of all exponentials after it was subtracted."""
    wide = logits.astype(np.float64)
    largest: np.float64 = wide.max()
    wide -= largest
    total: np.float64 = np.log(np.exp(wide, out=wide).sum())
    return largest, total


class RowLogprobs:
    """Log-probabilities in one row of logits: of the best `count` tokens, and of any single token.

    The best tokens are found at once, because a grammar may mask the row before one is chosen. A token that is chosen
    behind a mask has kept its logit.
    """

    def __init__(self, logits: npt.NDArray[np.float32], count: int) -> None:
        self._logits = logits
        self._largest, self._total = _normalizer(logits)
        self.best = [(token, self.of(token)) for token in best(logits, count)]
        """The most probable tokens, best first, with their log-probabilities."""

    def of(self, token: int) -> float:
        """What `log_softmax` gives for this token, bit for bit."""
        return float(np.float64(self._logits[token]) - self._largest - self._total)


def best(logits: npt.NDArray[np.float32], count: int) -> list[int]:
    """The `count` largest logits' tokens, best first. Equal ones are ordered by token id.

    Only tokens that are not below the `count`-th largest maximum of all blocks can be among them.
    """
    if count == 0:
        return []
    blocks = len(logits) // BLOCK
    at = np.arange(len(logits))
    if count <= blocks:
        maxima = logits[: blocks * BLOCK].reshape(-1, BLOCK).max(axis=1)
        at = np.flatnonzero(logits >= np.partition(maxima, -count)[-count])
    order = np.argsort(-logits[at], kind="stable")[:count]
    return [int(token) for token in at[order]]
