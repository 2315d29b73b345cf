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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.engine.types import Engine, Identity
from service.errors import EvaluationError, InputsError
from service.evaluation import cases as case_files
from service.evaluation import recording, report, runner
from service.evaluation.cases import Case
from service.evaluation.checks import Checked
from service.evaluation.recording import Journal
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
    progress: Progress = lambda done, total: None,
) -> list[Outcome]:
    """Run the prompt on its cases, taking from recording and journal what was asked exactly so before."""
    path = folder / "recording.jsonl"
    known = recording.read(path) if path.exists() else {}
    cases = case_files.load(prompt, folder)
    return await runner.run(prompt, cases, engine, known=known, journal=journal, progress=progress)


def replay(prompt: Prompt, folder: Path) -> list[Outcome]:
    """Judge the recording again, with no model: every case must be in it with the fingerprint that it has now.

    What decodes is taken from the lock. Raises EvaluationError naming the first case that was asked differently.
    """
    identity = locks.read(folder / "lock.json").identity
    known = recording.read(folder / "recording.jsonl")
    cases = case_files.load(prompt, folder)
    runner.require_checks(prompt, cases)
    marks = {case.id: runner.fingerprint_of(prompt, case, identity) for case in cases}
    missed = [name for name, mark in marks.items() if name not in known or known[name].fingerprint != mark]
    if missed:
        raise EvaluationError(
            f"{prompt.name}: {len(missed)} of {len(cases)} cases are not in the recording as they are asked now, "
            f"first {missed[0]}.",
            key=missed[0],
            remedy=f"Record them again: sameboat promote {prompt.name}",
        )
    return [runner.judge(prompt, case, known[case.id], kept=True) for case in cases]


async def live(
    prompt: Prompt, folder: Path, engine: Engine, *, progress: Progress = lambda done, total: None
) -> list[Outcome]:
    """Ask the model again, every case: it must give the recording's very tokens.

    Raises EvaluationError that names the cases that differ, and what decodes differently than the lock says, if so.
    """
    known = recording.read(folder / "recording.jsonl")
    lock = locks.read(folder / "lock.json")
    outcomes = await runner.run(prompt, case_files.load(prompt, folder), engine, progress=progress)
    differ = [each.case.id for each in outcomes if known.get(each.case.id) != each.record]
    if differ:
        changed = locks.differences(lock, locks.make(prompt, folder, engine.identity))
        raise EvaluationError(
            f"{prompt.name}: {len(differ)} of {len(outcomes)} answers are not the recording's: "
            f"{', '.join(differ[:10])}. "
            + (f"What differs from the lock: {'; '.join(changed)}." if changed else "The lock is the same."),
            key=differ[0],
            remedy="Restore what differs, or promote again." if changed else "Try sameboat doctor.",
        )
    return outcomes


async def promote(
    draft: Prompt,
    target: Path,
    engine: Engine,
    *,
    accept: str | None = None,
    journal: Journal | None = None,
    progress: Progress = lambda done, total: None,
) -> Promotion:
    """Promote `draft` to `target` (data/prompts/NAME). `accept` is the reason for taking what is not a PASS."""
    folder, outcomes = await _outcomes(draft, target, engine, journal, progress)
    before = _baseline(draft, target, {outcome.case.id: outcome.case for outcome in outcomes})
    verdict = decide(runner.passes(outcomes), None if before is None else runner.passes(before))
    written = verdict.word == "PASS" or bool(accept)
    text = report.markdown(draft, outcomes, verdict, before or ())
    if accept and verdict.word != "PASS":
        text += f"\nAccepted all the same: {accept}\n"
    if written:
        _write(draft, folder, target, outcomes, engine)
    return Promotion(draft, tuple(outcomes), verdict, written, text)


async def _outcomes(
    draft: Prompt, target: Path, engine: Engine, journal: Journal | None, progress: Progress
) -> tuple[Path, list[Outcome]]:
    """Where the draft's cases are (beside it, else those of the promoted prompt), and what came of them."""
    path, name = target / "recording.jsonl", draft.spec.testDataFile
    known = recording.read(path) if path.exists() else {}
    beside = draft.path.parent if draft.path is not None else target
    folder = beside if name is None or (beside / name).exists() else target
    cases = case_files.load(draft, folder)
    return folder, await runner.run(draft, cases, engine, known=known, journal=journal, progress=progress)


def _baseline(draft: Prompt, target: Path, cases: Mapping[str, Case]) -> list[Outcome] | None:
    """The promoted prompt's recorded answers, judged by the draft's checks; None when nothing is promoted.

    A case whose inputs changed under the same id is not the same case: it is left out of the comparison.
    """
    path, file = target / "recording.jsonl", target / f"{draft.name}.prompt.yml"
    if not all(each.exists() for each in (path, file, target / "lock.json")):
        return None
    promoted, identity = load_prompt(file), locks.read(target / "lock.json").identity
    found = []
    for name, record in recording.read(path).items():
        case = cases.get(name)
        if case is None:
            found.append(
                Outcome(
                    Case(name, {}),
                    record,
                    tuple(Checked(each.name, False, "dropped", 0.0) for each in draft.spec.evaluators),
                )
            )
        elif draft.path == file or _asked(promoted, case, identity) == record.fingerprint:  # in place: old text is gone
            found.append(runner.judge(draft, case, record, kept=True))
    return found


def _asked(promoted: Prompt, case: Case, identity: Identity) -> str | None:
    """The fingerprint with which the promoted prompt asks this case; None if the case no longer fits its inputs."""
    try:
        return runner.fingerprint_of(promoted, case, identity)
    except InputsError:
        return None


def _write(draft: Prompt, source: Path, target: Path, outcomes: list[Outcome], engine: Engine) -> None:
    """Prompt, cases, recording and lock, in a folder beside the target that then takes its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as made:
        staged = Path(made) / target.name
        if target.exists():
            shutil.copytree(target, staged)  # notes and further case files that people keep there stay
        else:
            staged.mkdir()
        prompt = save(draft, staged / f"{draft.name}.prompt.yml")
        name = draft.spec.testDataFile
        if name and source != target:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, staged / name)
        recording.write(staged / "recording.jsonl", [outcome.record for outcome in outcomes])
        (staged / "lock.json").write_text(locks.make(prompt, staged, engine.identity).text(), encoding="utf-8")
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
