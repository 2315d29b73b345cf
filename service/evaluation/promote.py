"""A draft becomes the promoted prompt: run its cases, decide, write the folder, as one diff to review.

In: a draft, the folder of the promoted prompt, a context. Out: a verdict, and after a PASS the files under
`data/prompts/NAME/`. After another verdict nothing is written, unless the caller accepts it with a reason. The report
and the lock then hold that reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.errors import short_name
from service.evaluation import baseline as baselines
from service.evaluation import cases as case_files
from service.evaluation import dev_cases, groups, recording, report, runner, scorers
from service.evaluation.baseline import PromotedVersion
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.dates import with_dates
from service.evaluation.recording import Record
from service.evaluation.repeatability import unstable_checks
from service.evaluation.runner import CaseOutcome
from service.evaluation.verdict import Rules, Verdict, decide
from service.prompts import lock as locks
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder


@dataclass(frozen=True)
class Promotion:
    """A draft compared with the promoted prompt. `written` is true if the draft is promoted now.

    `cases_folder` holds the draft's cases. `baseline` are the promoted prompt's outcomes, None if nothing is promoted.
    """

    prompt: Prompt
    cases_folder: Path
    outcomes: tuple[CaseOutcome, ...]
    baseline: tuple[CaseOutcome, ...] | None
    verdict: Verdict
    text: str
    written: bool = False

    def __str__(self) -> str:
        """The pull request's text."""
        return self.text

    def __repr__(self) -> str:
        """One line, for a terminal and for the text form in a saved notebook."""
        place = "promoted" if self.written else "not promoted"
        return f"<promotion of {self.prompt.name}: {self.verdict.word}, {place}>"

    def _repr_markdown_(self) -> str:
        return self.text


async def evaluate(prompt: Prompt, folder: PromotedFolder, context: EvaluationContext) -> list[CaseOutcome]:
    """Run a prompt on the cases of a folder. Recorded answers to the same requests are taken from there.

    Raises:
        EvaluationError: if there are no cases or checks, if a check cannot be applied, or if a file cannot be used.
        EngineError: if an engine fails.
    """
    context = with_dates(context, folder.lock() if folder.has_lock else None)
    recorded = recording.read(folder.recording_path) if folder.recording_path.exists() else {}
    return await runner.run(prompt, _cases(prompt, folder.path, context), context, recorded)


async def compare(
    draft: Prompt, target: PromotedFolder, context: EvaluationContext, *, minimum: float | None = None
) -> Promotion:
    """Compare a draft with the promoted prompt in `target` and write nothing.

    `minimum` is the share of cases that must pass every check, 0 to 1. The checks' own minimums apply as well.

    Raises:
        EvaluationError: if there are no cases or checks, if a check cannot be applied, or if a file cannot be used.
        PromptError: if the promoted prompt or its lock cannot be used.
        EngineError: if an engine fails.
    """
    version = PromotedVersion.read(target)
    context = with_dates(context, version.lock if version is not None else None)
    folder = cases_folder(draft, target.path)
    cases = _cases(draft, folder, context)
    outcomes = await runner.run(draft, cases, context, version.recorded if version is not None else None)
    before = None
    if version is not None:
        before = await baselines.baseline(draft, version, {case.id: case for case in cases}, context)
    verdict = verdict_of(draft, outcomes, before, minimum=minimum)
    old = version.prompt.text if version is not None and not version.is_file_of(draft) else None
    text = report.markdown(draft, outcomes, verdict, before or (), old=old)
    return Promotion(draft, folder, tuple(outcomes), None if before is None else tuple(before), verdict, text)


async def promote(
    draft: Prompt,
    target: PromotedFolder,
    context: EvaluationContext,
    *,
    accept: str | None = None,
    minimum: float | None = None,
) -> Promotion:
    """Promote a draft to `target`, which is data/prompts/NAME. `accept` is the reason to promote without a PASS.

    Raises:
        EvaluationError: if there are no cases or checks, if a check cannot be applied, or if a file cannot be used.
        PromptError: if the promoted prompt or its lock cannot be used.
        EngineError: if an engine fails.
        OSError: if the folder cannot be written.
    """
    context = with_dates(context, target.lock() if target.is_complete else None)
    promotion = await compare(draft, target, context, minimum=minimum)
    passed = promotion.verdict.word == "PASS"
    if not passed and not accept:
        return promotion
    accepted = "" if passed or accept is None else accept
    engines = set(target.lock().engines) if target.has_lock else set()
    _write(promotion, target, context, accepted)
    text = promotion.text + (f"\nAccepted all the same: {accepted}\n" if accepted else "")
    if dropped := sorted(engines - set(target.lock().engines)):
        text += f"\nRecorded over further engines before, and not now: {', '.join(dropped)}.\n"
    return replace(promotion, written=True, text=text)


def _cases(prompt: Prompt, folder: Path, context: EvaluationContext) -> tuple[Case, ...]:
    """The prompt's cases. The notes about their rows are told."""
    loaded = case_files.read(prompt, folder)
    for note in loaded.notes:
        context.warn(note)
    return loaded.cases


def verdict_of(
    prompt: Prompt, now: Sequence[CaseOutcome], before: Sequence[CaseOutcome] | None, *, minimum: float | None = None
) -> Verdict:
    """The verdict on outcomes. The minimums are the checks' own, and `minimum` for all checks together."""
    minimums = {
        (check.name, group): share for check in prompt.spec.evaluators for group, share in check.minimums.items()
    }
    if minimum is not None:
        minimums["", ""] = minimum
    asked = {outcome.case.id: [record.fingerprint for record in outcome.records] for outcome in now}
    was_asked = {outcome.case.id: [record.fingerprint for record in outcome.records] for outcome in before or ()}
    same_requests = any(map(any, was_asked.values())) and all(
        asked.get(case) == fingerprints for case, fingerprints in was_asked.items()
    )  # a case that is not asked has an empty fingerprint
    verdict = decide(
        runner.passes(now),
        None if before is None else runner.passes(before),
        scores=(runner.scores(now), runner.scores(before or ())),
        rules=Rules(
            minimums,
            groups.groups(prompt, [outcome.case for outcome in now]),
            groups.constants(prompt, now) if before is None else None,
            same_requests,
            unstable_checks(prompt, now),
            _unjudged(prompt, now),
        ),
    )
    warning = dev_cases.warning(prompt, [outcome.case for outcome in now])
    return replace(verdict, reason=f"{verdict.reason}. {warning}") if warning else verdict


def _unjudged(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> str:
    """A sentence about the cases that no check judges, and about the checks that judge none of the cases. Else ""."""
    cases = [outcome.case.id for outcome in outcomes if not outcome.judged]
    used = {result.name for outcome in outcomes for result in outcome.checks}
    sentences = [f"no check judges {len(cases)} of {len(outcomes)} cases, first {cases[0][:80]}"] if cases else []
    idle = [short_name(check.name) for check in prompt.spec.evaluators if check.name not in used]
    sentences += [f"{name} judges no case: correct its `when`" for name in idle]
    return "; ".join(sentences)


def cases_folder(draft: Prompt, target: Path) -> Path:
    """The folder of a draft's cases: the draft's own, or the promoted prompt's if the draft's has no such file."""
    name = draft.spec.testDataFile
    own = draft.path.parent if draft.path is not None else target
    return own if name is None or (own / name).exists() else target


def _write(promotion: Promotion, target: PromotedFolder, context: EvaluationContext, accepted: str) -> None:
    """Write prompt, cases, recording and lock into a copy of the target, which then takes the target's place.

    Answers that the promoted prompt was asked for this comparison are written too, so that a report can repeat the
    comparison without a model. Recordings over further engines stay only if prompt and cases are the same. Other
    files of the target stay.
    """
    draft, source = promotion.prompt, promotion.cases_folder
    with target.replacing() as staged:
        prompt = staged.save_prompt(draft)
        name = draft.spec.testDataFile
        if name and source != target.path:
            (staged.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, staged.path / name)
        for place, scorer in scorers.files_of(draft):
            if scorer != target.path / place:
                (staged.path / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(scorer, staged.path / place)
        recording.write(staged.recording_path, records_of(promotion.outcomes))
        staged.baseline_path.unlink(missing_ok=True)
        if asked := records_of([outcome for outcome in promotion.baseline or () if not outcome.kept]):
            recording.write(staged.baseline_path, asked)
        judges = {check.llm.modelId for check in draft.spec.evaluators if check.llm is not None}
        lock = locks.make(
            prompt,
            staged.path,
            context.engine.identity,
            judges={name: context.judges(name).identity for name in sorted(judges)},
            recorded_with=context.conditions,
            accepted=accepted,
        )
        before = target.lock() if target.has_lock else None
        same = ("prompt_sha256", "cases_sha256")
        if before is not None and all(getattr(before, part) == getattr(lock, part) for part in same):
            lock = replace(lock, engines=before.engines)
        else:
            shutil.rmtree(staged.engine_recordings, ignore_errors=True)
        staged.save_lock(lock)


def records_of(outcomes: Sequence[CaseOutcome]) -> list[Record]:
    """The answers. A case that was not asked has none."""
    return [record for outcome in outcomes for record in outcome.records if record.fingerprint]
