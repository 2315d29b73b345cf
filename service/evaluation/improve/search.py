"""The search: random draws, then changes of the best candidate, both with successive halving.

In: a space, a first candidate, a function that scores a candidate on some cases, a budget of answers. Out: every
candidate with its scores, and the course of the best one.
Not here: prompts, engines and cases, which are numbers here, and the guard against chance (`guard`).

Successive halving scores all candidates of a round on a few cases, the best third on three times as many, and so on
until all cases are used (K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization", AISTATS 2016). A candidate is compared with the first one on the same cases. This removes the difficulty
of the cases from the comparison. The same seed and the same scores give the same search.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from service.evaluation.improve.candidates import DraftCandidate, Space

Ask = Callable[[DraftCandidate, Sequence[int]], Awaitable[list[float | None]]]
"""Scores a candidate on cases. None stands for a case that the candidate has as an example. More cases may change the
score of each, since a calibration is fitted on all of them."""
RATE = 3  # of each round, one of so many candidates goes on
LEAST = 8  # cases of the first step of a round
ROUND = 12  # candidates of a random round
NEIGHBOURS = 6  # candidates of a round of changes
RANDOM_SHARE = 0.5  # of the budget
STALE = 3  # rounds of changes without a better candidate, after which the next best one is changed


@dataclass(frozen=True)
class Trial:
    """One candidate on so many cases, after `answers` answers: its mean gain over the first candidate."""

    candidate: DraftCandidate
    cases: int
    gain: float
    answers: int


@dataclass
class SearchState:
    """The scores so far. `order` are the cases, the first of which are used first."""

    first: DraftCandidate
    order: Sequence[int]
    ask: Ask
    budget: int
    scores: dict[DraftCandidate, dict[int, float | None]] = field(default_factory=dict)
    answered: set[tuple[int, tuple[int, ...], int]] = field(default_factory=set)
    trials: list[Trial] = field(default_factory=list)
    spent: int = 0

    def gain(self, candidate: DraftCandidate) -> float:
        """The mean of the score's differences to the first candidate, on the cases that both have."""
        mine, first = self.scores.get(candidate, {}), self.scores[self.first]
        pairs = [(mine[case], first.get(case)) for case in mine]
        gains = [now - before for now, before in pairs if now is not None and before is not None]
        return fmean(gains) if gains else 0.0

    def is_complete(self, candidate: DraftCandidate) -> bool:
        """Whether the candidate was scored on every case."""
        return len(self.scores.get(candidate, {})) == len(self.order)

    def ranked(self) -> list[DraftCandidate]:
        """The candidates that were scored on every case, the best first."""
        complete = [candidate for candidate in self.scores if self.is_complete(candidate)]
        return sorted(complete, key=lambda candidate: (-self.gain(candidate), len(candidate.examples)))

    def best_gain(self) -> float:
        """The gain of the best candidate that was scored on every case. 0 before the first one is."""
        ranked = self.ranked()
        return self.gain(ranked[0]) if ranked else 0.0

    async def score(self, candidate: DraftCandidate, size: int) -> bool:
        """Score a candidate on the first `size` cases. False if the budget does not allow it.

        A candidate that differs from another in its calibration only costs no answer.
        """
        known, cases = self.scores.get(candidate, {}), self.order[:size]
        answers = {(candidate.wording, candidate.examples, case) for case in cases}
        cost = len(answers - self.answered)
        if self.spent + cost > self.budget:
            return False
        if len(known) < len(cases):
            self.scores[candidate] = dict(zip(cases, await self.ask(candidate, cases), strict=True))
            self.answered |= answers
            self.spent += cost
            self.trials.append(Trial(candidate, len(self.scores[candidate]), self.gain(candidate), self.spent))
        return True


async def search(space: Space, state: SearchState, seed: int) -> None:
    """Fill the state until its budget is spent, or until nothing new is drawn. The first candidate is scored first.

    The last answers complete the best of the candidates that the end of the budget interrupted.
    """
    draw = random.Random(seed)  # noqa: S311 # not a secret
    if not await state.score(state.first, len(state.order)):
        return
    await _climb(space, state, draw)
    unfinished = [candidate for candidate in state.scores if not state.is_complete(candidate)]
    for candidate in sorted(unfinished, key=lambda one: (-len(state.scores[one]), -state.gain(one))):
        await state.score(candidate, len(state.order))


async def _climb(space: Space, state: SearchState, draw: random.Random) -> None:
    """Random rounds for a share of the budget, then rounds of changes."""
    sizes = rungs(len(state.order), len(set(space.labels)))
    limit = state.spent + RANDOM_SHARE * (state.budget - state.spent)
    await _round(state, _plain(space, state.first), sizes)
    while state.spent < limit and await _round(state, _drawn(space, state, draw), sizes):
        pass
    origin, stale = 0, 0
    while state.spent < state.budget:
        ranked = state.ranked()
        best = ranked[min(origin, len(ranked) - 1)]
        changed = {space.neighbour(best, draw): None for _ in range(4 * NEIGHBOURS)}
        fresh = [candidate for candidate in changed if candidate not in state.scores][:NEIGHBOURS]
        if not fresh or not await _round(state, fresh, sizes):
            return
        better = state.ranked()[0] != ranked[0]
        origin, stale = (0, 0) if better else (origin, stale + 1)
        if stale == STALE:
            origin, stale = origin + 1, 0


def rungs(cases: int, labels: int) -> list[int]:
    """The numbers of cases of a round: a few for each label, three times as many, and so on, at last all."""
    sizes = [min(cases, max(LEAST, 2 * labels))]
    while sizes[-1] * RATE <= cases:
        sizes.append(sizes[-1] * RATE)
    return sizes if sizes[-1] == cases else [*sizes, cases]


def _plain(space: Space, first: DraftCandidate) -> list[DraftCandidate]:
    """The first candidate with every wording, fitted where it can be, which a draft's author would try first."""
    every = [DraftCandidate(wording, first.examples, space.fitted) for wording in range(space.wordings)]
    return [candidate for candidate in every if candidate != first]


def _drawn(space: Space, state: SearchState, draw: random.Random) -> list[DraftCandidate]:
    """Candidates of a few chains that were not scored yet. Chains prefer wordings that did well."""
    known = sorted(state.scores, key=state.gain, reverse=True)
    models = known[: max(1, len(known) // RATE)]
    drawn: dict[DraftCandidate, None] = {}
    for _ in range(ROUND):
        drawn.update((candidate, None) for candidate in space.chain(draw, models) if candidate not in state.scores)
        if len(drawn) >= ROUND:
            break
    return list(drawn)


async def _round(state: SearchState, candidates: Sequence[DraftCandidate], sizes: Sequence[int]) -> bool:
    """One round of successive halving. False if there is no candidate, or if the budget ended."""
    left = list(candidates)
    for size in sizes:
        for candidate in left:
            if not await state.score(candidate, size):
                return False
        left = sorted(left, key=state.gain, reverse=True)[: max(1, len(left) // RATE)]
    return bool(candidates)
