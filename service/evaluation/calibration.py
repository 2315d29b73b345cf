"""Calibration of label probabilities: reliability, expected calibration error, coverage against accuracy.

In: pairs of a label's probability and whether it is right. Out: bins, one number, a curve.
The probability is that of the label that was answered, exact behind the prompt, so nothing is sampled here.
Not here: the abstentions of a prompt that has a threshold (`prompts.file`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.evaluation.bad_rows import expected_label
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import Interval, wilson
from service.prompts.file import Prompt

BINS = 10


class ScoredAnswer(NamedTuple):
    """The probability of the answered label, and whether it is the expected one."""

    probability: float
    right: bool


class ReliabilityBin(NamedTuple):
    """The answers with a probability in (low, high]: their number, mean probability and share of right ones."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    interval: Interval


class CoveragePoint(NamedTuple):
    """With `threshold`, `answered` of `n` cases get an answer, and `right` of those are right."""

    threshold: float
    answered: int
    right: int
    n: int

    @property
    def coverage(self) -> float:
        """The share of cases that get an answer."""
        return self.answered / self.n

    @property
    def accuracy(self) -> float:
        """The share of right ones among the answered."""
        return self.right / self.answered

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of the accuracy."""
        return wilson(self.right, self.answered)

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return (
            f"below: {self.threshold:g} answers {self.answered} of {self.n} cases ({100 * self.coverage:.1f} %), "
            f"{100 * self.accuracy:.1f} % of them right (95 % Wilson {low:.1f} to {high:.1f})"
        )


def scored_answers(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[ScoredAnswer]:
    """The answers with probabilities. Empty for a prompt without choices, or on an engine without probabilities."""
    scored = []
    for outcome in outcomes:
        label, shares = expected_label(prompt, outcome.case), dict(outcome.record.probabilities)
        if label is not None and shares and outcome.record.problem is None:
            answer = max(shares, key=shares.__getitem__)
            scored.append(ScoredAnswer(shares[answer], answer == label))
    return scored


def reliability(answers: Sequence[ScoredAnswer], bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram's bins that hold an answer, of equal width.

    A. Niculescu-Mizil, R. Caruana, "Predicting good probabilities with supervised learning", ICML 2005.
    """
    rows = []
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [
            answer for answer in answers if low < answer.probability <= high or (index == 0 == answer.probability)
        ]
        if inside:
            right = sum(answer.right for answer in inside)
            confidence = sum(answer.probability for answer in inside) / len(inside)
            rows.append(
                ReliabilityBin(low, high, len(inside), confidence, right / len(inside), wilson(right, len(inside)))
            )
    return rows


def expected_calibration_error(answers: Sequence[ScoredAnswer], bins: int = BINS) -> float:
    """The mean distance of probability and accuracy over the bins, weighted by their answers: 0 is perfect.

    M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
    2015.

    Raises:
        ValueError: if there are no answers.
    """
    if not answers:
        raise ValueError("expected_calibration_error needs at least one answer")
    return sum(row.n * abs(row.accuracy - row.confidence) for row in reliability(answers, bins)) / len(answers)


def coverage_curve(answers: Sequence[ScoredAnswer], n: int | None = None) -> list[CoveragePoint]:
    """Coverage and accuracy for every threshold that changes them, from the lowest threshold to the highest.

    A case is answered if its probability is at least the threshold. `n` counts all cases, by default those with an
    answer. C. K. Chow, "On optimum recognition error and reject tradeoff", IEEE Trans. Inf. Theory 16 (1970) 41-46.
    """
    total = len(answers) if n is None else n
    points = []
    right = 0
    ordered = sorted(answers, key=lambda answer: -answer.probability)
    for answered, answer in enumerate(ordered, 1):
        right += answer.right
        if answered == len(ordered) or ordered[answered].probability != answer.probability:
            points.append(CoveragePoint(answer.probability, answered, right, total))
    return points[::-1]


def threshold_for(points: Sequence[CoveragePoint], accuracy: float) -> CoveragePoint | None:
    """The point with the largest coverage whose accuracy is at least `accuracy`, or None.

    The accuracy of the chosen point is optimistic on the cases that chose it. Other cases show the true one.
    """
    good = [point for point in points if point.accuracy >= accuracy]
    return max(good, key=lambda point: point.answered, default=None)
