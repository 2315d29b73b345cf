"""The guard against chance: a held part of the dev cases that the search never sees.

In: dev cases and their labels, or the paired scores of finalists on held cases. Out: a division, and the winner with
its evidence.
Not here: the search, and the verdict on deciding cases.

The best of many candidates looks better than it is (G. C. Cawley, N. L. C. Talbot, "On over-fitting in model selection
and subsequent selection bias in performance evaluation", JMLR 11 (2010) 2079-2107). The winner therefore has to gain on
held cases too, by a one-sided test of the paired scores. Otherwise the draft stays. The optimism is the gain on the
cases of the search less the gain on held ones.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from service.evaluation import statistics
from service.evaluation.improve.candidates import DraftCandidate

HELD = 1 / 3  # of the dev cases
LEAST_CASES = 12
FEW_HELD = 30  # fewer held cases leave a wide interval, which is told
ALPHA = 0.1  # of the test on held cases


def divide(labels: Sequence[str], seed: int) -> tuple[list[int], list[int]]:
    """(cases of the search, held cases) as numbers. Every beginning of the first list has each label in proportion."""
    draw = random.Random(seed)  # noqa: S311 # not a secret
    by_label: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_label.setdefault(label, []).append(number)
    held: list[int] = []
    places: list[tuple[float, int]] = []
    seen = 0
    for members in by_label.values():
        draw.shuffle(members)
        seen += len(members)
        count = round(HELD * seen) - len(held)
        held += members[:count]
        rest = members[count:]
        places += [((rank + draw.random()) / len(rest), number) for rank, number in enumerate(rest)]
    return [number for _, number in sorted(places)], sorted(held)


@dataclass(frozen=True)
class Winner:
    """The chosen candidate. Gains are mean differences of the scores to the draft's.

    `searched` is the gain on the cases of the search, `held` that on held cases, and `p` of the test on held cases.
    """

    candidate: DraftCandidate
    searched: float
    held: float
    p: float

    @property
    def optimism(self) -> float:
        """How much better the winner looked during the search than on cases that the search did not see."""
        return self.searched - self.held


def choose(
    first: DraftCandidate,
    searched: Mapping[DraftCandidate, float],
    held: Mapping[DraftCandidate, Sequence[float]],
) -> Winner:
    """The finalist with the largest gain on held cases, or the first candidate if that gain may be chance.

    `searched` has the gain of each finalist in the search, and `held` the differences of its scores to the first
    candidate's. The p-values are adjusted, since the largest of several gains is taken.
    """
    adjusted = statistics.holm([statistics.sign_flip(differences, "better") for differences in held.values()])
    winners = [
        Winner(candidate, searched[candidate], fmean(held[candidate]), p)
        for candidate, p in zip(held, adjusted, strict=True)
    ]
    winner = max(winners, key=lambda row: row.held, default=Winner(first, 0.0, 0.0, 1.0))
    if winner.held <= 0 or winner.p > ALPHA:
        return Winner(first, 0.0, 0.0, winner.p)
    return winner
