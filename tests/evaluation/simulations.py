"""Simulated promotions and searches with a known truth, for error rates and power.

In: a truth, a number of simulations, a seed. Out: how often a verdict or a replacement came out.
Not here: the assertions (`test_verdict`, `improve.test_search`) and the table of the docs (`tests.bench.error_rates`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from service.evaluation.groups import Groups
from service.evaluation.improve import guard
from service.evaluation.improve.candidates import DraftCandidate, Space
from service.evaluation.improve.search import SearchState, search
from service.evaluation.verdict import Passes, Rules, decide

FIRST = DraftCandidate(0, ())
LABELS = ["a", "b", "c"] * 10


def table(losses: int, gains: int, n: int) -> tuple[dict[str, dict[str, bool]], dict[str, dict[str, bool]]]:
    """(now, before) with these counts. Every third of the unchanged cases fails both times."""
    now, before = {}, {}
    for index in range(n):
        name = f"case-{index:04}"
        now[name], before[name] = (
            (False, True) if index < losses else (True, False) if index < losses + gains else (index % 3 > 0,) * 2
        )
    return {"label": now}, {"label": before}


def by_class(
    sizes: Sequence[int], losses: Sequence[int], gains: Sequence[int]
) -> tuple[Passes, Passes, Groups]:  # fmt: skip
    """(now, before, groups). Each class loses its first cases, gains its next ones, and keeps the rest."""
    now, before, groups = {}, {}, {}
    for label, (size, lost, gained) in enumerate(zip(sizes, losses, gains, strict=True)):
        names = [f"{label}-{index:03}" for index in range(size)]
        groups[f"class {label}"] = frozenset(names)
        for index, name in enumerate(names):
            before[name], now[name] = not lost <= index < lost + gained, index >= lost
    return {"label": now}, {"label": before}, groups


def promotions(n: int, lost: float, gained: float, times: int, seed: int) -> Counter[str]:
    """The words of promotions on `n` cases, each of which is lost and gained with these probabilities."""
    counts = np.random.default_rng(seed).multinomial(n, [lost, gained, 1 - lost - gained], times)
    words: Counter[str] = Counter()
    for (losses, gains, _), number in Counter(tuple(map(int, row)) for row in counts).items():
        words[decide(*table(losses, gains, n)).word] += number
    return words


def promotions_with_classes(rates: Sequence[tuple[float, float]], size: int, times: int, seed: int) -> Counter[str]:
    """The words of promotions with classes of `size` cases. `rates` are shares of lost and gained cases."""
    random, words = np.random.default_rng(seed), Counter[str]()
    for _ in range(times):
        counts = [random.multinomial(size, [lost, gained, 1 - lost - gained]) for lost, gained in rates]
        now, before, groups = by_class([size] * len(rates), *([int(row[at]) for row in counts] for at in (0, 1)))
        words[decide(now, before, rules=Rules(groups=groups)).word] += 1
    return words


def first_promotions(shares: Sequence[float], right: float, n: int, times: int, seed: int) -> Counter[str]:
    """The words of first promotions. The prompt knows the label with probability `right`, and guesses otherwise."""
    random, words, labels = np.random.default_rng(seed), Counter[str](), len(shares)
    for _ in range(times):
        truth, guess = random.choice(labels, n, p=shares), random.choice(labels, n, p=shares)
        answers = np.where(random.random(n) < right, truth, guess)
        now = {"label": {str(case): bool(truth[case] == answers[case]) for case in range(n)}}
        constants = {str(k): {str(case): bool(truth[case] == k) for case in range(n)} for k in range(labels)}
        words[decide(now, None, rules=Rules(constants=constants)).word] += 1
    return words


class SimulatedAnswers:
    """Right or wrong by chance: the draft with probability 0.5, a candidate with 0.5 and `gain`. Scores are noisy."""

    def __init__(self, seed: int, cases: int = 60, gain: float = 0.0) -> None:
        self.seed, self.cases, self.gain = seed, cases, gain
        self._drawn = cache(self._draw)

    def _draw(self, candidate: DraftCandidate) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(1 or 0 for each case, a score for each case)."""
        random = np.random.default_rng([self.seed, zlib.crc32(repr(candidate).encode())])
        right = (random.random(self.cases) < 0.5 + self.gain * (candidate != FIRST)).astype(np.float64)
        return right, (right + random.random(self.cases)) / 2

    async def __call__(self, candidate: DraftCandidate, numbers: Sequence[int]) -> list[float | None]:
        """The scores, for a search."""
        return [float(self._drawn(candidate)[1][number]) for number in numbers]

    def scores(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        """The scores, for a choice."""
        return {number: float(self._drawn(candidate)[1][number]) for number in numbers}

    def passes(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        """1 for a right answer and 0 for a wrong one."""
        return {number: float(self._drawn(candidate)[0][number]) for number in numbers}

    def unseen(self, candidate: DraftCandidate, seen: Sequence[int], left: Sequence[int]) -> dict[int, float]:
        """The same, because there is no fit."""
        return self.passes(candidate, left)

    def winner(self, budget: int) -> guard.Winner:
        """A whole search and its guard."""
        order = guard.ordered([""] * self.cases, self.seed)
        state = SearchState(FIRST, order, self, budget)
        asyncio.run(search(Space(LABELS, 8, fitted=True), state, self.seed))
        best = guard.best_of(FIRST, state.ranked(), order, self)
        return guard.choose(FIRST, best, 0.0, guard.nested(FIRST, state.ranked(), order, 5, self))


def replaced(gain: float, times: int, cases: int = 60, budget: int = 420, seed: int = 0) -> int:
    """How many of so many searches replace the draft, if every candidate is better by `gain`."""
    runs = range(seed, seed + times)
    return sum(SimulatedAnswers(one, cases, gain).winner(budget).candidate != FIRST for one in runs)
