"""The verdict: PASS, REGRESSION or NOT ENOUGH EVIDENCE, with the numbers that led to it and a stated error rate.

What comes in: for each check, which of the same cases passed before and pass now. What goes out: a verdict. Two
one-sided tests per check at `alpha`, both exact: McNemar's for "it is worse", Tango's for "it is not worse by more than
`tolerance`". Holm's adjustment over the checks keeps the chance of calling a prompt that is truly as good a REGRESSION
under `alpha`; that every check must show it is not worse keeps the chance of a PASS for one that is truly worse in any
check by `tolerance` or more under `alpha` without an adjustment (R. L. Berger, "Multiparameter hypothesis testing and
acceptance sampling", Technometrics 24 (1982) 295-300). Where neither is shown: NOT ENOUGH EVIDENCE.
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
ALPHA = 0.05
TOLERANCE = 0.05  # of the pass rate


@dataclass(frozen=True)
class Compared:
    """One check, before and now, on the cases that both have. `difference` is of the pass rate, with 95 %."""

    check: str
    n: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float  # adjusted over the checks
    p_not_worse: float
    difference: Interval

    @property
    def counts(self) -> str:
        """For a sentence."""
        return f"{self.check}: {len(self.lost)} lost, {len(self.gained)} gained of {self.n}"


@dataclass(frozen=True)
class Verdict:
    """The word and its evidence; `compared` is empty on a first promotion. `passed` of `n` cases pass every check."""

    word: Word
    n: int
    passed: int
    reason: str
    compared: tuple[Compared, ...] = ()

    @property
    def lost(self) -> tuple[str, ...]:
        """Cases that lost a check, by id: under deterministic decoding a fact about them, whatever the word."""
        return tuple(dict.fromkeys(case for each in self.compared for case in each.lost))

    @property
    def gained(self) -> tuple[str, ...]:
        """Cases that gained a check, by id."""
        return tuple(dict.fromkeys(case for each in self.compared for case in each.gained))


def decide(now: Passes, before: Passes | None, *, alpha: float = ALPHA, tolerance: float = TOLERANCE) -> Verdict:
    """Compare check by check on the cases that both have.

    Without a baseline it is a PASS that says so: there is nothing to be worse than, and the report shows the interval.
    A draft that drops cases of the promoted prompt cannot PASS: what is not asked cannot be shown.
    """
    cases = next(iter(now.values()), {})
    n, passed = len(cases), sum(all(check[case] for check in now.values()) for case in cases)
    if before is None:
        return Verdict("PASS", n, passed, "the first promotion: there is no baseline yet")
    compared = _compare(now, before, tolerance)
    dropped = sorted({case for check in before.values() for case in check} - set(cases))
    worse = [each for each in compared if each.p_worse <= alpha]
    unsure = [each for each in compared if each.p_not_worse > alpha]
    word: Word
    if worse:
        word, reason = "REGRESSION", "; ".join(f"{each.counts}: p = {each.p_worse:.3g}" for each in worse)
    elif dropped:
        word, reason = "NOT ENOUGH EVIDENCE", f"{len(dropped)} cases were not run: {', '.join(dropped)}"
    elif not compared or unsure:
        word, reason = "NOT ENOUGH EVIDENCE", _doubt(unsure, tolerance)
    else:
        most = max(each.p_not_worse for each in compared)
        word, reason = "PASS", f"a drop of {100 * tolerance:.0f} points or more is excluded: p = {most:.3g}"
    return Verdict(word, n, passed, reason, compared)


def _compare(now: Passes, before: Passes, tolerance: float) -> tuple[Compared, ...]:
    rows = []
    for check, passes in now.items():
        old = before.get(check, {})
        shared = [case for case in passes if case in old]
        if shared:
            lost = tuple(case for case in shared if old[case] and not passes[case])
            gained = tuple(case for case in shared if passes[case] and not old[case])
            rows.append((check, len(shared), lost, gained))
    adjusted = statistics.holm([statistics.mcnemar(len(lost), len(gained)) for _, _, lost, gained in rows])
    return tuple(
        Compared(
            check, n, lost, gained, p, statistics.not_worse(len(lost), len(gained), n, tolerance),
            statistics.paired_difference(len(lost), len(gained), n),
        )
        for (check, n, lost, gained), p in zip(rows, adjusted, strict=True)
    )  # fmt: skip


def _doubt(unsure: list[Compared], tolerance: float) -> str:
    """Why nothing is shown, and what as many cases could show."""
    if not unsure:
        return "there is no case that both have"
    first = max(unsure, key=lambda each: each.p_not_worse)
    drop = statistics.smallest_detectable_drop(first.n)
    sees = f"; {first.n} cases reveal a drop of {100 * drop:.0f} points with 80 % chance" if drop is not None else ""
    return f"{first.counts}: a drop of {100 * tolerance:.0f} points is not excluded (p = {first.p_not_worse:.3g}){sees}"
