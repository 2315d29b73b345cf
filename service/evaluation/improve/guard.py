"""The guard against chance: the whole choice is repeated without each fifth of the dev cases, and judged on it.

In: dev cases and their labels, or candidates with their scores. Out: an order of the cases, and the winner with its
evidence.
Not here: the search, and the verdict on deciding cases.

The best of many candidates looks better than it is (G. C. Cawley, N. L. C. Talbot, "On over-fitting in model selection
and subsequent selection bias in performance evaluation", JMLR 11 (2010) 2079-2107). So cross-validation is nested: for
each fold, the other folds choose a candidate and fit its calibration, and the fold's own cases judge both (S. Varma, R.
Simon, "Bias in error estimation when using cross-validation for model selection", BMC Bioinformatics 7 (2006) 91). A
one-sided test of the paired differences to the draft decides. All dev cases take part, and none judges a choice that it
made. The optimism is the winner's gain in the search less this gain.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from service.evaluation import statistics
from service.evaluation.improve.candidates import DraftCandidate

LEAST_CASES = 12
FEW_CASES = 30  # fewer dev cases leave a wide interval, which is told
ALPHA = 0.1  # the share of searches that may replace a draft by one that is no better
TEST_ALPHA = 0.04  # of the nested test. It is below ALPHA, because the cases also steered the search for candidates


class Scores(Protocol):
    """The scores of candidates on cases, by their numbers. A case without an answer is left out."""

    def scores(self, candidate: DraftCandidate, numbers: Sequence[int]) -> Mapping[int, float]:
        """Smooth scores, for a choice. Only these cases take part."""

    def passes(self, candidate: DraftCandidate, numbers: Sequence[int]) -> Mapping[int, float]:
        """1 for each case that passes and 0 for others, by a calibration that did not see the case."""

    def unseen(self, candidate: DraftCandidate, seen: Sequence[int], left: Sequence[int]) -> Mapping[int, float]:
        """1 for each of the cases `left` that passes, and 0 for others, by a calibration fitted on `seen`."""


def ordered(labels: Sequence[str], seed: int) -> list[int]:
    """The cases as numbers, in an order whose every beginning has each label in proportion."""
    draw = random.Random(seed)  # noqa: S311 # not a secret
    by_label: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_label.setdefault(label, []).append(number)
    places: list[tuple[float, int]] = []
    for members in by_label.values():
        draw.shuffle(members)
        places += [((rank + draw.random()) / len(members), number) for rank, number in enumerate(members)]
    return [number for _, number in sorted(places)]


@dataclass(frozen=True)
class Winner:
    """The chosen candidate. Gains are mean differences to the draft.

    `searched` is the winner's gain on all dev cases, and these chose it. `held` is the gain of choices on cases that
    they did not see, and `p` of its test.
    """

    candidate: DraftCandidate
    searched: float
    held: float
    p: float

    @property
    def optimism(self) -> float:
        """How much better the winner looked during the search than on cases that a choice did not see."""
        return self.searched - self.held


@dataclass(frozen=True)
class NestedResult:
    """The draft and the choices on cases that the choices did not see, by the cases' numbers."""

    before: Mapping[int, float]
    now: Mapping[int, float]

    @property
    def differences(self) -> list[float]:
        """The paired differences."""
        return [self.now[number] - self.before[number] for number in self.now]


def best_of(
    first: DraftCandidate, candidates: Sequence[DraftCandidate], numbers: Sequence[int], scores: Scores
) -> DraftCandidate:
    """The candidate with the largest mean gain of the score on these cases, if more of them pass. Else the first one.

    A smooth score chooses among candidates better than right and wrong do, and more right answers are the aim.
    """
    before = scores.scores(first, numbers)
    others = [candidate for candidate in candidates if candidate != first]
    gains = {candidate: gain(before, scores.scores(candidate, numbers)) for candidate in others}
    best = max(others, key=gains.__getitem__, default=first)
    if best == first or gain(scores.passes(first, numbers), scores.passes(best, numbers)) <= 0:
        return first
    return best


def gain(before: Mapping[int, float], now: Mapping[int, float]) -> float:
    """The mean difference on the cases that both have."""
    both = now.keys() & before.keys()
    return fmean(now[number] - before[number] for number in both) if both else 0.0


def nested(
    first: DraftCandidate, candidates: Sequence[DraftCandidate], order: Sequence[int], folds: int, scores: Scores
) -> NestedResult:
    """The nested cross-validation. The fold of a case is the rest of its place in `order`."""
    before: dict[int, float] = {}
    now: dict[int, float] = {}
    for fold in range(folds):
        left = order[fold::folds]
        seen = [number for place, number in enumerate(order) if place % folds != fold]
        chosen = best_of(first, candidates, seen, scores)
        old, new = scores.unseen(first, seen, left), scores.unseen(chosen, seen, left)
        both = [number for number in left if number in old and number in new]
        before |= {number: old[number] for number in both}
        now |= {number: new[number] for number in both}
    return NestedResult(before, now)


def choose(first: DraftCandidate, best: DraftCandidate, searched: float, result: NestedResult) -> Winner:
    """The best candidate, or the first one if the gain of the nested cross-validation may be chance.

    `searched` is the best candidate's gain on all dev cases.
    """
    differences = result.differences
    p = statistics.sign_flip(differences, "better") if differences else 1.0
    held = fmean(differences) if differences else 0.0
    if best == first or held <= 0 or p > TEST_ALPHA:
        return Winner(first, 0.0, 0.0, p)
    return Winner(best, searched, held, p)
