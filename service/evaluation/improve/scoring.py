"""The score of an answer, for a search: 0 to 1, and smooth where probabilities are known.

In: a prompt and a judged answer, or a candidate and cases. Out: scores.
Not here: the search (`search`), and the pass rates that a person reads.

The answer to a choice prompt has exact probabilities. Its score is the share of the expected label against the best
other label, so it is over 0.5 if and only if the answer is right. An answer that becomes nearly right counts, and the
search needs fewer answers than with right and wrong. Other answers have the mean score of their checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext, no_progress, no_warning
from service.evaluation.improve.candidates import DraftCandidate
from service.evaluation.improve.examples import CandidatePrompts, expected_answer
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt

LEAST = 0.00005  # recordings have four decimals: a probability below this one is written as 0


def score(prompt: Prompt, outcome: CaseOutcome) -> float:
    """The score of one answer."""
    shares = {label: max(LEAST, share) for label, share in outcome.record.probabilities}
    label = expected_answer(prompt, outcome.case) if shares else None
    if label is None or label not in shares or len(shares) < 2:
        return fmean(result.score for result in outcome.checks) if outcome.judged else 0.0
    best_other = max(share for other, share in shares.items() if other != label)
    return shares[label] / (shares[label] + best_other)


class CandidateScorer:
    """Asks the engine for the answers of candidates. Answers that the journal has are not asked again.

    `asked` counts the answers that were not known.
    """

    def __init__(self, prompts: CandidatePrompts, cases: Sequence[Case], context: EvaluationContext) -> None:
        self._prompts, self._cases = prompts, cases
        self._context = replace(context, progress=no_progress, warn=no_warning, stop_after=None)
        self.outcomes: dict[tuple[DraftCandidate, int], CaseOutcome] = {}
        self.asked = 0

    async def __call__(self, candidate: DraftCandidate, numbers: Sequence[int]) -> list[float | None]:
        """The scores of a candidate on cases, given by their numbers. None for a case that it has as an example.

        Raises:
            EvaluationError: if a check cannot be applied.
            EngineError: if an engine fails.
        """
        free = [
            number for number in numbers
            if (candidate, number) not in self.outcomes
            and not self._prompts.is_example(candidate, self._cases[number])
        ]  # fmt: skip
        if free:
            prompt = self._prompts.prompt(candidate)
            outcomes = await runner.run(prompt, [self._cases[number] for number in free], self._context)
            self.outcomes |= {(candidate, number): outcome for number, outcome in zip(free, outcomes, strict=True)}
            self.asked += sum(not outcome.kept for outcome in outcomes)
        judged = [self.outcomes.get((candidate, number)) for number in numbers]
        return [None if outcome is None else score(self._prompts.draft, outcome) for outcome in judged]

    def passes(self, candidate: DraftCandidate, numbers: Sequence[int]) -> tuple[int, int]:
        """The number of passed cases and of scored cases."""
        judged = [self.outcomes[candidate, number] for number in numbers if (candidate, number) in self.outcomes]
        return sum(outcome.passed for outcome in judged), len(judged)
