"""The verdict, with its numbers and a stated error rate.

In: for each check, the cases that passed before and those that pass now. Out: a verdict.

Each check has two exact one-sided tests at `ALPHA`. McNemar's test asks whether the prompt is worse. Tango's test asks
whether it is not worse by more than `TOLERANCE`. Each class and slice has the same two tests, the second one with
`GROUP_TOLERANCE`. If neither is shown, the verdict is NOT ENOUGH EVIDENCE.

* Holm's adjustment over the checks keeps the chance of a REGRESSION for an equally good prompt under `ALPHA`. With
  classes or slices the checks have 1 - `GROUP_SHARE` of it, and the tests of classes and slices the rest, by Holm.
* A PASS needs every check, and every class and slice with `GROUP_CASES` cases or more, to show that it is not worse.
  This keeps the chance of a PASS for a prompt that is worse in any of them by its tolerance or more under `ALPHA`,
  without an adjustment (R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24
  (1982) 295-300). Smaller classes and slices are named. A class or slice that is lost whole is never a PASS.
* A first promotion passes if it passes more cases than every constant answer, each by McNemar's test at `ALPHA`, or if
  it states a minimum and reaches it. Otherwise it is NO BETTER THAN GUESSING. The largest p-value of several tests
  needs no adjustment (Berger again).
* For a check with graded scores the first test flips the signs of the scores' differences. On pass and fail that is
  McNemar's test.
* A prompt under a minimum is BELOW MINIMUM, whatever was promoted before.
* A check with `when` is compared on the cases that it judges. A case that no check judges, or a check that judges no
  case, keeps a prompt from a PASS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.evaluation import statistics
from service.evaluation.groups import Constants, Groups
from service.evaluation.statistics import Interval

Word = Literal["PASS", "REGRESSION", "BELOW MINIMUM", "NO BETTER THAN GUESSING", "NOT ENOUGH EVIDENCE"]
Passes = Mapping[str, Mapping[str, bool]]
"""Maps check name and case id to whether the check passes."""
Scores = Mapping[str, Mapping[str, float]]
"""Maps check name and case id to the score, 0 to 1."""
ALPHA = 0.05
TOLERANCE = 0.05  # of a check's pass rate
GROUP_TOLERANCE = 0.2  # of a check's pass rate in one class or slice
GROUP_SHARE = 0.2  # of ALPHA, for the tests that a class or slice is worse
GROUP_CASES = 23  # the least number of cases that shows "not worse by GROUP_TOLERANCE" when one of them is lost


@dataclass(frozen=True)
class CheckComparison:
    """One check before and now, on the `n` cases that both have. `difference` is that of the pass rates, with 95 %.

    `group` is the class or slice of the cases, "" for all. `kept` of them passed before and pass now. `p_worse` is
    adjusted over all comparisons. `score` is the mean difference of graded scores with its 95 % bootstrap interval,
    None for a check that only passes or fails.
    """

    check: str
    n: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float
    p_not_worse: float
    difference: Interval
    score: tuple[float, Interval] | None = None
    group: str = ""
    kept: int = 0

    @property
    def name(self) -> str:
        """The check, with the class or slice."""
        return f"{self.check} ({self.group})" if self.group else self.check

    @property
    def tolerance(self) -> float:
        """The fall of the pass rate that `p_not_worse` is about."""
        return GROUP_TOLERANCE if self.group else TOLERANCE

    @property
    def lost_whole(self) -> bool:
        """Whether some cases passed before, and none passes now."""
        return bool(self.lost) and not self.gained and not self.kept

    @property
    def counts(self) -> str:
        """The counts as a part of a sentence."""
        text = f"{self.name}: {len(self.lost)} lost, {len(self.gained)} gained of {self.n}"
        return text if self.score is None else f"{text}, mean score {self.score[0]:+.3f}"


@dataclass(frozen=True)
class Verdict:
    """The word and its evidence. `passed` of `n` cases pass every check. A first promotion has no `compared`.

    `compared` has one row per check, and `groups` one per check and class or slice.
    """

    word: Word
    n: int
    passed: int
    reason: str
    compared: tuple[CheckComparison, ...] = ()
    groups: tuple[CheckComparison, ...] = ()

    @property
    def lost(self) -> tuple[str, ...]:
        """The ids of the cases that lost a check. They are listed under every verdict."""
        return tuple(dict.fromkeys(case for comparison in self.compared for case in comparison.lost))

    @property
    def gained(self) -> tuple[str, ...]:
        """The ids of the cases that gained a check."""
        return tuple(dict.fromkeys(case for comparison in self.compared for case in comparison.gained))


@dataclass(frozen=True)
class Rules:
    """What a verdict needs besides passes and scores.

    `minimums` are pass rates, 0 to 1, by check and class or slice. Check "" is passing every check, group "" is all
    cases. `constants` is None if no constant answer can be judged. With `same_requests` every request is equal to the
    promoted prompt's. `unjudged` names the cases that no check judges, and the checks that judge no case. `unstable`
    maps checks that gave two results for one answer to the case.
    """

    minimums: Mapping[tuple[str, str], float] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    constants: Constants | None = None
    same_requests: bool = False
    unstable: Mapping[str, str] = field(default_factory=dict)
    unjudged: str = ""


def decide(
    now: Passes,
    before: Passes | None,
    *,
    scores: tuple[Scores, Scores] | None = None,
    rules: Rules | None = None,
) -> Verdict:
    """Compare check by check on the cases that both have.

    Without `before` it is a first promotion. A draft that drops cases of the promoted prompt cannot pass. `scores` are
    those of now and before. With the same requests no test is needed unless a check of an answer was lost.
    """
    rules = rules or Rules()
    cases = dict.fromkeys(case for results in now.values() for case in results)
    passes_all = {case: all(results[case] for results in now.values() if case in results) for case in cases}
    n, passed = len(cases), sum(passes_all.values())
    missed = _missed_minimums({**now, "": passes_all}, rules)
    compared, grouped = _compare(now, before, scores or ({}, {}), rules.groups) if before is not None else ((), ())
    dropped = sorted({case for results in (before or {}).values() for case in results} - set(cases))
    worse = [comparison for comparison in (*compared, *grouped) if comparison.p_worse <= ALPHA]
    unsure = [comparison for comparison in compared if comparison.p_not_worse > ALPHA]
    unsure_groups = [row for row in grouped if row.n >= GROUP_CASES and row.p_not_worse > ALPHA]
    lost_whole = [comparison for comparison in grouped if comparison.lost_whole]
    word: Word
    if rules.unstable:
        word = "NOT ENOUGH EVIDENCE"
        reason = "; ".join(
            f"{check} gave two results for one answer, case {case}" for check, case in rules.unstable.items()
        )
        reason = f"{reason}. Make it depend on nothing else"
    elif missed:
        word, reason = "BELOW MINIMUM", "; ".join(missed)
    elif before is None:
        word, reason = _first(passes_all, rules)
    elif worse:
        word = "REGRESSION"
        reason = "; ".join(f"{comparison.counts}: p = {comparison.p_worse:.3g}" for comparison in worse)
    elif dropped:
        word, reason = "NOT ENOUGH EVIDENCE", f"{len(dropped)} cases were not run: {', '.join(dropped)}"
    elif compared and rules.same_requests:
        both = len({case for results in (before or {}).values() for case in results} & set(cases))
        which = f"all {both} cases" if both == len(cases) else f"the {both} cases that both have"
        word, reason = "PASS", f"it asks exactly what the promoted prompt asks, on {which}"
    elif not compared or unsure:
        word, reason = "NOT ENOUGH EVIDENCE", _doubt(unsure)
    elif lost_whole:
        word = "NOT ENOUGH EVIDENCE"
        reason = "; ".join(f"{row.name}: {len(row.lost)} passed before, and none passes now" for row in lost_whole)
    elif unsure_groups:
        word, reason = "NOT ENOUGH EVIDENCE", _doubt(unsure_groups)
    else:
        largest = max(comparison.p_not_worse for comparison in compared)
        word, reason = "PASS", f"a drop of {100 * TOLERANCE:.0f} points or more is excluded: p = {largest:.3g}"
    if word == "PASS" and rules.unjudged:
        word, reason = "NOT ENOUGH EVIDENCE", rules.unjudged
    return Verdict(word, n, passed, reason, compared, grouped)


def _first(passes: Mapping[str, bool], rules: Rules) -> tuple[Word, str]:
    """The word for a prompt that has no predecessor and misses no minimum."""
    if rules.minimums:
        return "PASS", "the first promotion, and it reaches its minimum"
    remedy = "Give a check a `minimum`, the pass rate that is good enough"
    if rules.constants is None:
        return (
            "NO BETTER THAN GUESSING",
            f"a program or a judge decides, so nobody knows what guessing passes. {remedy}",
        )
    rows = []
    for answer, constant in rules.constants.items():
        lost = sum(constant[case] and not passed for case, passed in passes.items())
        gained = sum(passed and not constant[case] for case, passed in passes.items())
        rows.append((statistics.mcnemar(lost, gained, "better"), sum(constant.values()), answer))
    p, best, answer = max(rows)
    counts = f"{sum(passes.values())} of {len(passes)} pass, and always answering {answer!r} would pass {best}"
    if p <= ALPHA:
        return "PASS", f"the first promotion: {counts}: p = {p:.3g}"
    return "NO BETTER THAN GUESSING", f"{counts}: p = {p:.3g}. Improve it or add cases. {remedy}"


def _missed_minimums(now: Passes, rules: Rules) -> list[str]:
    """One sentence for each minimum that is not reached."""
    sentences = []
    for (check, group), minimum in rules.minimums.items():
        passes = now.get(check, {}).items()
        results = [passed for case, passed in passes if not group or case in rules.groups[group]]
        if results and sum(results) < minimum * len(results):
            subject = (check or "all checks together") + (f" ({group})" if group else "")
            rate = f"{sum(results)} of {len(results)} pass ({100 * sum(results) / len(results):.1f} %)"
            sentences.append(f"{subject}: {rate}, the minimum is {100 * minimum:g} %")
    return sentences


def _compare(
    now: Passes, before: Passes, scores: tuple[Scores, Scores], groups: Groups
) -> tuple[tuple[CheckComparison, ...], tuple[CheckComparison, ...]]:
    """One row per check, and one per check and class or slice. p-values are adjusted over both."""
    rows = []
    for check, passes in now.items():
        old = before.get(check, {})
        for group, members in {"": passes.keys(), **groups}.items():
            shared = [case for case in passes if case in old and case in members]
            if shared:
                lost = tuple(case for case in shared if old[case] and not passes[case])
                gained = tuple(case for case in shared if passes[case] and not old[case])
                kept = sum(old[case] and passes[case] for case in shared)
                graded = None if group else _graded(check, shared, scores)
                rows.append((check, group, len(shared), lost, gained, kept, graded))
    shares = {False: 1.0, True: 1.0}  # of ALPHA, for the checks and for the classes and slices
    if any(group for _, group, *_ in rows):
        shares = {False: 1 - GROUP_SHARE, True: GROUP_SHARE}
    comparisons = []
    for of_group, share in shares.items():
        family = [row for row in rows if bool(row[1]) is of_group]
        adjusted = statistics.holm(
            [
                statistics.mcnemar(len(lost), len(gained)) if graded is None else statistics.sign_flip(graded)
                for _, _, _, lost, gained, _, graded in family
            ]
        )
        for (check, group, n, lost, gained, kept, graded), p in zip(family, adjusted, strict=True):
            tolerance = GROUP_TOLERANCE if group else TOLERANCE
            comparisons.append(
                CheckComparison(
                    check, n, lost, gained, min(1.0, p / share),
                    statistics.not_worse(len(lost), len(gained), n, tolerance),
                    statistics.paired_difference(len(lost), len(gained), n),
                    None if graded is None else (sum(graded) / n, statistics.bootstrap(graded)), group, kept,
                )
            )  # fmt: skip
    return (
        tuple(comparison for comparison in comparisons if not comparison.group),
        tuple(comparison for comparison in comparisons if comparison.group),
    )


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
    needed = statistics.cases_without_a_loss(first.tolerance, ALPHA)
    if first.n < needed:
        text += f", and {needed} would exclude it if none is lost"
    points = f"{100 * first.tolerance:.0f} points"
    return f"{first.counts}: a drop of {points} is not excluded (p = {first.p_not_worse:.3g}){text}"
