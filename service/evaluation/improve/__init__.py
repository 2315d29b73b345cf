"""Improve a draft: a search for its examples, their order, its calibration and its wording.

In: a draft, dev cases, a budget of answers, a seed. Out: an `Improvement` with the better draft, or with the same one
if nothing better was shown.
Not here: promotion. The better draft is a draft, and deciding cases judge it.

The search is random first and then climbs (`search`). Examples come from dev cases (`examples`). Exact probabilities
make the score smooth (`scoring`), and a calibration is fitted to them (`fitting`). Nested cross-validation decides
whether the gain is more than chance (`guard`). The search asks in `fast` mode if the context has an engine for it.
Answers are kept in the context's journal, so that an interrupted search goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from service.engine.types import Mode
from service.errors import EvaluationError
from service.evaluation import bad_rows, dev_cases, runner
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext, no_warning
from service.evaluation.improve import guard
from service.evaluation.improve.examples import CandidatePrompts, expected_answer, user_message
from service.evaluation.improve.outcome import DecidingResult, Improvement, Rate
from service.evaluation.improve.scoring import FOLDS, CandidateScorer
from service.evaluation.improve.search import SearchState, search
from service.prompts.file import Prompt

__all__ = ["DecidingResult", "Improvement", "SearchRules", "improve", "judge"]
Report = Callable[[int, int, float], None]
"""Called after each answer with the answers so far, the budget, and the best gain so far."""


def no_report(answers: int, budget: int, gain: float) -> None:
    """The report that does nothing."""


@dataclass(frozen=True)
class SearchRules:
    """The limits of a search.

    `budget` counts answers, known ones too, so that a search that goes on takes the same way. A candidate has at most
    `examples` examples. `wordings` are other texts for the system message. `mode` is that of the search's answers:
    `fast` ones take a fraction of the time, and only `exact` ones are the same in every run.
    """

    budget: int = 600
    seed: int = 0
    examples: int = 8
    wordings: tuple[str, ...] = ()
    mode: Mode = "fast"


async def improve(
    draft: Prompt, dev: Sequence[Case], context: EvaluationContext, rules: SearchRules, report: Report = no_report
) -> Improvement:
    """Search for a better draft with dev cases.

    Raises:
        EvaluationError: if there are too few dev cases, if the budget is too small, if the draft cannot take examples,
            or if a check cannot be applied.
        EngineError: if an engine fails.
    """
    started = monotonic()
    runner.require_checks(draft, dev)
    cases = _usable(draft, dev, context)
    labels = [expected_answer(draft, case) or "" if draft.spec.choices else "" for case in cases]
    order = guard.ordered(labels, rules.seed)
    searching = replace(context, warn=no_warning)  # `_usable` has told it once for all runs
    if rules.mode == "fast" and context.fast_engine is not None:
        searching = replace(searching, engine=context.fast_engine, mode="fast")
    if rules.budget < 2 * len(cases):
        raise EvaluationError(
            f"A budget of {rules.budget} answers is too small for {len(cases)} dev cases.",
            key="budget",
            remedy=f"Give at least {2 * len(cases)} answers, or fewer dev cases.",
        )
    answers = await _own_answers(draft, cases, searching)
    prompts = CandidatePrompts(draft, cases, answers, wordings=rules.wordings, most=rules.examples)
    scorer = CandidateScorer(prompts, cases, order, searching)
    state = SearchState(prompts.first, order, scorer, rules.budget)
    told = 0

    def answered(more: int) -> None:
        """Never fewer than before: known answers of a candidate count until it is finished, and then cost nothing."""
        nonlocal told
        told = max(told, min(state.spent + more, rules.budget))
        report(told, rules.budget, state.best_gain())

    scorer.answered = answered
    await search(prompts.space, state, rules.seed)
    complete = state.ranked()
    result = guard.nested(prompts.first, complete, order, FOLDS, scorer)
    best = guard.best_of(prompts.first, complete, order, scorer)
    before, after = scorer.passes(prompts.first, order), scorer.passes(best, order)
    searched = guard.gain(before, after)
    winner = guard.choose(prompts.first, best, searched, result)
    better = draft
    if winner.candidate != prompts.first:
        better = dev_cases.written(prompts.written(best, scorer.fit(best, order)), cases)
    report(rules.budget, rules.budget, winner.searched)
    return Improvement(
        draft=draft,
        better=better,
        summary=prompts.summary(winner.candidate),
        winner=winner,
        before=Rate(int(sum(result.before.values())), len(result.before)),
        after=Rate(int(sum(result.now.values())), len(result.now)),
        cases=len(cases),
        trials=tuple(state.trials),
        answers=state.spent,
        asked=scorer.asked,
        seconds=monotonic() - started,
    )


async def judge(
    improvement: Improvement, deciding: Sequence[Case], context: EvaluationContext
) -> DecidingResult | None:
    """The draft and the better one on cases that the search did not use. None if the draft stays.

    Raises:
        EvaluationError: if there are no cases, or if a check cannot be applied.
        EngineError: if an engine fails.
    """
    if not improvement.changed:
        return None
    before = await runner.run(improvement.draft, deciding, context)
    after = await runner.run(improvement.better, deciding, replace(context, warn=no_warning))
    return DecidingResult.of(before, after, dev_cases.warning(improvement.better, deciding))


def _usable(draft: Prompt, dev: Sequence[Case], context: EvaluationContext) -> list[Case]:
    """The dev cases that can be asked and judged, each text once.

    Raises:
        EvaluationError: if they are too few.
    """
    problems = bad_rows.problems_of(draft, dev)
    for sentence in bad_rows.warnings(draft, dev, problems):
        context.warn(sentence)
    by_text: dict[str, Case] = {}
    for case in dev:
        if case.id not in problems:
            by_text.setdefault(user_message(draft, case), case)
    if len(by_text) < guard.LEAST_CASES:
        raise EvaluationError(
            f"{len(by_text)} dev cases with different inputs are too few for a search.",
            key="dev",
            remedy=f"Give at least {guard.LEAST_CASES}. More than 100 are better.",
        )
    return list(by_text.values())


async def _own_answers(draft: Prompt, cases: Sequence[Case], context: EvaluationContext) -> dict[str, str]:
    """The draft's own answers that pass, for cases whose right answer the checks do not tell."""
    unknown = [case for case in cases if expected_answer(draft, case) is None]
    if not unknown:
        return {}
    outcomes = await runner.run(draft, unknown, context)
    return {outcome.case.id: outcome.record.text for outcome in outcomes if outcome.passed}
