"""Prove a recording: replay it without a model, or ask the model again and require the same tokens.

In: a promoted prompt and its folder, for a live run also a context. Out: outcomes, or an error that names the first
cases that differ.
The lock names the kernels that computed the recording. Other kernels may round differently, so a live run on them
compares neither fingerprints, which name the kernels, nor probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.engine.types import Identity
from service.errors import EvaluationError
from service.evaluation import bad_rows, diagnosis, judge, recording, runner
from service.evaluation import cases as case_files
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.dates import with_dates
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome
from service.prompts import lock as locks
from service.prompts.file import Prompt
from service.prompts.lock import Lock
from service.prompts.promoted import PromotedFolder


def replay(prompt: Prompt, folder: PromotedFolder, engine: str | None = None) -> list[CaseOutcome]:
    """Judge the recording again without a model. `engine` is the id of a further engine in the lock.

    The lock names the engine and the judges. The recording holds the judgements and the results of external checks.

    Raises:
        EvaluationError: if the recording lacks an answer or a judgement with its present fingerprint.
        LockMismatch: if the lock cannot be used, or does not name the engine.
    """
    lock = folder.lock()
    if engine is None:
        identity, path = lock.identity, folder.recording_path
    else:
        identity, path = lock.engine_lock(engine).identity, folder.engine_recording_path(engine)
    recorded = recording.read(path)
    cases = case_files.load(prompt, folder.path)
    runner.require_checks(prompt, cases)
    answers = {case.id: runner.recorded_answers(prompt, case, recorded) for case in cases}
    problems = bad_rows.problems_of(prompt, cases)
    missing = [
        case.id
        for case in cases
        if case.id not in problems and not _is_complete(prompt, case, answers[case.id], lock, identity)
    ]
    if missing:
        raise EvaluationError(
            f"{prompt.name}: {len(missing)} of {len(cases)} cases are not in the recording as they are asked now, "
            f"first {missing[0]}.",
            key=missing[0],
            remedy=f"Record them again: sameboat promote {prompt.name}{'' if engine is None else ' --engine remote'}",
        )
    return [
        runner.not_asked(prompt, case, problems[case.id])
        if case.id in problems
        else runner.apply_checks(prompt, case, answers[case.id], kept=True)
        for case in cases
    ]


def _is_complete(prompt: Prompt, case: Case, records: Sequence[Record], lock: Lock, identity: Identity) -> bool:
    """Whether a recording holds every answer to the case and every judgement as they are asked for now."""
    return len(records) == prompt.spec.repeats and all(
        record.fingerprint == runner.fingerprint_of(prompt, case, identity, repeat)
        and judge.has_all_judgements(prompt, case, record, lock.judge_identities)
        for repeat, record in enumerate(records)
    )


def other_kernels(lock: Lock, identity: Identity) -> str:
    """A sentence for people if the engine computes with other kernels than those of the recording. Else ""."""
    if lock.engine_kernels == identity.kernels:
        return ""
    return (
        f"The recording was computed by {lock.engine_kernels or 'kernels that its lock does not name'}, and here is "
        f"{identity.kernels}: tokens, texts and judgements are compared, fingerprints and probabilities are not."
    )


def _whole(record: Record | None) -> object:
    return record


def _tokens_of(record: Record | None) -> object:
    """The parts of a record that are compared on other kernels. A judgement's fingerprint names kernels, too."""
    if record is None:
        return None
    judgements = [(name, judgement.choice) for name, judgement in record.judgements]
    return record.tokens, record.text, record.finish_reason, record.problem, judgements


async def live(prompt: Prompt, folder: PromotedFolder, context: EvaluationContext) -> list[CaseOutcome]:
    """Ask the model every case again. It must give the recorded tokens, texts and judgements.

    On the kernels of the recording it must also give the recorded probabilities and fingerprints.

    Raises:
        EvaluationError: if answers differ. It names their cases, and the cause as far as it can be found: the model,
            the template, the engine, the threads or the batch.
        LockMismatch: if the lock cannot be used.
        EngineError: if an engine fails.
    """
    recorded, lock = recording.read(folder.recording_path), folder.lock()
    context = with_dates(context, lock)
    cases = case_files.load(prompt, folder.path)
    outcomes = await runner.run(prompt, cases, replace(context, reuse=False, journal=None))
    part = _tokens_of if other_kernels(lock, context.engine.identity) else _whole
    differing = [
        outcome
        for outcome in outcomes
        if any(record.fingerprint and part(recorded.get(record.key)) != part(record) for record in outcome.records)
    ]
    if not differing:
        return outcomes
    cause = diagnosis.differing_judgements(differing, recorded)
    if not cause:
        now = locks.make(prompt, folder.path, context.engine.identity, recorded_with=context.conditions)
        changed = locks.differences(lock, now)
        cause = await diagnosis.explain(prompt, [outcome.case for outcome in differing], recorded, changed, context)
    raise EvaluationError(
        f"{prompt.name}: {len(differing)} of {len(outcomes)} answers are not the recording's: "
        f"{', '.join(outcome.case.id for outcome in differing[:10])}. {cause}",
        key=differing[0].case.id,
        remedy="Restore what differs, or promote again. sameboat doctor --determinism shows what is reproducible.",
    )
