"""The verdict: PASS, REGRESSION or NOT ENOUGH EVIDENCE, with the numbers that led to it and a stated error rate.

What comes in: for each check, which of the same cases passed before and pass now. What goes out: a verdict. Two
one-sided tests per check at `alpha`, both exact: McNemar's for "it is worse", Tango's for "it is not worse by more than
`tolerance`". Holm's adjustment over the checks keeps the chance of calling a prompt that is truly as good a REGRESSION
under `alpha`; that every check must show it is not worse keeps the chance of a PASS for one that is truly worse in any
check by `tolerance` or more under `alpha` without an adjustment (R. L. Berger, "Multiparameter hypothesis testing and
acceptance sampling", Technometrics 24 (1982) 295-300). Where neither is shown: NOT ENOUGH EVIDENCE. For a check with
graded scores "it is worse" is asked of the scores, by flipping signs; on pass and fail that is McNemar's test. A check
that stays under its own minimum is a REGRESSION from what the prompt promises, whatever was promoted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.evaluation import statistics
from service.evaluation.statistics import Interval

Word = Literal["PASS", "REGRESSION", "NOT ENOUGH EVIDENCE"]
Passes = Mapping[str, Mapping[str, bool]]
"""check -> case id -> whether it passes."""
Scores = Mapping[str, Mapping[str, float]]
"""check -> case id -> its score, 0..1."""
ALPHA = 0.05
TOLERANCE = 0.05  # of the pass rate


@dataclass(frozen=True)
class CheckComparison:
    """One check, before and now, on the cases that both have. `difference` is of the pass rate, with 95 %."""

    check: str
    n: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float  # adjusted over the checks
    p_not_worse: float
    difference: Interval
    score: tuple[float, Interval] | None = None  # graded checks: mean difference of the scores, with 95 % by bootstrap

    @property
    def counts(self) -> str:
        """For a sentence."""
        said = f"{self.check}: {len(self.lost)} lost, {len(self.gained)} gained of {self.n}"
        return said if self.score is None else f"{said}, mean score {self.score[0]:+.3f}"


@dataclass(frozen=True)
class Verdict:
    """The word and its evidence; `compared` is empty on a first promotion. `passed` of `n` cases pass every check."""

    word: Word
    n: int
    passed: int
    reason: str
    compared: tuple[CheckComparison, ...] = ()

    @property
    def lost(self) -> tuple[str, ...]:
        """Cases that lost a check, by id: under deterministic decoding a fact about them, whatever the word."""
        return tuple(dict.fromkeys(case for each in self.compared for case in each.lost))

    @property
    def gained(self) -> tuple[str, ...]:
        """Cases that gained a check, by id."""
        return tuple(dict.fromkeys(case for each in self.compared for case in each.gained))


def decide(
    now: Passes,
    before: Passes | None,
    *,
    alpha: float = ALPHA,
    tolerance: float = TOLERANCE,
    scores: tuple[Scores, Scores] | None = None,
    minimums: Mapping[str, float] | None = None,
    asks_the_same: bool = False,
) -> Verdict:
    """Compare check by check on the cases that both have.

    Without a baseline it is a PASS that says so: there is nothing to be worse than, and the report shows the interval.
    A draft that drops cases of the promoted prompt cannot PASS: what is not asked cannot be shown. `scores` are now and
    before; `minimums` are pass rates, 0..1, by check, and by "" for passing every check. A draft that `asks_the_same`,
    to the fingerprint, is not another prompt: then there is nothing to be tested, unless an answer's check was lost.
    """
    cases = next(iter(now.values()), {})
    n, passed = len(cases), sum(all(check[case] for check in now.values()) for case in cases)
    under = _under(now, passed, n, minimums or {})
    compared = _compare(now, before, tolerance, scores or ({}, {})) if before is not None else ()
    if under:
        return Verdict("REGRESSION", n, passed, "; ".join(under), compared)
    if before is None:
        return Verdict("PASS", n, passed, "the first promotion: there is no baseline yet")
    dropped = sorted({case for check in before.values() for case in check} - set(cases))
    worse = [each for each in compared if each.p_worse <= alpha]
    unsure = [each for each in compared if each.p_not_worse > alpha]
    word: Word
    if worse:
        word, reason = "REGRESSION", "; ".join(f"{each.counts}: p = {each.p_worse:.3g}" for each in worse)
    elif dropped:
        word, reason = "NOT ENOUGH EVIDENCE", f"{len(dropped)} cases were not run: {', '.join(dropped)}"
    elif compared and asks_the_same:
        word, reason = "PASS", f"it asks exactly what the promoted prompt asks, on all {compared[0].n} cases"
    elif not compared or unsure:
        word, reason = "NOT ENOUGH EVIDENCE", _doubt(unsure, tolerance, alpha)
    else:
        most = max(each.p_not_worse for each in compared)
        word, reason = "PASS", f"a drop of {100 * tolerance:.0f} points or more is excluded: p = {most:.3g}"
    return Verdict(word, n, passed, reason, compared)


def _under(now: Passes, passed: int, n: int, minimums: Mapping[str, float]) -> list[str]:
    """What stays under its minimum, one sentence each."""
    rates = {"": (passed, n), **{name: (sum(each.values()), len(each)) for name, each in now.items()}}
    found = []
    for name, minimum in minimums.items():
        good, of = rates[name]
        if good < minimum * of:
            what = name or "all checks together"
            found.append(f"{what}: {good} of {of} pass ({100 * good / of:.1f} %), the minimum is {100 * minimum:g} %")
    return found


def _compare(
    now: Passes, before: Passes, tolerance: float, scores: tuple[Scores, Scores]
) -> tuple[CheckComparison, ...]:
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
            check, n, lost, gained, p, statistics.not_worse(len(lost), len(gained), n, tolerance),
            statistics.paired_difference(len(lost), len(gained), n),
            None if graded is None else (sum(graded) / n, statistics.bootstrap(graded)),
        )
        for (check, n, lost, gained, graded), p in zip(rows, adjusted, strict=True)
    )  # fmt: skip


def _graded(check: str, shared: list[str], scores: tuple[Scores, Scores]) -> list[float] | None:
    """Paired differences of a check's scores, now minus before; None where they are only pass and fail."""
    now, before = (each.get(check, {}) for each in scores)
    if not all(case in now and case in before for case in shared):
        return None
    if all(value in (0.0, 1.0) for case in shared for value in (now[case], before[case])):
        return None
    return [now[case] - before[case] for case in shared]


def _doubt(unsure: list[CheckComparison], tolerance: float, alpha: float) -> str:
    """Why nothing is shown, and what as many cases could show."""
    if not unsure:
        return "there is no case that both have"
    first = max(unsure, key=lambda each: each.p_not_worse)
    drop = statistics.smallest_detectable_drop(first.n)
    sees = f"; {first.n} cases reveal a drop of {100 * drop:.0f} points with 80 % chance" if drop is not None else ""
    needed = statistics.cases_without_a_loss(tolerance, alpha)
    if first.n < needed:
        sees += f", and {needed} would exclude it if none is lost"
    return f"{first.counts}: a drop of {100 * tolerance:.0f} points is not excluded (p = {first.p_not_worse:.3g}){sees}"
