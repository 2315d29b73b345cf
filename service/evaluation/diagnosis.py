"""Why a live run does not give the recorded tokens: model, template, engine, threads, machine or batch.

In: the cases that differ, the recording, and the differences between the lock and a lock made now. Out: sentences.
Whether the batch decides is tried: a few of the cases are asked again, one at a time.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service import resources
from service.evaluation import runner
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext, no_progress
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt
from service.settings import Settings

TRIED = 5  # cases that are asked again, one at a time
NAMES = {
    "model_sha256": "model", "template_sha256": "template", "engine_version": "engine", "engine_settings": "engine",
    "engine_kernels": "kernels",
    "recorded_with": "threads, batch or machine", "prompt_sha256": "prompt", "cases_sha256": "cases",
}  # fmt: skip


def conditions(settings: Settings) -> dict[str, Any]:
    """The circumstances that must not change a token. They are recorded for the case that one does."""
    return {
        "threads": resources.threads(settings)[0],
        "parallel": settings.parallel,
        "machine": platform.machine(),
    }


def differing_judgements(outcomes: Sequence[CaseOutcome], recorded: Mapping[str, Record]) -> str:
    """Names the checks that judge equal answers differently from the recording. "" if an answer itself differs."""
    if not all(_same_tokens(outcome.records, recorded) for outcome in outcomes):
        return ""
    records = [record for outcome in outcomes for record in outcome.records]
    names = sorted({
        name
        for record in records
        for name, _ in {*record.judgements} ^ {*recorded[record.key].judgements}
    })  # fmt: skip
    return f"The tokens are the same; what is judged from outside differs: {', '.join(map(repr, names))}."


async def explain(
    prompt: Prompt,
    differing: Sequence[Case],
    recorded: Mapping[str, Record],
    changed: Sequence[str],
    context: EvaluationContext,
) -> str:
    """Name the cause of differing answers. `changed` are the differences between the lock and a lock made now.

    Raises:
        EngineError: if an engine fails.
    """
    decisive = [difference for difference in changed if not difference.startswith("recorded_with")]
    if decisive:
        return f"What differs: {'; '.join(map(_named, decisive))}."
    tried = list(differing[:TRIED])
    one_at_a_time = replace(context, concurrency=1, reuse=False, journal=None, progress=no_progress)
    outcomes = await runner.run(prompt, tried, one_at_a_time)
    same = sum(_same_tokens(outcome.records, recorded) for outcome in outcomes)
    text = "Model, template and engine are those of the lock."
    if same == len(tried):
        return f"{text} Asked one at a time, {same} of {len(tried)} give the recording: the batch decides."
    text += f" Asked one at a time, {same} of {len(tried)} give the recording, so the batch is not it."
    if changed:
        return f"{text} What differs: {'; '.join(map(_named, changed))}."
    return f"{text} Threads and machine are those of the lock, too."


def _same_tokens(records: Sequence[Record], recorded: Mapping[str, Record]) -> bool:
    return all(record.key in recorded and recorded[record.key].tokens == record.tokens for record in records)


def _named(difference: str) -> str:
    key, _, values = difference.partition(": ")
    return f"{NAMES[key]} ({values})" if key in NAMES else difference
