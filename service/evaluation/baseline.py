"""The baseline of a comparison: the promoted prompt's answers to the draft's cases, judged by the draft's checks.

In: a promoted folder, a draft, its cases. Out: outcomes, and the cases that no recording answers.
A case whose inputs changed under the same id is another case, and one that only the draft's inputs take is left out. A
case that the draft dropped fails every check, and so does one that cannot be asked or judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.errors import InputsError
from service.evaluation import bad_rows, judge, recording, runner
from service.evaluation.cases import Case
from service.evaluation.checks import CheckResult
from service.evaluation.context import EvaluationContext, no_progress
from service.evaluation.judge import Judges
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt
from service.prompts.lock import Lock
from service.prompts.promoted import PromotedFolder


@dataclass(frozen=True)
class PromotedVersion:
    """The promoted prompt that a draft is compared with, read once. `recorded` maps the key of a record to it."""

    prompt: Prompt
    lock: Lock
    recorded: Mapping[str, Record]

    @classmethod
    def read(cls, folder: PromotedFolder) -> PromotedVersion | None:
        """The version in a promoted folder, or None if the folder is not complete.

        Raises:
            PromptError: if the prompt file or the lock cannot be used.
            EvaluationError: if the recording cannot be used.
        """
        if not folder.is_complete:
            return None
        return cls(folder.prompt(), folder.lock(), recording.read(folder.recording_path))

    def is_file_of(self, draft: Prompt) -> bool:
        """Whether the draft is this version's file, edited in place. The promoted text is lost then."""
        return draft.path == self.prompt.path

    def judged_by(self, draft: Prompt) -> Prompt:
        """This version with the draft's checks."""
        spec = self.prompt.spec.model_copy(update={"evaluators": draft.spec.evaluators})
        return Prompt(spec, self.prompt.text, self.prompt.path)

    def fingerprint_of(self, case: Case) -> str | None:
        """The fingerprint with which this version asks a case, or None if its inputs do not take the case."""
        try:
            return runner.fingerprint_of(self.prompt, case, self.lock.identity)
        except InputsError:
            return None


async def from_recordings(
    draft: Prompt,
    version: PromotedVersion,
    cases: Mapping[str, Case],
    judges: Judges,
    earlier: Mapping[str, Record] | None = None,
) -> tuple[list[CaseOutcome], list[Case]]:
    """The recorded answers of the promoted version, judged by the draft's checks, and the cases without such an answer.

    `cases` are the draft's, by id. `earlier` holds answers that an earlier comparison asked of the promoted version.

    Raises:
        EvaluationError: if a check cannot be applied, or needs a judge and there is none.
    """

    async def judged(case: Case, records: list[Record]) -> CaseOutcome:
        return runner.apply_checks(
            draft, case, [await judge.add_judgements(draft, case, record, judges) for record in records], kept=True
        )

    by_case: dict[str, list[Record]] = {}
    for record in version.recorded.values():
        by_case.setdefault(record.id, []).append(record)
    edited_in_place = version.is_file_of(draft)
    outcomes = []
    for name, records in by_case.items():
        case = cases.get(name)
        if case is None:
            dropped = tuple(CheckResult(check.name, False, "dropped", 0.0) for check in draft.spec.evaluators)
            outcomes.append(CaseOutcome(Case(name, {}), records[0], dropped, kept=True))
        elif edited_in_place or version.fingerprint_of(case) == records[0].fingerprint:
            outcomes.append(await judged(case, records))
    if edited_in_place:  # without the old text no further case can be asked
        return outcomes, []
    answered = {outcome.case.id for outcome in outcomes}
    missing = []
    prompt = version.judged_by(draft)
    for case in (case for case in cases.values() if case.id not in answered):
        asked_as = version.fingerprint_of(case)
        records = runner.recorded_answers(version.prompt, case, earlier or {})
        if records and asked_as == records[0].fingerprint:
            outcomes.append(await judged(case, records))
            continue
        problem = bad_rows.problem_of(prompt, case)
        if problem is not None and (asked_as is not None or bad_rows.problem_of(draft, case) is not None):
            outcomes.append(runner.not_asked(prompt, case, problem))
        elif asked_as is not None:
            missing.append(case)
    return outcomes, missing


async def baseline(
    draft: Prompt, version: PromotedVersion, cases: Mapping[str, Case], context: EvaluationContext
) -> list[CaseOutcome]:
    """The promoted version's answers to the draft's cases, which are given by id.

    Cases that no recording answers are asked of the engine, if it is the one that the version was promoted with. If it
    is another engine, these cases are left out of the comparison.

    Raises:
        EvaluationError: if a check cannot be applied.
        EngineError: if an engine fails.
    """
    outcomes, missing = await from_recordings(draft, version, cases, context.judges)
    if missing and context.engine.identity == version.lock.identity:
        prompt = version.judged_by(draft)
        silent = replace(context, progress=no_progress)
        # `kept` is false even for an answer from the journal: the recording does not hold it.
        outcomes += [replace(outcome, kept=False) for outcome in await runner.run(prompt, missing, silent)]
    return outcomes
