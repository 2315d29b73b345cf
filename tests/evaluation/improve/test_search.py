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
from tests.evaluation.simulations import FIRST, LABELS, replaced
from tests.tiers import draws


class Scores:
    """Even examples help, odd ones do harm, a fit helps. Cases have their own difficulty, and scores are noisy.

    Every third case is the example with its number.
    """

    def __init__(self, seed: int = 0, effect: float = 0.05) -> None:
        self.noise, self.effect = random.Random(seed), effect
        self.asked: list[tuple[DraftCandidate, tuple[int, ...]]] = []

    def true(self, candidate: DraftCandidate) -> float:
        helps = sum(1 if index % 2 == 0 else -1 for index in candidate.examples)
        return self.effect * (helps + candidate.fitted)

    async def __call__(self, candidate: DraftCandidate, cases: Sequence[int]) -> list[float | None]:
        self.asked.append((candidate, tuple(cases)))
        return [
            None if case in candidate.examples and case % 3 == 0
            else 0.3 + case / 200 + self.true(candidate) + self.noise.gauss(0, 0.15)
            for case in cases
        ]  # fmt: skip


def searched(scores: Scores, budget: int = 1500, seed: int = 0) -> SearchState:
    state = SearchState(FIRST, list(range(60)), scores, budget)
    asyncio.run(search(Space(LABELS, 8, fitted=True), state, seed))
    return state


def test_a_search_finds_what_is_better() -> None:
    """The best candidate has more helpful examples than a random one. The expected gain of that one is 0."""
    gains = []
    for seed in range(5):
        scores = Scores(seed)
        gains.append(scores.true(searched(scores, seed=seed).ranked()[0]))
    assert min(gains) >= 0.1
    assert fmean(gains) >= 0.18


def test_a_search_keeps_its_budget_and_a_fit_of_known_answers_costs_nothing() -> None:
    scores = Scores()
    state = searched(scores, 700)
    answers = {(candidate.examples, case) for candidate, cases in scores.asked for case in cases}
    assert len(answers) == state.spent <= 700
    sizes = [(candidate, len(cases)) for candidate, cases in scores.asked]
    assert len(sizes) == len(set(sizes)), "a candidate is scored once on so many cases"
    assert (FIRST.examples, True) in {(candidate.examples, candidate.fitted) for candidate, _ in scores.asked}
    assert state.spent > 600
    assert [trial.answers for trial in state.trials] == sorted(trial.answers for trial in state.trials)


@pytest.mark.parametrize("budget", [250, 500, 700])
def test_the_last_answers_complete_candidates_that_the_budget_interrupted(budget: int) -> None:
    """The rest completes no further one."""
    state = searched(Scores(), budget)
    left = [len(state.order) - len(scores) for scores in state.scores.values() if len(scores) < len(state.order)]
    assert left
    assert min(left) > budget - state.spent


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
    space = Space(LABELS, 6, wordings=2, fitted=True)
    for seed in range(20):
        chain = space.chain(random.Random(seed))
        assert [len(candidate.examples) for candidate in chain] == [1, 2, 4, 6]
        longest = chain[-1].examples
        assert all(candidate.examples == longest[: len(candidate.examples)] for candidate in chain)
        labels = [LABELS[index] for index in longest]
        assert sorted(labels) == ["a", "a", "b", "b", "c", "c"]


def test_a_neighbour_is_one_change_away_and_inside_the_space() -> None:
    space = Space(LABELS, 4, wordings=3, fitted=True)
    draw = random.Random(0)
    candidate = DraftCandidate(1, (0, 5, 9), True)
    sizes = set()
    for _ in range(300):
        other = space.neighbour(candidate, draw)
        assert other.fitted
        sizes.add(len(other.examples))
        assert len(set(other.examples)) == len(other.examples) <= 4
        changed = (other.wording != 1) + (other.examples != candidate.examples)
        assert changed <= 1
        assert len(set(other.examples) - set(candidate.examples)) <= 1
    assert sizes == {2, 3, 4}


def test_a_space_without_examples_still_has_candidates() -> None:
    space = Space([], 8, fitted=True)
    assert [candidate.examples for candidate in space.chain(random.Random(0))] == [()]


@pytest.mark.parametrize("labels", [["a"] * 30, ["a"] * 60 + ["b"] * 30])
def test_each_beginning_of_the_order_has_the_labels_in_proportion(labels: list[str]) -> None:
    order = guard.ordered(labels, 5)
    assert sorted(order) == list(range(len(labels)))
    for size in (12, len(order)):
        share = sum(labels[number] == "a" for number in order[:size]) / size
        assert abs(share - labels.count("a") / len(labels)) <= 0.1


@pytest.mark.draws
def test_a_draft_is_rarely_replaced_by_chance() -> None:
    """Whole searches among candidates as good as the draft: the share of replaced drafts keeps its rate."""
    repeats = draws(60, 2000)
    assert replaced(0.0, repeats) <= repeats * guard.ALPHA + 3 * (repeats * guard.ALPHA * (1 - guard.ALPHA)) ** 0.5


@pytest.mark.draws
def test_a_large_gain_is_found() -> None:
    """Candidates that are right in 85 of 100 cases, where the draft is right in 50."""
    repeats = draws(10, 100)
    assert replaced(0.35, repeats) >= 0.8 * repeats


class TwoScores:
    """One candidate has the better smooth score, and passes `passed` of 20 cases. The draft passes 10."""

    def __init__(self, passed: int) -> None:
        self.passed = passed

    def scores(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        return dict.fromkeys(numbers, 0.1 if candidate == FIRST else 0.9)

    def passes(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        passed = 10 if candidate == FIRST else self.passed
        return {number: float(number < passed) for number in numbers}

    def unseen(self, candidate: DraftCandidate, seen: Sequence[int], left: Sequence[int]) -> dict[int, float]:
        return self.passes(candidate, left)


def test_a_better_score_does_not_replace_a_draft_that_passes_as_many_cases() -> None:
    """The shares of a draft that is sure of wrong answers are worse than those of any fit."""
    other = DraftCandidate(0, (1,), True)
    chosen = [guard.best_of(FIRST, [FIRST, other], range(20), TwoScores(passed)) for passed in (8, 10, 11)]
    assert chosen == [FIRST, FIRST, other]
    assert guard.best_of(FIRST, [FIRST], range(20), TwoScores(20)) == FIRST


def test_a_gain_of_unseen_cases_wins_and_its_optimism_is_told() -> None:
    good = DraftCandidate(0, (1,), True)
    found = guard.NestedResult(
        dict.fromkeys(range(20), 0.0), dict.fromkeys(range(20), 0.0) | dict.fromkeys(range(8), 1.0)
    )
    winner = guard.choose(FIRST, good, 0.5, found)
    assert (winner.candidate, winner.held) == (good, pytest.approx(0.4))
    assert winner.optimism == pytest.approx(0.1)
    assert winner.p == pytest.approx(0.5**8)
    few = guard.NestedResult(
        dict.fromkeys(range(20), 0.0), dict.fromkeys(range(20), 0.0) | dict.fromkeys(range(4), 1.0)
    )
    assert guard.choose(FIRST, good, 0.5, few).candidate == FIRST
    assert guard.choose(FIRST, FIRST, 0.0, guard.NestedResult({}, {})).candidate == FIRST
