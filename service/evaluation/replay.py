"""Prove a recording: replay it without a model, or ask the model again and require the same tokens.

In: a promoted prompt and its folder, for a live run also a context. Out: outcomes, or an error that names the first
cases that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import diagnosis, judge, recording, runner
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome
from service.prompts import lock as locks
from service.prompts.file import Prompt
from service.prompts.lock import Lock
from service.prompts.promoted import PromotedFolder


def replay(prompt: Prompt, folder: PromotedFolder) -> list[CaseOutcome]:
    """Judge the recording again without a model.

    The lock names the engine and the judges. The recording holds the judgements and the results of external checks.

    Raises:
        EvaluationError: if the recording lacks an answer or a judgement with its present fingerprint.
        LockMismatch: if the lock cannot be used.
    """
    lock, recorded = folder.lock(), recording.read(folder.recording_path)
    cases = case_files.load(prompt, folder.path)
    runner.require_checks(prompt, cases)
    answers = {case.id: runner.recorded_answers(prompt, case, recorded) for case in cases}
    missing = [case.id for case in cases if not _is_complete(prompt, case, answers[case.id], lock)]
    if missing:
        raise EvaluationError(
            f"{prompt.name}: {len(missing)} of {len(cases)} cases are not in the recording as they are asked now, "
            f"first {missing[0]}.",
            key=missing[0],
            remedy=f"Record them again: sameboat promote {prompt.name}",
        )
    return [runner.apply_checks(prompt, case, answers[case.id], kept=True) for case in cases]


def _is_complete(prompt: Prompt, case: Case, records: Sequence[Record], lock: Lock) -> bool:
    """Whether a recording holds every answer to the case and every judgement as they are asked for now."""
    return len(records) == prompt.spec.repeats and all(
        record.fingerprint == runner.fingerprint_of(prompt, case, lock.identity, repeat)
        and judge.has_all_judgements(prompt, case, record, lock.judge_identities)
        for repeat, record in enumerate(records)
    )


async def live(prompt: Prompt, folder: PromotedFolder, context: EvaluationContext) -> list[CaseOutcome]:
    """Ask the model every case again. It must give the recorded tokens.

    Raises:
        EvaluationError: if answers differ. It names their cases, and the cause as far as it can be found: the model,
            the template, the engine, the threads or the batch.
        LockMismatch: if the lock cannot be used.
        EngineError: if an engine fails.
    """
    recorded = recording.read(folder.recording_path)
    cases = case_files.load(prompt, folder.path)
    outcomes = await runner.run(prompt, cases, replace(context, reuse=False, journal=None))
    differing = [
        outcome for outcome in outcomes if any(recorded.get(record.key) != record for record in outcome.records)
    ]
    if not differing:
        return outcomes
    cause = diagnosis.differing_judgements(differing, recorded)
    if not cause:
        now = locks.make(prompt, folder.path, context.engine.identity, recorded_with=context.conditions)
        changed = locks.differences(folder.lock(), now)
        cause = await diagnosis.explain(prompt, [outcome.case for outcome in differing], recorded, changed, context)
    raise EvaluationError(
        f"{prompt.name}: {len(differing)} of {len(outcomes)} answers are not the recording's: "
        f"{', '.join(outcome.case.id for outcome in differing[:10])}. {cause}",
        key=differing[0].case.id,
        remedy="Restore what differs, or promote again. sameboat doctor --determinism shows what is reproducible.",
    )
