"""An evaluation at scale: its memory does not grow with the number of its cases.

In: a prompt with a file of JSON lines, a context with a journal. Out: counts: passed cases per check and slice, tokens,
answers that were there before. Cases are read as they are needed, `concurrency` at a time, and only the journal keeps
answers, so an interrupted run continues and asks nothing again that it has.
Not here: the comparison with a promoted prompt, which needs every outcome (`promote`), and one answer (`runner`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import EvaluationError
from service.evaluation import bad_rows, columns, runner, tables
from service.evaluation import cases as case_files
from service.evaluation.cases import Case, slice_names
from service.evaluation.context import EvaluationContext
from service.evaluation.report import format_rate
from service.evaluation.runner import CaseOutcome
from service.prompts.file import Prompt

PART = 500  # rows of a file that are in memory at a time
MILLION = 1_000_000


@dataclass(frozen=True)
class TokenPrices:
    """Prices per million tokens, in any one currency."""

    input: float = 0.0
    output: float = 0.0


@dataclass
class ScaleResult:
    """The counts. `kept` answers were in the journal, so nobody was asked and nothing was paid for them."""

    prompt: str
    prices: TokenPrices = TokenPrices()
    cases: int = 0
    passed: int = 0
    broken: int = 0
    answers: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    new_prompt_tokens: int = 0
    new_completion_tokens: int = 0
    seconds: float = 0.0
    checks: dict[str, Counter[bool]] = field(default_factory=dict)
    slices: dict[str, Counter[bool]] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """The price of all answers, those of earlier runs included."""
        return self._cost(self.prompt_tokens, self.completion_tokens)

    @property
    def new_cost(self) -> float:
        """The price of this run's own answers."""
        return self._cost(self.new_prompt_tokens, self.new_completion_tokens)

    def _cost(self, prompt: int, completion: int) -> float:
        return (prompt * self.prices.input + completion * self.prices.output) / MILLION

    def add(self, outcome: CaseOutcome) -> None:
        """Count an outcome."""
        self.cases += 1
        self.passed += outcome.passed
        self.broken += outcome.broken
        self.slices.setdefault(outcome.case.slice, Counter())[outcome.passed] += 1
        for result in outcome.checks:
            self.checks.setdefault(result.name, Counter())[result.passed] += 1

    def _named_slices(self) -> list[tuple[str, Counter[bool]]]:
        return [(name, self.slices[own]) for own, name in slice_names(self.slices).items()]

    def as_json(self) -> dict[str, Any]:
        """The numbers, for a script."""
        return {
            "prompt": self.prompt, "cases": self.cases, "passed": self.passed, "broken": self.broken,
            "answers": self.answers, "kept": self.kept,
            "tokens": {"prompt": self.prompt_tokens, "completion": self.completion_tokens},
            "cost": self.cost, "new_cost": self.new_cost, "seconds": round(self.seconds, 3),
            "checks": {name: {"passed": c[True], "cases": c.total()} for name, c in self.checks.items()},
            "slices": {name: {"passed": c[True], "cases": c.total()} for name, c in self._named_slices()},
        }  # fmt: skip

    def markdown(self) -> str:
        """The report."""
        lines = [f"### {self.prompt}", "", "| | pass | cases |", "|---|---|--:|"]
        lines.append(f"| all checks | {format_rate(self.passed, self.cases)} | {self.cases} |")
        groups = [(name, counts) for name, counts in self.checks.items()]
        groups += [(f"slice {name}", counts) for name, counts in self._named_slices() if len(self.slices) > 1]
        lines += [f"| {name} | {format_rate(c[True], c.total())} | {c.total()} |" for name, c in groups]
        told = f"{self.prompt_tokens} prompt and {self.completion_tokens} answer tokens"
        if self.prices != TokenPrices():
            told += f", cost {self.cost:.4f}, of which this run {self.new_cost:.4f}"
        speed = f"{(self.answers - self.kept) / self.seconds:.1f} a second" if self.seconds else "at once"
        lines += ["", f"{self.answers} answers, of which {self.kept} were there, the others {speed}. {told}."]
        if self.broken:
            lines += ["", f"{self.broken} cases could not be asked or judged, and count as failed."]
        return "\n".join(lines)


def parts(prompt: Prompt, folder: Path) -> Iterator[tuple[Case, ...]]:
    """The prompt's cases in parts. Unlike a usual evaluation, ids that are there twice are not found.

    Raises:
        EvaluationError: if the prompt names no file of JSON lines, or if the file cannot be read.
    """
    name = prompt.spec.testDataFile
    if name is None or Path(name).suffix.lower() not in (".jsonl", ".ndjson"):
        raise EvaluationError(
            f"{prompt.name}: an evaluation at scale reads a file of JSON lines.",
            key="testDataFile",
            remedy="Name a .jsonl file, or leave --stream out.",
        )
    for table in tables.read_parts(folder / name, PART):
        renamed, kind = columns.without_promptfoo(columns.renamed(table, prompt.spec.testDataFields))
        if kind is not None:
            columns.check_kind(prompt, kind)
        yield case_files.from_rows(renamed.rows).cases


async def evaluate(
    prompt: Prompt, folder: Path, context: EvaluationContext, prices: TokenPrices | None = None
) -> ScaleResult:
    """Answer and judge every case, `context.concurrency` at a time.

    Raises:
        EvaluationError: if the file cannot be read, if there are no cases or checks, or after `stop_after` cases that
            could not be asked or judged.
        EngineError: if an engine fails.
    """
    result = ScaleResult(prompt.name, prices or TokenPrices())
    cases = (case for part in parts(prompt, folder) for case in part)
    first = next(cases, None)
    total = tables.count_lines(folder / prompt.spec.testDataFile) if prompt.spec.testDataFile else 0
    runner.require_checks(prompt, [first] if first is not None else [])
    following = itertools.chain([first] if first is not None else [], cases)

    async def work() -> None:
        for case in following:  # one iterator for all: each case goes to the worker that is free
            outcome = await _outcome(prompt, case, context, result)
            result.add(outcome)
            context.progress(result.cases, total)
            if context.stop_after is not None and result.broken >= context.stop_after:
                reason = next(check.reason for check in outcome.checks if not check.passed)
                problem = f"stopped after {result.broken} cases that could not be asked or judged"
                raise EvaluationError(f"{prompt.name}: {problem}: {case.id[:80]}. {reason}", key=case.id[:80])

    began = time.monotonic()
    tasks = [asyncio.ensure_future(work()) for _ in range(context.concurrency)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    result.seconds = time.monotonic() - began
    return result


async def _outcome(prompt: Prompt, case: Case, context: EvaluationContext, result: ScaleResult) -> CaseOutcome:
    if (problem := bad_rows.problem_of(prompt, case)) is not None:
        return runner.not_asked(prompt, case, problem)
    records, all_kept = [], True
    for repeat in range(prompt.spec.repeats):
        record, kept = await runner.answer(prompt, case, repeat, context, {})
        records.append(record)
        all_kept = all_kept and kept
        result.answers += 1
        result.kept += kept
        tokens = record.prompt_tokens or 0, record.completion
        result.prompt_tokens += tokens[0]
        result.completion_tokens += tokens[1]
        if not kept:
            result.new_prompt_tokens += tokens[0]
            result.new_completion_tokens += tokens[1]
    return runner.apply_checks(prompt, case, records, kept=all_kept)
