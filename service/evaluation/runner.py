"""Run a prompt on its cases, concurrently, through the one way to an answer; and judge the answers.

What comes in: a prompt, cases, an engine, what is known already. What goes out: records and outcomes in the cases'
order. A record whose fingerprint is the request's own is taken instead of asking again: the fingerprint covers the
complete request, so a changed input of any kind misses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.engine.types import Engine, Identity, Mode
from service.errors import EngineBusy, EvaluationError
from service.evaluation.cases import Case
from service.evaluation.checks import Checked, check
from service.evaluation.recording import Journal, Record
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint

Progress = Callable[[int, int], None]
"""Called with cases done and cases in all."""


@dataclass(frozen=True)
class Outcome:
    """One case: its record and what the checks say. `kept` says that the record was known already."""

    case: Case
    record: Record
    checks: tuple[Checked, ...]
    kept: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check passes."""
        return all(each.passed for each in self.checks)


async def run(
    prompt: Prompt,
    cases: Sequence[Case],
    engine: Engine,
    *,
    known: Mapping[str, Record] | None = None,
    journal: Journal | None = None,
    concurrency: int = 8,
    progress: Progress = lambda done, total: None,
) -> list[Outcome]:
    """Answer and judge every case, in `exact` mode where the engine has one.

    `known` holds records by case id (a recording), `journal` answers of earlier runs; new answers are added to it.
    Raises EvaluationError for no cases or no checks, and whatever the engine raises.
    """
    require_checks(prompt, cases)
    places = asyncio.Semaphore(concurrency)
    done = 0

    async def one(case: Case) -> Outcome:
        nonlocal done
        async with places:
            record, kept = await _record(prompt, case, engine, known or {}, journal)
        done += 1
        progress(done, len(cases))
        return judge(prompt, case, record, kept=kept)

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
    if prompt.spec.repeats > 1:  # repeats of one case are not independent, and the tests count cases
        raise EvaluationError(
            f"{prompt.name} asks for {prompt.spec.repeats} repeats, and an evaluation judges one answer per case.",
            key="repeats",
            remedy="Decode greedily (temperature: 0, the default) and remove repeats.",
        )


def passes(outcomes: Iterable[Outcome]) -> dict[str, dict[str, bool]]:
    """check -> case id -> whether it passes, as a verdict takes it."""
    found: dict[str, dict[str, bool]] = {}
    for outcome in outcomes:
        for each in outcome.checks:
            found.setdefault(each.name, {})[outcome.case.id] = each.passed
    return found


def fingerprint_of(prompt: Prompt, case: Case, identity: Identity) -> str:
    """The fingerprint with which an evaluation asks this case of what decodes."""
    return fingerprint(prompts.build_request(prompt, case.inputs(prompt), mode=_mode(identity)), identity)


def _mode(identity: Identity) -> Mode:
    """`exact` wherever it exists, so that a recording can be reproduced under any load."""
    return "fast" if identity.engine == "remote" else "exact"


def judge(prompt: Prompt, case: Case, record: Record, *, kept: bool = False) -> Outcome:
    """What the prompt's checks say of one recorded answer."""
    answered = record.answered(is_json=prompt.schema is not None or prompt.spec.responseFormat == "json_object")
    return Outcome(case, record, tuple(check(each, case, answered) for each in prompt.spec.evaluators), kept)


async def _record(
    prompt: Prompt, case: Case, engine: Engine, known: Mapping[str, Record], journal: Journal | None
) -> tuple[Record, bool]:
    mode = _mode(engine.identity)
    request = prompts.build_request(prompt, case.inputs(prompt), mode=mode, priority="background")
    mark = fingerprint(request, engine.identity)
    before = known.get(case.id)
    if before is not None and before.fingerprint == mark:
        return before, True
    earlier = journal.get(mark) if journal is not None else None
    if earlier is not None:
        return replace(earlier, id=case.id), True
    while True:
        try:
            record = Record.of(case.id, await prompts.ask(request, engine))
        except EngineBusy as error:
            await asyncio.sleep(error.retry_after_s or 1.0)
            continue
        if journal is not None:
            journal.add(record)
        return record, False
