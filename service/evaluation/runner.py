"""Run a prompt on its cases, several at a time, and apply the checks to the answers.

In: a prompt, cases, a context, and the recording if there is one. Out: outcomes in the order of the cases.
A recorded answer is taken if its fingerprint is the request's own. The fingerprint covers the complete request, so a
changed input of any kind is asked again. All new answers come from `prompts.run`.
A case that cannot be asked or judged is one failed case, and the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.engine.types import Identity, Mode, Request
from service.errors import EngineBusy, EvaluationError, RemoteError, SameboatError, short_name
from service.evaluation import bad_rows, judge, scorers
from service.evaluation.cases import Case
from service.evaluation.checks import CheckResult, check
from service.evaluation.context import EvaluationContext
from service.evaluation.recording import BROKEN, Record
from service.prompts import run as prompts
from service.prompts.conditions import judging
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint

LIMITED_S = 1800.0  # the longest wait for one answer of an engine that answers 429


@dataclass(frozen=True)
class CaseOutcome:
    """One case with its answer and its check results.

    `kept` is true if no model and no judge was asked. A prompt with repeats has `more` answers to the same case. Each
    check result then covers all of them.
    """

    case: Case
    record: Record
    checks: tuple[CheckResult, ...]
    kept: bool = False
    more: tuple[Record, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it has an answer and every check passes."""
        return not self._has_no_answer and all(result.passed for result in self.checks)

    @property
    def judged(self) -> bool:
        """Whether a check judges it. A case that no check judges counts in no rate."""
        return bool(self.checks)

    @property
    def state(self) -> str:
        """ "broken", "not judged", "passed" or "failed"."""
        if self.broken:
            return "broken"
        return "not judged" if not self.checks else "passed" if self.passed else "failed"

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the checks that fail. Without checks the reason why there is no answer."""
        failed = tuple(result.reason for result in self.checks if not result.passed)
        return failed or ((self.record.problem or "no answer",) if self._has_no_answer else ())

    def result(self, check: str) -> CheckResult | None:
        """The result of the check with this name, None if it does not judge this case."""
        return next((result for result in self.checks if result.name == check), None)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every answer to the case."""
        return (self.record, *self.more)

    @property
    def broken(self) -> bool:
        """Whether the case could not be asked, or a check could not be applied to it. It has failed then."""
        return self._has_no_answer or not all(result.judged for result in self.checks)

    @property
    def _has_no_answer(self) -> bool:
        return any(record.finish_reason == BROKEN for record in self.records)

    def __repr__(self) -> str:
        """One line, for a notebook's cell."""
        failed = ", ".join(result.name for result in self.checks if not result.passed)
        return f"<outcome of {self.case.id}: {self.state}{': ' if failed else ''}{failed}>"


async def run(
    prompt: Prompt,
    cases: Sequence[Case],
    context: EvaluationContext,
    recorded: Mapping[str, Record] | None = None,
) -> list[CaseOutcome]:
    """Answer and judge every case, in `exact` mode where the engine has one.

    `recorded` maps the key of a record to it. An error of the whole run cancels the cases that still run, and so does a
    caller that is cancelled. An error of one case is a failed case.

    Raises:
        EvaluationError: if there are no cases or no checks, if a check can be applied to no case, or after
            `stop_after` cases that could not be asked or judged.
        EngineError: if the engine or a judge's engine fails.
    """
    if context.judged or prompt.spec.evaluators or not cases:
        require_checks(prompt, cases)
    problems = bad_rows.problems_of(prompt, cases)
    for sentence in bad_rows.warnings(prompt, cases, problems):
        context.warn(sentence)
    semaphore = asyncio.Semaphore(context.concurrency)
    finished = 0
    broken: list[CaseOutcome] = []

    def stop_after_too_many(outcome: CaseOutcome) -> CaseOutcome:
        if outcome.broken:
            broken.append(outcome)
        if context.stop_after is not None and len(broken) >= context.stop_after:
            names = ", ".join(outcome.case.id[:80] for outcome in broken)
            problem = f"stopped after {len(broken)} cases that could not be asked or judged"
            raise EvaluationError(f"{prompt.name}: {problem}: {names}. {outcome.reasons[0]}", key=broken[0].case.id)
        return outcome

    async def answer_case(case: Case) -> CaseOutcome:
        nonlocal finished
        if case.id in problems:
            finished += 1
            return stop_after_too_many(not_asked(prompt, case, problems[case.id]))
        records, all_kept = [], True
        for repeat in range(prompt.spec.repeats):
            async with semaphore:
                record, kept = await answer(prompt, case, repeat, context, recorded or {})
            records.append(record)
            all_kept = all_kept and kept
        finished += 1
        context.progress(finished, len(cases))
        return stop_after_too_many(apply_checks(prompt, case, records, kept=all_kept))

    context.progress(0, len(cases))
    tasks = [asyncio.ensure_future(answer_case(case)) for case in cases]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def require_checks(prompt: Prompt, cases: Sequence[Case]) -> None:
    """Refuse an evaluation that would judge nothing, since it would look like a pass.

    Raises:
        EvaluationError: if there are no cases, no checks, two checks of one name, or a check that cannot be
            applied or imported.
    """
    if not cases:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData")
    if not prompt.spec.evaluators:
        raise EvaluationError(
            f"{prompt.name} has no evaluators.",
            key="evaluators",
            remedy="Add at least one, for example string: equals.",
        )
    names = [evaluator.name for evaluator in prompt.spec.evaluators]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise EvaluationError(f"{prompt.name} has two evaluators named {duplicates[0]!r}.", key="evaluators.name")
    for evaluator in prompt.spec.evaluators:
        if evaluator.uses is not None:
            name, other = short_name(evaluator.name), short_name(evaluator.uses)
            raise EvaluationError(
                f"{prompt.name}: the evaluator {name} is {other}, which has no check here.",
                key="evaluators",
                remedy="Write similarity, or llm with a judge. `sameboat prompt import FILE` leaves it out.",
            )
        if evaluator.python is not None:
            scorers.function_of(evaluator)


def not_asked(prompt: Prompt, case: Case, problem: str) -> CaseOutcome:
    """The outcome of a case that is not asked, because it could not be answered or judged. It fails every check."""
    return apply_checks(prompt, case, [Record(case.id, "", "", (), BROKEN, problem=problem)])


def passes(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, bool]]:
    """Maps check name and case id to whether the check passes. A verdict takes this table."""
    return {
        name: {case: result.passed for case, result in results.items()} for name, results in _by_check(outcomes).items()
    }


def scores(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, float]]:
    """Maps check name and case id to the score, 0 to 1."""
    return {
        name: {case: result.score for case, result in results.items()} for name, results in _by_check(outcomes).items()
    }


def _by_check(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, CheckResult]]:
    table: dict[str, dict[str, CheckResult]] = {}
    for outcome in outcomes:
        for result in outcome.checks:
            table.setdefault(result.name, {})[outcome.case.id] = result
    return table


def request_of(prompt: Prompt, case: Case, identity: Identity, repeat: int = 0, *, reuse: bool = True) -> Request:
    """The request with which an evaluation asks a case.

    It uses `exact` mode where the engine has one, so that a recording can be reproduced under any load. Each repeat has
    its own seed.
    """
    mode: Mode = "fast" if identity.engine == "remote" else "exact"
    seed = prompt.spec.modelParameters.seed + repeat
    return prompts.build_request(prompt, case.inputs(prompt), mode=mode, seed=seed, priority="background", reuse=reuse)


def fingerprint_of(prompt: Prompt, case: Case, identity: Identity, repeat: int = 0) -> str:
    """The fingerprint of the request with which an evaluation asks a case of this engine."""
    return fingerprint(request_of(prompt, case, identity, repeat), identity)


def recorded_answers(prompt: Prompt, case: Case, recorded: Mapping[str, Record]) -> list[Record]:
    """The recorded answers to a case, at most one for each repeat of the prompt."""
    keys = [_key(case, repeat) for repeat in range(prompt.spec.repeats)]
    return [recorded[key] for key in keys if key in recorded]


def _key(case: Case, repeat: int) -> str:
    return Record(case.id, "", "", (), "", repeat=repeat).key


def apply_checks(prompt: Prompt, case: Case, records: Sequence[Record], *, kept: bool = False) -> CaseOutcome:
    """Apply the checks that judge a case to its answers. One that cannot be applied to this case fails.

    Raises:
        EvaluationError: if a check can be applied to no case.
    """
    results = []
    for evaluator in judging(prompt.spec.evaluators, case.values):
        repeats = [check(evaluator, case, record.check_input(prompt)) for record in records]
        results.append(repeats[0] if len(repeats) == 1 else _combine_repeats(repeats, prompt.spec.repeatsPass))
    return CaseOutcome(case, records[0], tuple(results), kept, tuple(records[1:]))


def _combine_repeats(results: Sequence[CheckResult], rule: str) -> CheckResult:
    """One result for all repeats of a case: it passes by the prompt's rule, and its score is their mean."""
    passed = sum(result.passed for result in results)
    by_rule = {"all": passed == len(results), "majority": 2 * passed > len(results), "any": passed > 0}[rule]
    failure = next((f": {result.reason}" for result in results if not result.passed), "")
    reason = f"{passed} of {len(results)} answers pass, {rule} must{failure}"
    score, judged = sum(result.score for result in results) / len(results), all(result.judged for result in results)
    return CheckResult(results[0].name, by_rule, reason, score, judged)


async def answer(
    prompt: Prompt, case: Case, repeat: int, context: EvaluationContext, recorded: Mapping[str, Record]
) -> tuple[Record, bool]:
    """The record of one answer with its judgements, and whether nothing was asked.

    It waits while the queue is full, and as long as a remote engine asks with 429 and `Retry-After`, for LIMITED_S at
    most. After an error of this one case it is a broken record, which no later run reuses.

    Raises:
        SameboatError: if an engine fails, if a check cannot be applied, or if there is no judge.
    """
    engine, journal = context.engine, context.journal
    request = request_of(prompt, case, engine.identity, repeat, reuse=context.reuse)
    if context.mode == "fast":
        request = replace(request, mode="fast")
    request_fingerprint = fingerprint(request, engine.identity)
    record = recorded.get(_key(case, repeat))
    if record is None or record.fingerprint != request_fingerprint or record.finish_reason == BROKEN:
        earlier = journal.get(request_fingerprint) if journal is not None else None
        if earlier is not None and request.choices and not earlier.label_logprobs:
            earlier = None  # an earlier version wrote it, and a search needs the log-probabilities
        record = replace(earlier, id=case.id, repeat=repeat) if earlier is not None else None
    kept = record is not None
    ends = time.monotonic() + LIMITED_S
    while True:
        try:
            if record is None:
                record = Record.of(case.id, await prompts.run(request, engine), repeat)
                if journal is not None:
                    journal.add(record)
            judged = await judge.add_judgements(prompt, case, record, context.judges)
        except EngineBusy as error:
            await asyncio.sleep(error.retry_after_s or 1.0)
            continue
        except SameboatError as error:
            limit_s = error.retry_after_s if isinstance(error, RemoteError) and error.status == 429 else None
            if limit_s is not None and time.monotonic() < ends:  # an account without credit is 429 without a time
                await asyncio.sleep(limit_s)
                continue
            if not bad_rows.is_of_one_case(error):
                raise
            record = record or Record(case.id, request_fingerprint, "", (), BROKEN, repeat=repeat)
            return replace(record, finish_reason=BROKEN, problem=str(error)), False
        if judged is not record and journal is not None:
            journal.add(judged)
        return judged, kept and judged is record
