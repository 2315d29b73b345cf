"""The verdict: PASS, REGRESSION or NOT ENOUGH EVIDENCE, with its numbers and a stated error rate.

In: for each check, the cases that passed before and those that pass now. Out: a verdict.

Each check has two exact one-sided tests at `ALPHA`. McNemar's test asks whether the prompt is worse. Tango's test asks
whether it is not worse by more than `TOLERANCE`. If neither is shown, the verdict is NOT ENOUGH EVIDENCE.

* Holm's adjustment over the checks keeps the chance of a REGRESSION for an equally good prompt under `ALPHA`.
* A PASS needs every check to show that it is not worse. This keeps the chance of a PASS for a prompt that is worse in
  any check by `TOLERANCE` or more under `ALPHA`, without an adjustment (R. L. Berger, "Multiparameter hypothesis
  testing and acceptance sampling", Technometrics 24 (1982) 295-300).
* For a check with graded scores the first test flips the signs of the scores' differences. On pass and fail that is
  McNemar's test.
* A check under its own minimum is a REGRESSION, whatever was promoted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.evaluation import statistics
from service.evaluation.statistics import Interval

Word = Literal["PASS", "REGRESSION", "NOT ENOUGH EVIDENCE"]
Passes = Mapping[str, Mapping[str, bool]]
"""Maps check name and case id to whether the check passes."""
Scores = Mapping[str, Mapping[str, float]]
"""Maps check name and case id to the score, 0 to 1."""
ALPHA = 0.05
TOLERANCE = 0.05  # of the pass rate


@dataclass(frozen=True)
class CheckComparison:
    """One check before and now, on the `n` cases that both have. `difference` is that of the pass rates, with 95 %.

    `p_worse` is adjusted over the checks. `score` is the mean difference of graded scores with its 95 % bootstrap
    interval, None for a check that only passes or fails.
    """

    check: str
    n: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float
    p_not_worse: float
    difference: Interval
    score: tuple[float, Interval] | None = None

    @property
    def counts(self) -> str:
        """The counts as a part of a sentence."""
        text = f"{self.check}: {len(self.lost)} lost, {len(self.gained)} gained of {self.n}"
        return text if self.score is None else f"{text}, mean score {self.score[0]:+.3f}"


@dataclass(frozen=True)
class Verdict:
    """The word and its evidence. `passed` of `n` cases pass every check. A first promotion has no `compared`."""

    word: Word
    n: int
    passed: int
    reason: str
    compared: tuple[CheckComparison, ...] = ()

    @property
    def lost(self) -> tuple[str, ...]:
        """The ids of the cases that lost a check. They are listed under every verdict."""
        return tuple(dict.fromkeys(case for comparison in self.compared for case in comparison.lost))

    @property
    def gained(self) -> tuple[str, ...]:
        """The ids of the cases that gained a check."""
        return tuple(dict.fromkeys(case for comparison in self.compared for case in comparison.gained))


def decide(
    now: Passes,
    before: Passes | None,
    *,
    scores: tuple[Scores, Scores] | None = None,
    minimums: Mapping[str, float] | None = None,
    same_requests: bool = False,
) -> Verdict:
    """Compare check by check on the cases that both have.

    Without `before` the word is PASS, since there is nothing to compare with. A draft that drops cases of the promoted
    prompt cannot pass. `scores` are those of now and before. `minimums` are pass rates, 0 to 1, by check, and by "" for
    passing every check. With `same_requests` every request is equal to the promoted prompt's, so no test is needed
    unless a check of an answer was lost.
    """
    cases = next(iter(now.values()), {})
    n, passed = len(cases), sum(all(results[case] for results in now.values()) for case in cases)
    missed = _missed_minimums(now, passed, n, minimums or {})
    compared = _compare(now, before, scores or ({}, {})) if before is not None else ()
    if missed:
        return Verdict("REGRESSION", n, passed, "; ".join(missed), compared)
    if before is None:
        return Verdict("PASS", n, passed, "the first promotion: there is no baseline yet")
    dropped = sorted({case for results in before.values() for case in results} - set(cases))
    worse = [comparison for comparison in compared if comparison.p_worse <= ALPHA]
    unsure = [comparison for comparison in compared if comparison.p_not_worse > ALPHA]
    word: Word
    if worse:
        word = "REGRESSION"
        reason = "; ".join(f"{comparison.counts}: p = {comparison.p_worse:.3g}" for comparison in worse)
    elif dropped:
        word, reason = "NOT ENOUGH EVIDENCE", f"{len(dropped)} cases were not run: {', '.join(dropped)}"
    elif compared and same_requests:
        word, reason = "PASS", f"it asks exactly what the promoted prompt asks, on all {compared[0].n} cases"
    elif not compared or unsure:
        word, reason = "NOT ENOUGH EVIDENCE", _doubt(unsure)
    else:
        largest = max(comparison.p_not_worse for comparison in compared)
        word, reason = "PASS", f"a drop of {100 * TOLERANCE:.0f} points or more is excluded: p = {largest:.3g}"
    return Verdict(word, n, passed, reason, compared)


def _missed_minimums(now: Passes, passed: int, n: int, minimums: Mapping[str, float]) -> list[str]:
    """One sentence for each minimum that is not reached."""
    rates = {"": (passed, n), **{name: (sum(results.values()), len(results)) for name, results in now.items()}}
    sentences = []
    for name, minimum in minimums.items():
        good, total = rates[name]
        if good < minimum * total:
            subject = name or "all checks together"
            rate = f"{good} of {total} pass ({100 * good / total:.1f} %)"
            sentences.append(f"{subject}: {rate}, the minimum is {100 * minimum:g} %")
    return sentences


def _compare(now: Passes, before: Passes, scores: tuple[Scores, Scores]) -> tuple[CheckComparison, ...]:
    rows = []
    for check, passes in now.items():
        old = before.get(check, {})
        shared = [case for case in passes if case in old]
        if shared:
            lost = tuple(case for case in shared if old[case] and not passes[case])
            gained = tuple(case for case in shared if passes[case] and not old[case])
            rows.append((check, len(shared), lost, gained, _graded(check, shared, scores)))
    adjusted = statistics.holm(
        [
            statistics.mcnemar(len(lost), len(gained)) if graded is None else statistics.sign_flip(graded)
            for _, _, lost, gained, graded in rows
        ]
    )
    return tuple(
        CheckComparison(
            check, n, lost, gained, p, statistics.not_worse(len(lost), len(gained), n, TOLERANCE),
            statistics.paired_difference(len(lost), len(gained), n),
            None if graded is None else (sum(graded) / n, statistics.bootstrap(graded)),
        )
        for (check, n, lost, gained, graded), p in zip(rows, adjusted, strict=True)
    )  # fmt: skip


def _graded(check: str, shared: list[str], scores: tuple[Scores, Scores]) -> list[float] | None:
    """Paired differences of a check's scores, now minus before. None if every score is 0 or 1."""
    now, before = (table.get(check, {}) for table in scores)
    if not all(case in now and case in before for case in shared):
        return None
    if all(value in (0.0, 1.0) for case in shared for value in (now[case], before[case])):
        return None
    return [now[case] - before[case] for case in shared]


def _doubt(unsure: list[CheckComparison]) -> str:
    """The reason why nothing is shown, and the drop that this number of cases could show."""
    if not unsure:
        return "there is no case that both have"
    first = max(unsure, key=lambda comparison: comparison.p_not_worse)
    drop = statistics.smallest_detectable_drop(first.n)
    text = f"; {first.n} cases reveal a drop of {100 * drop:.0f} points with 80 % chance" if drop is not None else ""
    needed = statistics.cases_without_a_loss(TOLERANCE, ALPHA)
    if first.n < needed:
        text += f", and {needed} would exclude it if none is lost"
    return f"{first.counts}: a drop of {100 * TOLERANCE:.0f} points is not excluded (p = {first.p_not_worse:.3g}){text}"
