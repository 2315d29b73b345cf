"""The search on scripted scores: it finds better candidates, keeps its budget, and is the same for the same seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from service.evaluation.improve import guard
from service.evaluation.improve.candidates import DraftCandidate, Space
from service.evaluation.improve.search import SearchState, rungs, search
from tests.tiers import draws

FIRST = DraftCandidate(0, (), False)
LABELS = ["a", "b", "c"] * 10


class Scores:
    """Even examples help, odd ones do harm, calibration helps. Cases have their own difficulty, and scores are noisy.

    Every third case is the example with its number.
    """

    def __init__(self, seed: int = 0, effect: float = 0.05) -> None:
        self.noise, self.effect = random.Random(seed), effect
        self.asked: list[tuple[DraftCandidate, tuple[int, ...]]] = []

    def true(self, candidate: DraftCandidate) -> float:
        helps = sum(1 if index % 2 == 0 else -1 for index in candidate.examples)
        return self.effect * (helps + candidate.calibrated)

    async def __call__(self, candidate: DraftCandidate, cases: Sequence[int]) -> list[float | None]:
        self.asked.append((candidate, tuple(cases)))
        return [
            None if case in candidate.examples and case % 3 == 0
            else 0.3 + case / 200 + self.true(candidate) + self.noise.gauss(0, 0.15)
            for case in cases
        ]  # fmt: skip


def searched(scores: Scores, budget: int = 1500, seed: int = 0, **space: object) -> SearchState:
    state = SearchState(FIRST, list(range(60)), scores, budget)
    asyncio.run(search(Space(LABELS, 8, calibrations=(False, True)), state, seed))
    return state


def test_a_search_finds_what_is_better() -> None:
    """The best candidate has more helpful examples than a random one. The expected gain of that one is 0."""
    gains = []
    for seed in range(5):
        scores = Scores(seed)
        gains.append(scores.true(searched(scores, seed=seed).ranked()[0]))
    assert min(gains) >= 0.1
    assert fmean(gains) >= 0.18


def test_a_search_asks_each_case_once_and_keeps_its_budget() -> None:
    scores = Scores()
    state = searched(scores, 700)
    answers = [(candidate, case) for candidate, cases in scores.asked for case in cases]
    assert len(answers) == len(set(answers)) == state.spent <= 700
    assert state.spent > 600
    assert [trial.answers for trial in state.trials] == sorted(trial.answers for trial in state.trials)


def test_the_same_seed_gives_the_same_search_and_another_one_another() -> None:
    first, again, other = (searched(Scores(1), 500, seed).trials for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_budget_below_the_first_candidate_ends_at_once() -> None:
    state = searched(Scores(), 59)
    assert state.spent == 0
    assert state.ranked() == []


def test_the_rungs_end_with_all_cases() -> None:
    assert rungs(60, 3) == [8, 24, 60]
    assert rungs(72, 3) == [8, 24, 72]
    assert rungs(64, 5) == [10, 30, 64]
    assert rungs(9, 5) == [9]


def test_a_chain_shares_its_beginnings_and_balances_labels() -> None:
    space = Space(LABELS, 6, wordings=2, calibrations=(False, True))
    for seed in range(20):
        chain = space.chain(random.Random(seed))
        assert [len(candidate.examples) for candidate in chain] == [1, 2, 4, 6]
        longest = chain[-1].examples
        assert all(candidate.examples == longest[: len(candidate.examples)] for candidate in chain)
        labels = [LABELS[index] for index in longest]
        assert sorted(labels) == ["a", "a", "b", "b", "c", "c"]


def test_a_neighbour_is_one_change_away_and_inside_the_space() -> None:
    space = Space(LABELS, 4, wordings=3, calibrations=(False, True))
    draw = random.Random(0)
    candidate = DraftCandidate(1, (0, 5, 9), True)
    sizes = set()
    for _ in range(300):
        other = space.neighbour(candidate, draw)
        sizes.add(len(other.examples))
        assert len(set(other.examples)) == len(other.examples) <= 4
        changed = (other.wording != 1) + (other.calibrated is not True) + (other.examples != candidate.examples)
        assert changed <= 1
        assert len(set(other.examples) - set(candidate.examples)) <= 1
    assert sizes == {2, 3, 4}


def test_a_space_without_examples_still_has_candidates() -> None:
    space = Space([], 8, calibrations=(False, True))
    assert [candidate.examples for candidate in space.chain(random.Random(0))] == [()]


@pytest.mark.parametrize("labels", [["a"] * 30, ["a"] * 60 + ["b"] * 30])
def test_a_third_of_the_dev_cases_is_held_and_each_beginning_has_the_labels_in_proportion(labels: list[str]) -> None:
    order, held = guard.divide(labels, 5)
    assert sorted([*order, *held]) == list(range(len(labels)))
    assert len(held) == len(labels) // 3
    for size in (12, len(order)):
        share = sum(labels[number] == "a" for number in order[:size]) / size
        assert abs(share - labels.count("a") / len(labels)) <= 0.1


@pytest.mark.draws
def test_a_draft_is_rarely_replaced_by_chance() -> None:
    """Candidates that are all alike: the guard replaces the draft in at most its stated share of searches."""
    repeats = draws(100, 2000)
    random_ = random.Random(0)
    replaced = 0
    for _ in range(repeats):
        finalists = [DraftCandidate(0, (index,), False) for index in range(4)]
        held = {candidate: [random_.gauss(0, 0.2) for _ in range(12)] for candidate in finalists}
        winner = guard.choose(FIRST, dict.fromkeys(finalists, 0.2), held)
        replaced += winner.candidate != FIRST
    assert replaced <= repeats * guard.ALPHA + 3 * (repeats * guard.ALPHA * (1 - guard.ALPHA)) ** 0.5


def test_a_real_gain_on_held_cases_wins_and_its_optimism_is_told() -> None:
    good, lucky = DraftCandidate(0, (1,), False), DraftCandidate(0, (2,), False)
    held = {good: [0.1, 0.2, 0.05] * 8, lucky: [0.2, -0.2, 0.01] * 8}
    winner = guard.choose(FIRST, {good: 0.15, lucky: 0.4}, held)
    assert winner.candidate == good
    assert winner.optimism == pytest.approx(0.15 - 0.35 / 3)
    assert winner.p < 0.001
    assert guard.choose(FIRST, {lucky: 0.4}, {lucky: held[lucky]}).candidate == FIRST
    assert guard.choose(FIRST, {}, {}).candidate == FIRST
