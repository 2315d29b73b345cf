"""The scores of candidates, for a search: at most 1, and smooth where probabilities are known.

In: a candidate and cases. Out: scores, and what a fit on some cases gives on others.
Not here: the search (`search`), and the fit itself (`fitting`).

The answer to a choice prompt has exact log-probabilities, so one answer is scored with and without calibration at no
cost. The score is the log loss of the right label, as a skill: 1 for certainty, 0 for equal shares of all labels. An
answer that becomes nearly right counts, and the search needs fewer answers than with right and wrong. The shares are
cross-fitted: those of a case come from a fit on the other folds. The draft is scored so too, with or without a
calibration of its own. Otherwise any fit would gain over a draft that is sure of wrong answers. Other answers have the
mean score of their checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.classes import would_pass
from service.evaluation.context import EvaluationContext, no_warning
from service.evaluation.improve.candidates import DraftCandidate
from service.evaluation.improve.examples import CandidatePrompts, expected_answer
from service.evaluation.improve.fitting import Floats, LabelFit, Numbers, cross_fitted, fit
from service.evaluation.runner import CaseOutcome

LEAST_SKILL = -1.0  # so that one case does not decide
TINY = 1e-12  # a share that is 0 in 64 bits has a logarithm then
FOLDS = 5


class CandidateScorer:
    """Asks the engine for the answers of candidates. Answers that the journal has are not asked again.

    A case is a number, and its fold is the rest of its place in `order`. `asked` counts the answers that were not
    known. `answered` is called with the number of answers that the candidate of this moment has so far.
    """

    def __init__(
        self, prompts: CandidatePrompts, cases: Sequence[Case], order: Sequence[int], context: EvaluationContext
    ) -> None:
        self._prompts, self._cases = prompts, cases
        self._choices = prompts.draft.spec.choices
        self._context = replace(context, progress=self._told, warn=no_warning, stop_after=None)
        self._fold = {number: place % FOLDS for place, number in enumerate(order)}
        self._right = [expected_answer(prompts.draft, case) if self._choices else None for case in cases]
        self._outcomes: dict[tuple[int, tuple[int, ...], int], CaseOutcome] = {}
        self.asked = 0
        self.answered: Callable[[int], None] = lambda answers: None

    def _told(self, finished: int, total: int) -> None:
        self.answered(finished)

    async def __call__(self, candidate: DraftCandidate, numbers: Sequence[int]) -> list[float | None]:
        """The scores of a candidate on cases. None for a case that it has as an example.

        Raises:
            EvaluationError: if a check cannot be applied.
            EngineError: if an engine fails.
        """
        await self.ask(candidate, numbers)
        scores = self.scores(candidate, numbers)
        return [scores.get(number) for number in numbers]

    async def ask(self, candidate: DraftCandidate, numbers: Sequence[int]) -> None:
        """Ask for the answers that are not known.

        Raises:
            EvaluationError: if a check cannot be applied.
            EngineError: if an engine fails.
        """
        free = [
            number for number in numbers
            if self._of(candidate, number) is None and not self._prompts.is_example(candidate, self._cases[number])
        ]  # fmt: skip
        if free:
            prompt = self._prompts.prompt(candidate)
            outcomes = await runner.run(prompt, [self._cases[number] for number in free], self._context)
            for number, outcome in zip(free, outcomes, strict=True):
                self._outcomes[candidate.wording, candidate.examples, number] = outcome
            self.asked += sum(not outcome.kept for outcome in outcomes)

    def scores(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        """The scores on the cases that have an answer. Only these cases take part in the fits.

        A candidate and the one that differs in its calibration only have the same scores.
        """
        known = {number: outcome for number in numbers if (outcome := self._of(candidate, number)) is not None}
        result = {
            number: fmean(check.score for check in outcome.checks) if outcome.judged else 0.0
            for number, outcome in known.items()
        }
        usable = self._usable(candidate, numbers)
        if not usable:
            return result
        labels = self._labels(usable)
        shares = cross_fitted(self._logs(candidate, usable), labels, self._folds(usable))
        mine, base = np.log(shares[np.arange(len(usable)), labels] + TINY), np.log(max(2, len(self._choices)))
        skills = np.maximum(LEAST_SKILL, 1 + mine / base)
        return result | dict(zip(usable, map(float, skills), strict=True))

    def passes(self, candidate: DraftCandidate, numbers: Sequence[int]) -> dict[int, float]:
        """1 for each case that passes and 0 for others, by a cross-fitted calibration."""
        result: dict[int, float] = {}
        for fold in range(FOLDS):
            left = [number for number in numbers if self._fold[number] == fold]
            result |= self.unseen(candidate, [number for number in numbers if self._fold[number] != fold], left)
        return result

    def unseen(self, candidate: DraftCandidate, seen: Sequence[int], left: Sequence[int]) -> dict[int, float]:
        """The cases `left` by a fit on the cases `seen`: 1 for one that passes, and 0 for others."""
        known = {
            number: outcome
            for number in left
            if (outcome := self._of(candidate, number)) is not None and outcome.judged
        }
        result = {number: float(outcome.passed) for number, outcome in known.items()}
        fitted = self.fit(candidate, seen)
        if fitted is None:
            return result
        scored = [number for number, outcome in known.items() if outcome.record.label_logprobs]
        rows = fitted.probabilities(self._logs(candidate, scored)) if scored else np.empty((0, 0))
        for number, shares in self._named(scored, rows).items():
            label = max(shares, key=shares.__getitem__)
            answer = self._prompts.draft.decision(label, shares)
            result[number] = float(would_pass(self._prompts.draft, self._cases[number], answer))
        return result

    def fit(self, candidate: DraftCandidate, numbers: Sequence[int]) -> LabelFit | None:
        """The candidate's calibration by these cases. None if it has none, or if no case can be used."""
        usable = self._usable(candidate, numbers) if candidate.fitted else []
        if not usable:
            return None
        return fit(self._logs(candidate, usable), self._labels(usable), self._folds(usable))

    def _of(self, candidate: DraftCandidate, number: int) -> CaseOutcome | None:
        return self._outcomes.get((candidate.wording, candidate.examples, number))

    def _usable(self, candidate: DraftCandidate, numbers: Sequence[int]) -> list[int]:
        """The cases with log-probabilities of the labels and one right label."""
        known = [(number, self._of(candidate, number)) for number in numbers if self._right[number] is not None]
        return [number for number, outcome in known if outcome is not None and outcome.record.label_logprobs]

    def _logs(self, candidate: DraftCandidate, numbers: Sequence[int]) -> Floats:
        records = [self._outcomes[candidate.wording, candidate.examples, number].record for number in numbers]
        values = [dict(record.label_logprobs) for record in records]
        return np.array([[row[choice] for choice in self._choices] for row in values], dtype=np.float64)

    def _labels(self, numbers: Sequence[int]) -> Numbers:
        return np.array([self._choices.index(self._right[number] or "") for number in numbers])

    def _folds(self, numbers: Sequence[int]) -> Numbers:
        return np.array([self._fold[number] for number in numbers])

    def _named(self, numbers: Sequence[int], rows: Floats) -> dict[int, dict[str, float]]:
        return {
            number: dict(zip(self._choices, map(float, row), strict=True))
            for number, row in zip(numbers, rows, strict=True)
        }
