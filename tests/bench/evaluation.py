"""How long an evaluation takes, and how long the very same one again: answers are found by their fingerprint."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from service import settings as settings_module
from service.engine.pool import Engines
from service.evaluation import runner
from service.evaluation.cases import load
from service.evaluation.context import EvaluationContext
from service.evaluation.recording import Journal
from service.prompts.library import Library

NAME, CASES = "sentiment", 300


def again(model: str) -> tuple[float, float]:
    """Seconds for 300 review cases of `sentiment` on a model, and for evaluating them again with nothing changed.

    The second run reads its answers from the journal as a new process would: nothing is kept in memory between them.
    """
    settings = settings_module.load()
    library = Library(settings.data_dir)
    prompt = library[NAME]
    cases = [case for case in load(prompt, library.folder(NAME)) if case.slice == "review"][:CASES]
    assert len(cases) == CASES

    async def work(folder: str) -> tuple[float, float]:
        engines = Engines(settings)
        engine = engines.get(model)
        await engine.ready()
        try:
            taken = []
            for _ in range(2):
                context = EvaluationContext(engine, journal=Journal(Path(folder) / "journal.jsonl"))
                began = time.perf_counter()
                outcomes = await runner.run(prompt, cases, context)
                taken.append(time.perf_counter() - began)
            assert all(outcome.kept for outcome in outcomes)
            return taken[0], taken[1]
        finally:
            await engines.stop(0)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(work(folder))
