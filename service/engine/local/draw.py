"""Draws one token from one row of logits: temperature, top-p and min-p over the whole vocabulary, with numpy.

In: logits, a seed. Out: a token id. A `TokenDraw` belongs to one request, because its random generator has a state.
Not here: penalties, logit bias and top-k, which llama.cpp's samplers compute (`sampling`).

It draws the token of llama.cpp's chain for the same seed, because generator, order and rules are the same. Only
rounding differs: a sum of probabilities may differ in its last bits. So it serves fast answers, and exact answers keep
the chain. A draw over 49,152 tokens takes 0.08 ms, where llama.cpp's chain takes 0.4. Top-p is slow on both sides where
the distribution is flat, because most tokens are sorted: 20 and 54 ms for 151,936 tokens.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 256  # probabilities that are summed at once, so that only one block needs running sums
FIRST_CUT = 0.1  # of the largest probability: top-p first sorts the tokens above it, then those above a tenth of it
LOWEST_CUT = 1e-7

Row = npt.NDArray[np.float32]


class TokenDraw:
    """The draws of one request. See `draws` for the requests that it serves."""

    def __init__(self, sampling: dict[str, Any], seed: int) -> None:
        self._temperature = np.float32(sampling["temperature"])
        self._top_p, self._min_p = sampling["top_p"], sampling["min_p"]
        # std::mt19937 of llama.cpp's sampler, seeded alike (numpy's legacy seeding is Matsumoto's init_genrand).
        self._generator = np.random.RandomState(seed)

    @property
    def plain(self) -> bool:
        """Whether it takes the largest logit: never."""
        return False

    def choose(self, row: int, logits: Row) -> int:
        """The next token. Logits of minus infinity are never drawn. The row's number says nothing here."""
        at = _nucleus(logits, self._top_p) if self._top_p < 1 else None
        values = logits if at is None else logits[at]
        if self._min_p > 0:
            kept = np.flatnonzero(values >= values.max() + np.float32(math.log(self._min_p)))
            at = kept if at is None else at[kept]
            values = values[kept]
        place = _place(_exponentials(values / self._temperature), self._uniform())
        return int(place if at is None else at[place])

    def force(self, token: int) -> None:
        """Nothing: there is no penalty to tell."""

    def close(self) -> None:
        """Nothing to free."""

    def _uniform(self) -> float:
        """The next number of std::uniform_real_distribution<double> in 0..1: two 32-bit numbers, the low one first."""
        low, high = (int(number) for number in self._generator.randint(0, 1 << 32, size=2, dtype=np.uint32))
        return (low + high * 2.0**32) / 2.0**64


def draws(sampling: dict[str, Any]) -> bool:
    """Whether `TokenDraw` can serve this sampling: a draw over all tokens without penalties and bias."""
    penalties = (sampling["repeat_penalty"], sampling["frequency_penalty"], sampling["presence_penalty"])
    return sampling["top_k"] <= 0 and penalties == (1.0, 0.0, 0.0) and not sampling["logit_bias"]


def _exponentials(values: Row) -> Row:
    """Probabilities of these logits up to a factor, the largest is 1."""
    shifted: Row = values - values.max()
    return np.exp(shifted, out=shifted)


def _nucleus(logits: Row, top_p: float) -> npt.NDArray[np.intp]:
    """The most probable tokens that have at least `top_p` of the probability together, best first."""
    weights = _exponentials(logits)
    share = top_p * float(weights.sum(dtype=np.float64))
    cut = FIRST_CUT
    while cut > LOWEST_CUT:
        at = np.flatnonzero(weights >= cut)
        if float(weights[at].sum(dtype=np.float64)) >= share:
            break
        cut *= FIRST_CUT
    else:
        at = np.arange(len(weights))
    at = at[np.argsort(-weights[at], kind="stable")]
    return at[: 1 + _first(weights[at].cumsum(dtype=np.float64), share)]


def _place(weights: Row, uniform: float) -> int:
    """The first index where the running sum of `weights` reaches this part of the whole sum."""
    whole = len(weights) - len(weights) % BLOCK
    blocks = weights[:whole].reshape(-1, BLOCK).sum(axis=1, dtype=np.float64)
    sums = np.concatenate((blocks, weights[whole:].sum(keepdims=True, dtype=np.float64))).cumsum()
    target = max(float(sums[-1]) * uniform, sys.float_info.min)  # so that a weight of 0 never reaches it
    block = _first(sums, target)
    begin = block * BLOCK
    before = float(sums[block - 1]) if block else 0.0
    return begin + _first(before + weights[begin : begin + BLOCK].cumsum(dtype=np.float64), target)


def _first(sums: npt.NDArray[np.float64], target: float) -> int:
    """The first index where the sum reaches `target`. The last one if rounding keeps all below."""
    return min(int(np.searchsorted(sums, target)), len(sums) - 1)
