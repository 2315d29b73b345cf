"""Checks that do not give the same result for the same answer.

In: a prompt and its judged answers. Out: the checks that gave two results, each with the first such case.
Not here: judges and external checks. Their results are recorded, so a replay gives them again.

A replay applies `python` checks again. A check that draws a random number, reads the clock or keeps a count gives other
results then, and a promotion on it could not be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.evaluation.checks import check
from service.evaluation.runner import CaseOutcome
from service.evaluation.scorers import function_of
from service.prompts.conditions import judges
from service.prompts.external_check import external_dependency
from service.prompts.file import Prompt

JUDGEMENTS = (
    40  # the least number of further judgements per check. One that passes half of its draws agrees in 40: 1e-12
)


def unstable_checks(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> dict[str, str]:
    """Maps the name of each check that gave two scores for one answer to the id of the case.

    Raises:
        EvaluationError: if a check cannot be applied.
    """
    answers = [(outcome.case, record.check_input(prompt)) for outcome in outcomes for record in outcome.records]
    rounds = 1 + math.ceil(JUDGEMENTS / max(1, len(answers)))
    unstable = {}
    for evaluator in prompt.spec.evaluators:
        if evaluator.python is None or external_dependency(function_of(evaluator)) is not None:
            continue
        for case, answer in answers:
            if not judges(evaluator, case.values):
                continue
            scores = {check(evaluator, case, answer).score for _ in range(rounds)}
            if len(scores) > 1:
                unstable[evaluator.name] = case.id
                break
    return unstable
