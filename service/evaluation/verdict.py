"""The verdict: PASS, REGRESSION or NOT ENOUGH EVIDENCE, with the numbers that led to it and a stated error rate.

What comes in: which of the same cases passed before and pass now. What goes out: a verdict. Two one-sided tests at
`alpha`, both exact: McNemar's for "it is worse", Tango's for "it is not worse by more than `tolerance`".
So a prompt that is truly as good is called a REGRESSION with a chance of at most `alpha`, and one that is truly worse
by `tolerance` or more gets a PASS with a chance of at most `alpha`. Neither says NOT ENOUGH EVIDENCE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.evaluation import statistics

Word = Literal["PASS", "REGRESSION", "NOT ENOUGH EVIDENCE"]
ALPHA = 0.05
TOLERANCE = 0.05  # of the pass rate


@dataclass(frozen=True)
class Verdict:
    """The word and its evidence. `lost` and `gained` are case ids; p-values are None on a first promotion."""

    word: Word
    n: int
    passed: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float | None
    p_not_worse: float | None
    reason: str


def decide(
    now: Mapping[str, bool], before: Mapping[str, bool] | None, *, alpha: float = ALPHA, tolerance: float = TOLERANCE
) -> Verdict:
    """Compare on the cases that both have. Without a baseline it is a PASS that says so: there is nothing to be worse
    than, and the report shows the interval."""
    passed = sum(now.values())
    if before is None:
        return Verdict("PASS", len(now), passed, (), (), None, None, "the first promotion: there is no baseline yet")
    shared = [identifier for identifier in now if identifier in before]
    lost = tuple(identifier for identifier in shared if before[identifier] and not now[identifier])
    gained = tuple(identifier for identifier in shared if now[identifier] and not before[identifier])
    n = len(shared)
    worse = statistics.mcnemar(len(lost), len(gained), "worse")
    fine = statistics.not_worse(len(lost), len(gained), n, tolerance) if n else 1.0
    word: Word
    if worse <= alpha:
        word, reason = (
            "REGRESSION",
            f"{len(lost)} cases lost, {len(gained)} gained: p = {worse:.3g} that it is no worse",
        )
    elif fine <= alpha:
        word, reason = "PASS", f"a drop of {100 * tolerance:.0f} points or more is excluded: p = {fine:.3g}"
    else:
        drop = statistics.smallest_detectable_drop(n) if n else None
        sees = f"; {n} cases reveal a drop of {100 * drop:.0f} points with 80 % chance" if drop is not None else ""
        word, reason = "NOT ENOUGH EVIDENCE", f"neither worse (p = {worse:.3g}) nor surely not (p = {fine:.3g}){sees}"
    return Verdict(word, n, passed, lost, gained, worse, fine, reason)
