"""Run a prompt on its cases, concurrently, through the one way to an answer; and judge the answers.

What comes in: a prompt, cases, an engine, what is known already. What goes out: records and outcomes in the cases'
order. A record whose fingerprint is the request's own is taken instead of asking again: the fingerprint covers the
complete request, so a changed input of any kind misses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.engine.types import Engine, Identity, Mode, Request
from service.errors import EngineBusy, EvaluationError
from service.evaluation import judge
from service.evaluation.cases import Case
from service.evaluation.checks import CheckResult, check
from service.evaluation.judge import Judges
from service.evaluation.recording import Journal, Record
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint

ProgressCallback = Callable[[int, int], None]
"""Called with cases done and cases in all."""


@dataclass(frozen=True)
class CaseOutcome:
    """One case: its record and what the checks say. `kept` says that all of it was known already.

    `more` are the further answers to the same case when the prompt asks for repeats; the checks look at all of them.
    """

    case: Case
    record: Record
    checks: tuple[CheckResult, ...]
    kept: bool = False
    more: tuple[Record, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passes."""
        return all(each.passed for each in self.checks)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every answer to the case."""
        return (self.record, *self.more)


async def run(
    prompt: Prompt,
    cases: Sequence[Case],
    engine: Engine,
    *,
    known: Mapping[str, Record] | None = None,
    journal: Journal | None = None,
    judges: Judges = judge.no_judge,
    concurrency: int = 8,
    reuse: bool = True,
    progress: ProgressCallback = lambda done, total: None,
) -> list[CaseOutcome]:
    """Answer and judge every case, in `exact` mode where the engine has one.

    `known` holds records by their key (a recording), `journal` answers of earlier runs; new answers are added to it.
    Without `reuse` the engine, too, must compute each answer anew. Raises EvaluationError for no cases or no checks,
    and whatever the engine raises.
    """
    require_checks(prompt, cases)
    semaphore = asyncio.Semaphore(concurrency)
    done = 0

    async def one(case: Case) -> CaseOutcome:
        nonlocal done
        found, all_kept = [], True
        for repeat in range(prompt.spec.repeats):
            async with semaphore:
                record, kept = await _record(prompt, case, repeat, engine, known or {}, journal, judges, reuse)
            found.append(record)
            all_kept = all_kept and kept
        done += 1
        progress(done, len(cases))
        return apply_checks(prompt, case, found, kept=all_kept)

    progress(0, len(cases))
    tasks = [asyncio.ensure_future(one(case)) for case in cases]
    try:
        return await asyncio.gather(*tasks)
    finally:  # after the first error, or when the caller goes away: withdraw what still runs
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def require_checks(prompt: Prompt, cases: Sequence[Case]) -> None:
    """No cases or no checks is an error, never a pass."""
    if not cases:
        raise EvaluationError(f"{prompt.name} has no cases.", key="testData")
    if not prompt.spec.evaluators:
        raise EvaluationError(
            f"{prompt.name} has no evaluators.",
            key="evaluators",
            remedy="Add at least one, for example string: equals.",
        )
    names = [each.name for each in prompt.spec.evaluators]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvaluationError(f"{prompt.name} has two evaluators named {twice[0]!r}.", key="evaluators.name")


def passes(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, bool]]:
    """check -> case id -> whether it passes, as a verdict takes it."""
    return {name: {case: each.passed for case, each in found.items()} for name, found in _by_check(outcomes).items()}


def scores(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, float]]:
    """check -> case id -> its score, 0..1."""
    return {name: {case: each.score for case, each in found.items()} for name, found in _by_check(outcomes).items()}


def _by_check(outcomes: Iterable[CaseOutcome]) -> dict[str, dict[str, CheckResult]]:
    found: dict[str, dict[str, CheckResult]] = {}
    for outcome in outcomes:
        for each in outcome.checks:
            found.setdefault(each.name, {})[outcome.case.id] = each
    return found


def request_of(prompt: Prompt, case: Case, identity: Identity, repeat: int = 0, *, reuse: bool = True) -> Request:
    """What an evaluation asks for a case: in `exact` mode wherever it exists, so that a recording can be reproduced
    under any load; each repeat with a seed of its own."""
    mode: Mode = "fast" if identity.engine == "remote" else "exact"
    seed = prompt.spec.modelParameters.seed + repeat
    return prompts.build_request(prompt, case.inputs(prompt), mode=mode, seed=seed, priority="background", reuse=reuse)


def fingerprint_of(prompt: Prompt, case: Case, identity: Identity, repeat: int = 0) -> str:
    """The fingerprint with which an evaluation asks this case of what decodes."""
    return fingerprint(request_of(prompt, case, identity, repeat), identity)


def recorded_answers(prompt: Prompt, case: Case, known: Mapping[str, Record]) -> list[Record]:
    """The case's answers in a recording, as many as the prompt has repeats or as there are."""
    keys = [Record(case.id, "", "", (), "", repeat=repeat).key for repeat in range(prompt.spec.repeats)]
    return [known[key] for key in keys if key in known]


def apply_checks(prompt: Prompt, case: Case, records: Sequence[Record], *, kept: bool = False) -> CaseOutcome:
    """What the prompt's checks say of the recorded answers to one case."""
    found = []
    for evaluator in prompt.spec.evaluators:
        each = [check(evaluator, case, record.check_input(prompt)) for record in records]
        found.append(each[0] if len(each) == 1 else _combine_repeats(each, prompt.spec.repeatsPass))
    return CaseOutcome(case, records[0], tuple(found), kept, tuple(records[1:]))


def _combine_repeats(each: Sequence[CheckResult], rule: str) -> CheckResult:
    """One outcome of one check on all repeats of a case: passed by the prompt's rule, the score is their mean."""
    n = sum(one.passed for one in each)
    passed = {"all": n == len(each), "majority": 2 * n > len(each), "any": n > 0}[rule]
    failed = next((f": {one.reason}" for one in each if not one.passed), "")
    said = f"{n} of {len(each)} answers pass, {rule} must{failed}"
    return CheckResult(each[0].name, passed, said, sum(one.score for one in each) / len(each))


async def _record(
    prompt: Prompt,
    case: Case,
    repeat: int,
    engine: Engine,
    known: Mapping[str, Record],
    journal: Journal | None,
    judges: Judges,
    reuse: bool,
) -> tuple[Record, bool]:
    """The record of one answer with its judgements, and whether nothing had to be asked for it."""
    request = request_of(prompt, case, engine.identity, repeat, reuse=reuse)
    mark = fingerprint(request, engine.identity)
    record = known.get(Record(case.id, mark, "", (), "", repeat=repeat).key)
    if record is None or record.fingerprint != mark:
        earlier = journal.get(mark) if journal is not None else None
        record = replace(earlier, id=case.id, repeat=repeat) if earlier is not None else None
    kept = record is not None
    while True:
        try:
            if record is None:
                record = Record.of(case.id, await prompts.ask(request, engine), repeat)
                if journal is not None:
                    journal.add(record)
            judged = await judge.add_judgements(prompt, case, record, judges)
        except EngineBusy as error:
            await asyncio.sleep(error.retry_after_s or 1.0)
            continue
        if judged is not record and journal is not None:
            journal.add(judged)
        return judged, kept and judged is record
