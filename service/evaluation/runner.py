"""Run a prompt on its cases, concurrently, through the one way to an answer; and judge the answers.

What comes in: a prompt, cases, an engine, what is known already. What goes out: records and outcomes in the cases'
order. A record whose fingerprint is the request's own is taken instead of asking again: the fingerprint covers the
complete request, so a changed input of any kind misses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.engine.types import Engine
from service.errors import EngineBusy, EvaluationError
from service.evaluation.cases import Case
from service.evaluation.checks import Checked, check
from service.evaluation.recording import Record
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
    concurrency: int = 8,
    progress: Progress = lambda done, total: None,
) -> list[Outcome]:
    """Answer and judge every case, in `exact` mode where the engine has one.

    Raises EvaluationError for no cases or no checks, and whatever the engine raises.
    """
    require_checks(prompt, cases)
    places = asyncio.Semaphore(concurrency)
    done = 0

    async def one(case: Case) -> Outcome:
        nonlocal done
        async with places:
            record, kept = await _record(prompt, case, engine, known or {})
        done += 1
        progress(done, len(cases))
        return judge(prompt, case, record, kept=kept)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(case)) for case in cases]
    return [task.result() for task in tasks]


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


def judge(prompt: Prompt, case: Case, record: Record, *, kept: bool = False) -> Outcome:
    """What the prompt's checks say of one recorded answer."""
    answered = record.answered(is_json=prompt.schema is not None or prompt.spec.responseFormat == "json_object")
    return Outcome(case, record, tuple(check(each, case, answered) for each in prompt.spec.evaluators), kept)


async def _record(prompt: Prompt, case: Case, engine: Engine, known: Mapping[str, Record]) -> tuple[Record, bool]:
    mode = "exact" if engine.abilities.exact else "fast"
    options = {"mode": mode, "priority": "background"}
    request = prompts.build_request(prompt, case.inputs(prompt), **options)  # type: ignore[arg-type]
    before = known.get(case.id)
    if before is not None and before.fingerprint == fingerprint(request, engine.identity):
        return before, True
    while True:
        try:
            return Record.of(case.id, await prompts.ask(request, engine)), False
        except EngineBusy as error:
            await asyncio.sleep(error.retry_after_s or 1.0)
