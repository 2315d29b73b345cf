"""Why a live run does not give its recording: which of model, template, engine, threads and batch differs.

What comes in: the cases that differ, the recording, the lock and what it would be now. What goes out: one sentence or
two. What the locks show is read off; whether the batch decides is tried, by asking a few of the cases one at a time.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from service import resources
from service.engine.types import Engine
from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome
from service.prompts import lock as locks
from service.prompts.file import Prompt
from service.prompts.lock import Lock
from service.settings import Settings

TRIED = 5  # cases that are asked again, one at a time
NAMES = {
    "model_sha256": "model", "template_sha256": "template", "engine_version": "engine", "engine_settings": "engine",
    "engine_kernels": "kernels",
    "recorded_with": "threads, batch or machine", "prompt_sha256": "prompt", "cases_sha256": "cases",
}  # fmt: skip


def conditions(settings: Settings) -> dict[str, Any]:
    """What must not decide a token but is worth knowing when one differs."""
    return {
        "threads": resources.threads(settings)[0],
        "parallel": settings.parallel,
        "machine": platform.machine(),
    }


def differing_judgements(differ: Sequence[CaseOutcome], known: Mapping[str, Record]) -> str:
    """Which checks say something else of the very same answers; "" where an answer itself differs."""
    if not all(_same(each.records, known) for each in differ):
        return ""
    records = [record for each in differ for record in each.records]
    names = sorted({
        name
        for record in records
        for name, said in {*record.judgements} ^ {*known[record.key].judgements}
    })  # fmt: skip
    return f"The tokens are the same; what is judged from outside differs: {', '.join(map(repr, names))}."


async def explain(
    prompt: Prompt, differ: Sequence[Case], known: Mapping[str, Record], engine: Engine, lock: Lock, found: Lock
) -> str:
    """What differs, named; where the locks are the same, what asking one at a time shows."""
    changed = locks.differences(lock, found)
    decisive = [each for each in changed if not each.startswith("recorded_with")]
    if decisive:
        return f"What differs: {'; '.join(map(_named, decisive))}."
    tried = list(differ[:TRIED])
    alone = await runner.run(prompt, tried, engine, concurrency=1, reuse=False, judges=lambda _: engine)
    same = sum(_same(each.records, known) for each in alone)
    said = "Model, template and engine are those of the lock."
    if same == len(tried):
        return f"{said} Asked one at a time, {same} of {len(tried)} give the recording: the batch decides."
    said += f" Asked one at a time, {same} of {len(tried)} give the recording, so the batch is not it."
    if changed:
        return f"{said} What differs: {'; '.join(map(_named, changed))}."
    return f"{said} Threads and machine are those of the lock, too."


def _same(records: Sequence[Record], known: Mapping[str, Record]) -> bool:
    return all(record.key in known and known[record.key].tokens == record.tokens for record in records)


def _named(difference: str) -> str:
    key, _, rest = difference.partition(": ")
    return f"{NAMES[key]} ({rest})" if key in NAMES else difference
