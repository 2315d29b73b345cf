"""A draft becomes the promoted prompt: cases run, verdict given, recording and lock rewritten, one reviewable diff.

What comes in: a draft and the promoted prompts' library. What goes out: a verdict, and on PASS the files under
`data/prompts/NAME/`. Nothing is written on another verdict, unless the caller accepts it with a reason, which is then
part of the report.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service import text_files
from service.engine.types import Engine, Identity
from service.errors import EvaluationError, InputsError, PromptError
from service.evaluation import cases as case_files
from service.evaluation import diagnosis, judge, recording, report, runner
from service.evaluation.cases import Case
from service.evaluation.checks import CheckResult
from service.evaluation.judge import Judges
from service.evaluation.recording import Journal, Record
from service.evaluation.runner import CaseOutcome, ProgressCallback
from service.evaluation.verdict import Verdict, decide
from service.prompts import lock as locks
from service.prompts.file import Prompt, save
from service.prompts.file import load as load_prompt
from service.prompts.lock import Lock

BASELINE = "baseline.jsonl"
"""Answers of the prompt that was promoted before, to cases that its own recording does not hold."""


@dataclass(frozen=True)
class Promotion:
    """What came of it. `written` says whether the promoted prompt changed."""

    prompt: Prompt
    outcomes: tuple[CaseOutcome, ...]
    verdict: Verdict
    written: bool
    text: str

    def __str__(self) -> str:
        """The pull request's text."""
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


async def evaluate(
    prompt: Prompt,
    folder: Path,
    engine: Engine,
    *,
    journal: Journal | None = None,
    judges: Judges = judge.no_judge,
    progress: ProgressCallback = lambda done, total: None,
) -> list[CaseOutcome]:
    """Run the prompt on its cases, taking from recording and journal what was asked exactly so before."""
    path = folder / "recording.jsonl"
    known = recording.read(path) if path.exists() else {}
    cases = case_files.load(prompt, folder)
    return await runner.run(prompt, cases, engine, known=known, journal=journal, judges=judges, progress=progress)


def replay(prompt: Prompt, folder: Path) -> list[CaseOutcome]:
    """Judge the recording again, with no model: every answer must be in it with the fingerprint that it has now.

    What decodes, and what judges, is taken from the lock; what checks saw outside, from the recording. Raises
    EvaluationError naming the first case that was asked differently.
    """
    lock = locks.read(folder / "lock.json")
    known = recording.read(folder / "recording.jsonl")
    cases = case_files.load(prompt, folder)
    runner.require_checks(prompt, cases)
    found = {case.id: runner.recorded_answers(prompt, case, known) for case in cases}
    missed = [case.id for case in cases if not _is_recorded(prompt, case, found[case.id], lock)]
    if missed:
        raise EvaluationError(
            f"{prompt.name}: {len(missed)} of {len(cases)} cases are not in the recording as they are asked now, "
            f"first {missed[0]}.",
            key=missed[0],
            remedy=f"Record them again: sameboat promote {prompt.name}",
        )
    return [runner.apply_checks(prompt, case, found[case.id], kept=True) for case in cases]


def _is_recorded(prompt: Prompt, case: Case, records: list[Record], lock: Lock) -> bool:
    """Whether a recording holds every answer to the case, and every judgement of it, as they are asked for now."""
    return len(records) == prompt.spec.repeats and all(
        record.fingerprint == runner.fingerprint_of(prompt, case, lock.identity, repeat)
        and judge.has_all_judgements(prompt, case, record, lock.judge_identities)
        for repeat, record in enumerate(records)
    )


async def live(
    prompt: Prompt,
    folder: Path,
    engine: Engine,
    *,
    judges: Judges = judge.no_judge,
    conditions: Mapping[str, Any] | None = None,
    progress: ProgressCallback = lambda done, total: None,
) -> list[CaseOutcome]:
    """Ask the model again, every case: it must give the recording's very tokens.

    Raises EvaluationError that names the cases that differ, and which of model, template, engine, threads and batch
    differs, as far as that can be told.
    """
    known = recording.read(folder / "recording.jsonl")
    cases = case_files.load(prompt, folder)
    outcomes = await runner.run(prompt, cases, engine, judges=judges, reuse=False, progress=progress)
    differ = [each for each in outcomes if any(known.get(record.key) != record for record in each.records)]
    if differ:
        found = locks.make(prompt, folder, engine.identity, recorded_with=conditions)
        why = diagnosis.differing_judgements(differ, known) or await diagnosis.explain(
            prompt, [each.case for each in differ], known, engine, locks.read(folder / "lock.json"), found
        )
        raise EvaluationError(
            f"{prompt.name}: {len(differ)} of {len(outcomes)} answers are not the recording's: "
            f"{', '.join(each.case.id for each in differ[:10])}. {why}",
            key=differ[0].case.id,
            remedy="Restore what differs, or promote again. sameboat doctor --determinism shows what is reproducible.",
        )
    return outcomes


async def promote(
    draft: Prompt,
    target: Path,
    engine: Engine,
    *,
    accept: str | None = None,
    minimum: float | None = None,
    journal: Journal | None = None,
    judges: Judges = judge.no_judge,
    conditions: Mapping[str, Any] | None = None,
    progress: ProgressCallback = lambda done, total: None,
    write: bool = True,
) -> Promotion:
    """Promote `draft` to `target` (data/prompts/NAME). `accept` is the reason for taking what is not a PASS.

    `minimum` is a share of the cases that must pass every check, beside the checks' own. `conditions` go into the lock
    for the doctor. Without `write` everything is done but the writing: what a promotion would say.
    """
    folder, outcomes = await _outcomes(draft, target, engine, journal, judges, progress)
    cases = {outcome.case.id: outcome.case for outcome in outcomes}
    before = await baseline(draft, target, cases, judges, engine=engine, journal=journal)
    asked = [record for each in before or () if not each.kept for record in each.records]
    verdict = verdict_of(draft, outcomes, before, minimum=minimum)
    written = write and (verdict.word == "PASS" or bool(accept))
    text = report.markdown(draft, outcomes, verdict, before or (), old=_promoted_text(draft, target))
    if accept and verdict.word != "PASS":
        text += f"\nAccepted all the same: {accept}\n"
    if written:
        used = {each.llm.modelId for each in draft.spec.evaluators if each.llm is not None}
        identities = {name: judges(name).identity for name in sorted(used)}

        def lock(prompt: Prompt, staged: Path) -> Lock:
            reason = accept or "" if verdict.word != "PASS" else ""
            return locks.make(
                prompt, staged, engine.identity, judges=identities, recorded_with=conditions, accepted=reason
            )

        _write(draft, folder, target, outcomes, asked, lock)
    return Promotion(draft, tuple(outcomes), verdict, written, text)


def verdict_of(
    prompt: Prompt, now: Sequence[CaseOutcome], before: Sequence[CaseOutcome] | None, *, minimum: float | None = None
) -> Verdict:
    """The verdict on outcomes, with the prompt's own minimums and one for all its checks together."""
    minimums = {each.name: each.minimum for each in prompt.spec.evaluators if each.minimum is not None}
    if minimum is not None:
        minimums[""] = minimum
    old = None if before is None else runner.passes(before)
    graded = (runner.scores(now), runner.scores(before or ()))
    asked = {each.case.id: [record.fingerprint for record in each.records] for each in now}
    same = all(asked.get(each.case.id) == [record.fingerprint for record in each.records] for each in before or ())
    return decide(runner.passes(now), old, scores=graded, minimums=minimums, asks_the_same=same)


def cases_folder(draft: Prompt, target: Path) -> Path:
    """The folder of a draft's cases: its own, else, where its file of cases is not there, the promoted prompt's."""
    name = draft.spec.testDataFile
    beside = draft.path.parent if draft.path is not None else target
    return beside if name is None or (beside / name).exists() else target


async def _outcomes(
    draft: Prompt, target: Path, engine: Engine, journal: Journal | None, judges: Judges, progress: ProgressCallback
) -> tuple[Path, list[CaseOutcome]]:
    """Where the draft's cases are, and what came of them."""
    path = target / "recording.jsonl"
    known = recording.read(path) if path.exists() else {}
    folder = cases_folder(draft, target)
    cases = case_files.load(draft, folder)
    return folder, await runner.run(
        draft, cases, engine, known=known, journal=journal, judges=judges, progress=progress
    )


async def baseline(
    draft: Prompt,
    target: Path,
    cases: Mapping[str, Case],
    judges: Judges,
    *,
    engine: Engine | None = None,
    journal: Journal | None = None,
    more: Mapping[str, Record] | None = None,
) -> list[CaseOutcome] | None:
    """The promoted prompt's answers, judged by the draft's checks; None when nothing is promoted.

    They are taken from its recording. For cases that are new, or whose inputs changed under the same id, they are taken
    from `more` (what an earlier comparison asked), else asked of `engine` where that is what the prompt was promoted
    with, and left out of the comparison where it is not.
    """
    path, file = target / "recording.jsonl", target / f"{draft.name}.prompt.yml"
    if not all(each.exists() for each in (path, file, target / "lock.json")):
        return None
    promoted, identity = load_prompt(file), locks.read(target / "lock.json").identity
    by_case: dict[str, list[Record]] = {}
    for record in recording.read(path).values():
        by_case.setdefault(record.id, []).append(record)
    found = []
    for name, records in by_case.items():
        case = cases.get(name)
        if case is None:
            gone = tuple(CheckResult(each.name, False, "dropped", 0.0) for each in draft.spec.evaluators)
            found.append(CaseOutcome(Case(name, {}), records[0], gone))
        # A prompt that was edited in place has lost its old text, so its fingerprints cannot be computed again.
        elif draft.path == file or _fingerprint_if_valid(promoted, case, identity) == records[0].fingerprint:
            judged = [await judge.add_judgements(draft, case, record, judges) for record in records]
            found.append(runner.apply_checks(draft, case, judged, kept=True))
    if draft.path == file:
        return found
    done = {each.case.id for each in found}
    new = []
    for case in (each for each in cases.values() if each.id not in done):
        records = runner.recorded_answers(promoted, case, more or {})
        if records and _fingerprint_if_valid(promoted, case, identity) == records[0].fingerprint:
            judged = [await judge.add_judgements(draft, case, record, judges) for record in records]
            found.append(runner.apply_checks(draft, case, judged, kept=True))
        elif _fingerprint_if_valid(promoted, case, identity) is not None:
            new.append(case)
    if new and engine is not None and engine.identity == identity:
        checks = promoted.spec.model_copy(update={"evaluators": draft.spec.evaluators})
        asked = Prompt(checks, promoted.text, promoted.path)
        outcomes = await runner.run(asked, new, engine, journal=journal, judges=judges)
        found += [replace(each, kept=False) for each in outcomes]  # the journal may have known, the recording did not
    return found


def _promoted_text(draft: Prompt, target: Path) -> str | None:
    """The promoted prompt's text, for the diff; None on a first promotion, and where it was edited in place."""
    file = target / f"{draft.name}.prompt.yml"
    return text_files.read(file, PromptError) if file.exists() and draft.path != file else None


def _fingerprint_if_valid(promoted: Prompt, case: Case, identity: Identity) -> str | None:
    """The fingerprint with which the promoted prompt asks this case; None if the case no longer fits its inputs."""
    try:
        return runner.fingerprint_of(promoted, case, identity)
    except InputsError:
        return None


def _write(
    draft: Prompt,
    source: Path,
    target: Path,
    outcomes: list[CaseOutcome],
    asked: list[Record],
    lock: Callable[[Prompt, Path], Lock],
) -> None:
    """Prompt, cases, recording and lock, in a folder beside the target that then takes its place in one step.

    `asked` are the answers of the prompt that was there to cases which its recording had not: the comparison rests on
    them, so they are written too, and `prompt report` needs no model to compare again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as made:
        staged = Path(made) / target.name
        if target.exists():
            shutil.copytree(target, staged)  # notes and further case files that people keep there stay
        else:
            staged.mkdir()
        prompt = save(draft, staged / f"{draft.name}.prompt.yml", schema="../../prompt.schema.json")
        name = draft.spec.testDataFile
        if name and source != target:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, staged / name)
        recording.write(staged / "recording.jsonl", [record for outcome in outcomes for record in outcome.records])
        (staged / BASELINE).unlink(missing_ok=True)
        if asked:
            recording.write(staged / BASELINE, asked)
        (staged / "lock.json").write_text(lock(prompt, staged).text(), encoding="utf-8")
        swap(staged, target)


def swap(staged: Path, target: Path) -> None:
    """Put `staged` where `target` is, so that at every moment one of them is whole there.

    Linux exchanges two folders atomically (renameat2(2), RENAME_EXCHANGE). Elsewhere, and on file systems without it,
    the old one is moved aside first, and back if the second step fails.
    """
    if not target.exists():
        staged.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    at_cwd, exchange_flag = -100, 2  # AT_FDCWD of fcntl.h, RENAME_EXCHANGE of linux/fs.h
    if exchange and exchange(at_cwd, os.fsencode(staged), at_cwd, os.fsencode(target), exchange_flag) == 0:
        return
    aside = staged.with_name("aside")
    target.rename(aside)
    try:
        staged.rename(target)
    except OSError:
        aside.rename(target)
        raise
