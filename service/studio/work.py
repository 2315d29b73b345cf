"""The work of the studio's jobs: run a draft, compare it, improve it, promote it, fetch a model.

In: a usable draft, options, the engines of the service. Out: plain values for the page.
Not here: the evaluation (`service.evaluation`), and the tables of notebooks, which are used here (`service.workbench`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.engine.pool import Engines
from service.evaluation import cases as case_files
from service.evaluation import improve, json_report, promote, promotion_history, split
from service.evaluation.cases import Case
from service.evaluation.context import EvaluationContext
from service.evaluation.improve import SearchRules
from service.evaluation.promote import Promotion
from service.evaluation.ready_context import ready_context
from service.evaluation.runner import CaseOutcome, run
from service.models.cache import Cache
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder
from service.settings import Settings
from service.studio.jobs import Report
from service.workbench.show import Comparison, Results

Work = Callable[[Report], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Workspace:
    """The parts that every job needs: settings and engines."""

    settings: Settings
    engines: Engines

    def target(self, prompt: Prompt) -> PromotedFolder:
        """The folder of the promoted prompt of the same name."""
        return PromotedFolder(self.settings.data_dir / "prompts" / prompt.name)

    def cases_folder(self, prompt: Prompt) -> Path:
        """The folder with the draft's cases."""
        return promote.cases_folder(prompt, self.target(prompt).path)

    async def context(
        self, prompt: Prompt, report: Report, model: str | None = None, *, fast_too: bool = False
    ) -> EvaluationContext:
        """A context with ready engines that reports to a job.

        Raises:
            EngineError: if an engine cannot start.
            EvaluationError: if the journal cannot be read.
        """
        report("progress", {"done": 0, "total": 0})
        context = await ready_context(self.settings, self.engines, prompt, model, fast_too=fast_too)
        return replace(
            context,
            progress=lambda done, total: report("progress", {"done": done, "total": total}),
            warn=lambda sentence: report("warning", {"text": sentence}),
        )

    def evaluation(self, prompt: Prompt, most: int | None, model: str | None) -> Work:
        """Run a draft on `most` cases, spread evenly over the file, or on all of them."""

        async def work(report: Report) -> dict[str, Any]:
            loaded = await asyncio.to_thread(case_files.read, prompt, self.cases_folder(prompt))
            for note in loaded.notes:
                report("warning", {"text": note})
            context = replace(await self.context(prompt, report, model), judged=False)
            return await asyncio.to_thread(_document, prompt, await run(prompt, spread(loaded.cases, most), context))

        return work

    def comparison(self, prompt: Prompt) -> Work:
        """Compare a draft with the promoted prompt on all cases. Nothing is written."""

        async def work(report: Report) -> dict[str, Any]:
            context = await self.context(prompt, report)
            return await asyncio.to_thread(_compared, await promote.compare(prompt, self.target(prompt), context))

        return work

    def promotion(self, prompt: Prompt, accept: str | None) -> Work:
        """Promote a draft. On PASS, or with a reason, the promoted folder changes."""

        async def work(report: Report) -> dict[str, Any]:
            target = self.target(prompt)
            promotion = await promote.promote(prompt, target, await self.context(prompt, report), accept=accept)
            document = await asyncio.to_thread(_compared, promotion)
            has_git = promotion.written and await asyncio.to_thread(promotion_history.is_tracked, target.path)
            diff = await asyncio.to_thread(promotion_history.uncommitted, target) if has_git else ""
            return document | {"written": promotion.written, "diff": diff}

        return work

    def improvement(self, prompt: Prompt, rules: SearchRules) -> Work:
        """Search for a better draft with a part of its cases, and judge it once by the others."""

        async def work(report: Report) -> dict[str, Any]:
            folder = self.cases_folder(prompt)
            dev, deciding = await asyncio.to_thread(split.of_draft, prompt, folder, seed=rules.seed)
            context = await self.context(prompt, report, fast_too=rules.mode == "fast")

            best: list[float] = []  # the gains that were reported

            def searched(answers: int, budget: int, gain: float) -> None:
                report("progress", {"done": answers, "total": budget})
                if best[-1:] != [gain]:
                    best.append(gain)
                    report("gain", {"answers": answers, "gain": gain})

            search = await improve.improve(prompt, dev, context, rules, searched)
            judged = await improve.judge(search, deciding, context) if deciding else None
            return {
                "changed": search.changed,
                "summary": str(search).splitlines(),
                "deciding": str(judged) if judged is not None else "",
                "diff": search.diff,
                "trials": [[trial.answers, trial.gain] for trial in search.trials],
                "course": search.course(),
                "text": search.better.text,
            }

        return work

    def download(self, name: str) -> Work:
        """Fetch and verify a model of the catalog."""
        model, cache = self.engines.catalog[name], Cache(self.settings.cache_dir)

        async def work(report: Report) -> dict[str, Any]:
            loop, stopped = asyncio.get_running_loop(), threading.Event()

            def progress(done: int, total: int, what: str) -> None:
                if stopped.is_set():
                    raise asyncio.CancelledError
                loop.call_soon_threadsafe(report, "progress", {"done": done, "total": total, "what": what})

            accept, base = self.settings.accept_licences, self.engines.catalog.path.parent
            try:
                await asyncio.to_thread(
                    cache.pull, model, progress, offline=self.settings.offline, accept=accept, base=base
                )
            except asyncio.CancelledError:
                stopped.set()  # the thread ends at its next progress, and the next pull goes on from there
                raise
            return {"model": model.name}

        return work


def spread(cases: Sequence[Case], most: int | None) -> Sequence[Case]:
    """At most `most` cases in their order, spread evenly, because files are often sorted by their labels."""
    if most is None or most >= len(cases):
        return cases
    return [cases[number * len(cases) // most] for number in range(most)]


def _document(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> dict[str, Any]:
    """The same document as a promoted prompt's evaluation."""
    document = json_report.document(prompt, outcomes)
    named = {"name": prompt.name, "description": prompt.spec.description, "model": prompt.spec.model}
    return {**named, **document}


def _compared(promotion: Promotion) -> dict[str, Any]:
    """The verdict, each check before and now, every changed answer, and the text of the pull request."""
    before = {outcome.case.id: outcome for outcome in promotion.baseline or ()}
    both = [outcome for outcome in promotion.outcomes if outcome.case.id in before]
    comparison = Comparison(Results(promotion.prompt, both), before, promotion.verdict)
    return {
        "verdict": promotion.verdict.word,
        "reason": promotion.verdict.reason,
        "is_first": promotion.baseline is None,
        "checks": comparison.checks() if both else [],
        "changed": comparison.changed(),
        "text": promotion.text,
        "evaluation": _document(promotion.prompt, promotion.outcomes),
    }
