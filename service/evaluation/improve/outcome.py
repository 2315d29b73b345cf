"""The result of a search for a better draft, as text and as a diff.

In: both drafts, the winner, the trials, or the answers of both to deciding cases. Out: sentences and a diff.
Not here: plots (`workbench`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.evaluation import statistics
from service.evaluation.improve.guard import FEW_CASES, Winner
from service.evaluation.improve.search import Trial
from service.evaluation.runner import CaseOutcome
from service.prompts import file as files
from service.prompts.file import Prompt


class Rate(NamedTuple):
    """The number of passed cases, and of all."""

    passed: int
    n: int

    def __str__(self) -> str:
        """The share with its 95 % Wilson interval."""
        if not self.n:
            return "no cases"
        low, high = (100 * end for end in statistics.wilson(self.passed, self.n))
        return f"{self.passed} of {self.n} ({100 * self.passed / self.n:.1f} %, {low:.1f} to {high:.1f})"


@dataclass(frozen=True, repr=False)
class Improvement:
    """The better draft and its evidence. `better` is the draft itself if nothing better was shown.

    `before` and `after` are the pass rates on dev cases. That of `after` is cross-fitted: each case was
    answered by a choice and a fit without it. `answers` is the cost, of which `asked` were not known before.
    """

    draft: Prompt
    better: Prompt
    summary: str
    winner: Winner
    before: Rate
    after: Rate
    cases: int
    trials: tuple[Trial, ...]
    answers: int
    asked: int
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether something better was shown."""
        return self.better is not self.draft

    def course(self) -> list[tuple[int, float]]:
        """(answers so far, best gain so far) after every candidate that was scored on all dev cases."""
        points: list[tuple[int, float]] = []
        for trial in self.trials:
            if trial.cases == self.cases:
                points.append((trial.answers, max(trial.gain, points[-1][1] if points else trial.gain)))
        return points

    @property
    def diff(self) -> str:
        """The change of the file as a unified diff. The digests of dev cases are left out."""
        old, new = (_without_digests(prompt) for prompt in (self.draft, self.better))
        name = f"{self.draft.name}.prompt.yml"
        return "".join(difflib.unified_diff(old, new, name, name, n=2))

    def __str__(self) -> str:
        """A few sentences, for a terminal."""
        tried = len({trial.candidate for trial in self.trials})
        cost = f"{tried} candidates, {self.answers} answers ({self.asked} new), {self.seconds:.0f} s"
        if not self.changed:
            return (
                f"{self.draft.name} stays as it is: no choice was shown to be better on dev cases that it did not see "
                f"(p = {self.winner.p:.2g}).\n{cost}."
            )
        lines = [
            f"{self.draft.name}: {self.summary}. {cost}.",
            f"dev cases, each answered by a choice that did not see it: {self.before} before, {self.after} now "
            f"(p = {self.winner.p:.2g}). Expect this on new cases.",
            f"The choice on all dev cases gains {100 * self.winner.searched:+.1f} points there, so its optimism is "
            f"{100 * self.winner.optimism:+.1f} points.",
            *(["The dev cases are few, so the gain is uncertain. More help."] if self.cases < FEW_CASES else []),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def _without_digests(prompt: Prompt) -> list[str]:
    """The lines of the prompt's file, as this room writes it, without the digests of `devCases`."""
    text = files.dumps(prompt)
    return re.sub(r"(?m)^devCases:.*\n(?:[- ].*\n)*", "", text).splitlines(keepends=True)


@dataclass(frozen=True)
class DecidingResult:
    """Both drafts on deciding cases: the rates, and the cases that were lost and gained. `remark` names a doubt."""

    before: Rate
    after: Rate
    lost: int
    gained: int
    remark: str = ""

    @property
    def p_better(self) -> float:
        """McNemar's exact one-sided p-value of the gain."""
        return statistics.mcnemar(self.lost, self.gained, "better")

    @classmethod
    def of(cls, before: Sequence[CaseOutcome], after: Sequence[CaseOutcome], remark: str = "") -> DecidingResult:
        """Compare the outcomes of the same cases."""
        pairs = [(old.passed, now.passed) for old, now in zip(before, after, strict=True)]
        old, now = zip(*pairs, strict=True)
        return cls(
            Rate(sum(old), len(pairs)), Rate(sum(now), len(pairs)), pairs.count((True, False)),
            pairs.count((False, True)), remark,
        )  # fmt: skip

    def __str__(self) -> str:
        """One sentence."""
        low, high = (100 * end for end in statistics.paired_difference(self.lost, self.gained, self.before.n))
        return (
            f"deciding cases: {self.before} before, {self.after} now, {self.gained} gained and {self.lost} lost: "
            f"{low:+.1f} to {high:+.1f} points, p = {self.p_better:.2g}." + (f" {self.remark}." if self.remark else "")
        )
