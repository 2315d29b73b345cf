"""Parity: how far two engines agree on a prompt's cases, told in numbers.

In: a prompt, and the outcomes of the same cases on two engines. Out: a `Parity`, and its table.
Not here: how the cases are run (`runner`), and the tests behind the verdict (`verdict`).

Equal tokens, texts and probabilities are counted per answer. Checks are compared per case, with the paired verdict that
a draft gets beside the promoted prompt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.engine.types import Identity
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import promote, replay, runner
from service.evaluation.context import EvaluationContext
from service.evaluation.dates import with_dates
from service.evaluation.recording import BROKEN
from service.evaluation.report import format_rate
from service.evaluation.runner import CaseOutcome
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder

SHOWN = 10  # answers with other texts that the table names


@dataclass(frozen=True)
class EngineRun:
    """The outcomes of one engine. `seconds` is the time of the whole run, None for a recording."""

    identity: Identity
    outcomes: Sequence[CaseOutcome]
    seconds: float | None = None

    @property
    def per_second(self) -> float | None:
        """Answers per second."""
        if not self.seconds:
            return None
        return sum(len(outcome.records) for outcome in self.outcomes) / self.seconds

    def __str__(self) -> str:
        """The engine's name for people."""
        kernels = "" if self.identity.kernels is None else f", {self.identity.kernels.partition(':')[0]} kernels"
        return f"{self.identity.engine}: {self.identity.version.partition(',')[0]}{kernels}"


def _passed(side: EngineRun) -> tuple[int, int]:
    """How many of the judged cases pass every check, and how many are judged."""
    judged = [outcome for outcome in side.outcomes if outcome.judged]
    return sum(outcome.passed for outcome in judged), len(judged)


@dataclass(frozen=True)
class Parity:
    """The result. `tokens` counts the answers with equal token ids, of those `with_tokens` that have ids from both.

    `difference` is the largest one of a label's probability, with its case. It is None if there are no labels. `other`
    has the id and both texts of each answer with different texts.
    """

    name: str
    here: EngineRun
    there: EngineRun
    answers: int
    tokens: int
    with_tokens: int
    texts: int
    difference: tuple[float, str] | None
    other: tuple[tuple[str, str, str], ...]
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """The numbers, for a script."""
        return {
            "prompt": self.name,
            "engines": [str(self.here), str(self.there)],
            "answers": self.answers,
            "equal_tokens": self.tokens,
            "answers_with_tokens": self.with_tokens,
            "equal_texts": self.texts,
            "largest_probability_difference": self.difference[0] if self.difference is not None else None,
            "passed": [_passed(side)[0] for side in (self.here, self.there)],
            "lost": list(self.verdict.lost),
            "gained": list(self.verdict.gained),
            "answers_per_second": [self.here.per_second, self.there.per_second],
            "verdict": self.verdict.word,
            "reason": self.verdict.reason,
        }

    def markdown(self) -> str:
        """The table, and the answers that differ."""
        sides = (self.here, self.there)
        passed = [format_rate(*_passed(side)) for side in sides]
        speeds = ["" if side.per_second is None else f"{side.per_second:.2f}" for side in sides]
        tokens = f"{self.tokens} of {self.with_tokens}" if self.with_tokens else "not told by both"
        rows = [
            ("equal token ids", tokens, ""),
            ("equal texts", f"{self.texts} of {self.answers}", ""),
        ]
        if self.difference is not None:
            rows.append(
                ("largest difference of a label's probability", f"{self.difference[0]:.4f}", self.difference[1])
            )
        rows += [
            ("pass all checks", passed[0], passed[1]),
            (
                "cases that lost or gained a check",
                f"{len(self.verdict.lost)} lost",
                f"{len(self.verdict.gained)} gained",
            ),
            ("answers per second", speeds[0], speeds[1]),
        ]
        lines = [f"# Parity of {self.name}", "", f"| | {self.here} | {self.there} |", "|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", f"**{self.verdict.word}**: {self.verdict.reason}."]
        if self.verdict.lost:
            lines += ["", f"Lost: {', '.join(self.verdict.lost)}."]
        if self.other:
            lines += ["", "| other text | first engine | second engine |", "|---|---|---|"]
            lines += [f"| {' | '.join(map(_cell, row))} |" for row in self.other[:SHOWN]]
            if len(self.other) > SHOWN:
                lines += ["", f"{len(self.other) - SHOWN} more answers have another text."]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        """The table in a notebook."""
        return self.markdown()


def _cell(text: str) -> str:
    plain = " ".join(text.split()).replace("|", "\\|")
    return plain if len(plain) <= 60 else f"{plain[:60]}..."


def compare(prompt: Prompt, here: EngineRun, there: EngineRun) -> Parity:
    """Compare two engines on the same cases. The verdict is about the second one.

    Raises:
        EvaluationError: if they answered other cases, or none.
    """
    if [outcome.case.id for outcome in here.outcomes] != [outcome.case.id for outcome in there.outcomes]:
        raise EvaluationError(f"{prompt.name}: the two engines answered other cases.", key="cases")
    pairs = [
        (left, right)
        for outcome, other in zip(here.outcomes, there.outcomes, strict=True)
        for left, right in zip(outcome.records, other.records, strict=True)
        if BROKEN not in (left.finish_reason, right.finish_reason)
    ]
    if not pairs:
        raise EvaluationError(f"{prompt.name}: no case was answered by both engines.", key="cases")
    with_tokens = [(left, right) for left, right in pairs if left.tokens and right.tokens]
    differences = [
        (abs(share - dict(right.probabilities)[label]), left.id)
        for left, right in pairs
        for label, share in left.probabilities
        if right.probabilities
    ]
    return Parity(
        prompt.name,
        here,
        there,
        answers=len(pairs),
        tokens=sum(left.tokens == right.tokens for left, right in with_tokens),
        with_tokens=len(with_tokens),
        texts=sum(left.text == right.text for left, right in pairs),
        difference=max(differences, default=None),
        other=tuple((left.id, left.text, right.text) for left, right in pairs if left.text != right.text),
        verdict=promote.verdict_of(prompt, there.outcomes, here.outcomes),
    )


def recorded(prompt: Prompt, folder: PromotedFolder, engine: str | None = None) -> EngineRun:
    """A recording of the promoted prompt as a run. No model is asked. `engine` is the id of a further engine.

    Raises:
        EvaluationError: if the recording lacks an answer.
        LockMismatch: if the lock cannot be used, or does not name the engine.
    """
    lock = folder.lock()
    identity = lock.identity if engine is None else lock.engine_lock(engine).identity
    return EngineRun(identity, replay.replay(prompt, folder, engine))


def of_recordings(prompt: Prompt, folder: PromotedFolder) -> dict[str, Parity]:
    """Each further engine of the lock beside the first one, by id. Every recording is judged again.

    Raises:
        EvaluationError: if a recording lacks an answer.
        LockMismatch: if the lock cannot be used.
    """
    names = sorted(folder.lock().engines)
    first = recorded(prompt, folder) if names else None
    return {name: compare(prompt, first, recorded(prompt, folder, name)) for name in names if first is not None}


async def ask(prompt: Prompt, folder: PromotedFolder, context: EvaluationContext) -> EngineRun:
    """Every case of the promoted prompt, asked anew of this context's engine.

    Raises:
        EvaluationError: if the cases cannot be read or judged.
        LockMismatch: if the lock cannot be used.
        EngineError: if the engine fails.
    """
    cases = case_files.load(prompt, folder.path)
    if context.engine.identity.engine == "local":
        context = with_dates(context, folder.lock())
    began = time.monotonic()
    outcomes = await runner.run(prompt, cases, replace(context, reuse=False, journal=None))
    return EngineRun(context.engine.identity, outcomes, time.monotonic() - began)
