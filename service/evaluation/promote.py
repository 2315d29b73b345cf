"""A draft becomes the promoted prompt: cases run, verdict given, recording and lock rewritten, one reviewable diff.

What comes in: a draft and the promoted prompts' library. What goes out: a verdict, and on PASS the files under
`data/prompts/NAME/`. Nothing is written on another verdict, unless the caller accepts it with a reason, which is then
part of the report.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from service.engine.types import Engine
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import recording, report, runner
from service.evaluation.runner import Outcome, Progress
from service.evaluation.verdict import Verdict, decide
from service.prompts import lock as locks
from service.prompts.file import Prompt, save
from service.prompts.file import load as load_prompt


@dataclass(frozen=True)
class Promotion:
    """What came of it. `written` says whether the promoted prompt changed."""

    prompt: Prompt
    outcomes: tuple[Outcome, ...]
    verdict: Verdict
    written: bool
    text: str


async def evaluate(
    prompt: Prompt, folder: Path, engine: Engine, *, progress: Progress = lambda d, n: None
) -> list[Outcome]:
    """Run the prompt on its cases, taking from the folder's recording what was asked exactly so before."""
    path = folder / "recording.jsonl"
    known = recording.read(path) if path.exists() else {}
    return await runner.run(prompt, case_files.load(prompt, folder), engine, known=known, progress=progress)


def replay(prompt: Prompt, folder: Path, engine: Engine) -> list[Outcome]:
    """Judge the recording again, with no model: every case must be in it with the fingerprint that it has now.

    Raises EvaluationError naming the cases that were asked differently.
    """
    from service.prompts.fingerprint import fingerprint
    from service.prompts.run import build_request

    known = recording.read(folder / "recording.jsonl")
    found, missed = [], []
    for case in case_files.load(prompt, folder):
        request = build_request(prompt, case.inputs(prompt), mode="exact" if engine.abilities.exact else "fast")
        record = known.get(case.id)
        if record is None or record.fingerprint != fingerprint(request, engine.identity):
            missed.append(case.id)
        else:
            found.append(runner.judge(prompt, case, record, kept=True))
    if missed:
        raise EvaluationError(
            f"{prompt.name}: {len(missed)} of {len(missed) + len(found)} cases are not in the recording "
            f"as they are asked now, first {missed[0]}.",
            remedy=f"Record them again: sameboat promote {prompt.name}",
        )
    runner.require_checks(prompt, [outcome.case for outcome in found])
    return found


async def promote(
    draft: Prompt,
    target: Path,
    engine: Engine,
    *,
    accept: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Promotion:
    """Promote `draft` to `target` (data/prompts/NAME). `accept` is the reason for taking what is not a PASS."""
    source = draft.path.parent if draft.path is not None else target
    outcomes = await _outcomes(draft, source, target, engine, progress)
    baseline = _baseline(draft, target)
    now = {outcome.case.id: outcome.passed for outcome in outcomes}
    verdict = decide(now, baseline)
    written = verdict.word == "PASS" or bool(accept)
    text = report.markdown(draft, outcomes, verdict)
    if accept and verdict.word != "PASS":
        text += f"\nAccepted all the same: {accept}\n"
    if written:
        _write(draft, source, target, outcomes, engine)
    return Promotion(draft, tuple(outcomes), verdict, written, text)


async def _outcomes(draft: Prompt, source: Path, target: Path, engine: Engine, progress: Progress) -> list[Outcome]:
    path = target / "recording.jsonl"
    known = recording.read(path) if path.exists() else {}
    folder = source if draft.spec.testDataFile and (source / draft.spec.testDataFile).exists() else target
    return await runner.run(draft, case_files.load(draft, folder), engine, known=known, progress=progress)


def _baseline(draft: Prompt, target: Path) -> dict[str, bool] | None:
    """Which of the cases the promoted prompt passes, by its recording and the draft's checks."""
    path, file = target / "recording.jsonl", target / f"{draft.name}.prompt.yml"
    if not path.exists() or not file.exists():
        return None
    known = recording.read(path)
    promoted = load_prompt(file)
    cases = {case.id: case for case in case_files.load(promoted, target)}
    return {
        identifier: runner.judge(draft, cases[identifier], record).passed
        for identifier, record in known.items()
        if identifier in cases
    }


def _write(draft: Prompt, source: Path, target: Path, outcomes: list[Outcome], engine: Engine) -> None:
    """Prompt, cases, recording, lock, in this order: a lock is only there when all that it pins is."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "lock.json").unlink(missing_ok=True)
    path = target / f"{draft.name}.prompt.yml"
    prompt = save(draft, path) if draft.path != path else draft
    name = draft.spec.testDataFile
    if name and source != target and (source / name).exists():
        shutil.copyfile(source / name, target / name)
    recording.write(target / "recording.jsonl", [outcome.record for outcome in outcomes])
    (target / "lock.json").write_text(locks.make(prompt, target, engine.identity).text(), encoding="utf-8")
