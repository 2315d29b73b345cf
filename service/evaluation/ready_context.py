"""The context of an evaluation in a workspace. The command line, notebooks and the studio run cases with it.

In: settings, engines, a prompt. Out: a context with ready engines, the prompt's journal and the conditions of the run.
Not here: progress and warnings, which each caller shows in its own way.
"""

from __future__ import annotations

import asyncio

from service.engine.pool import Engines
from service.evaluation import diagnosis
from service.evaluation.context import EvaluationContext
from service.evaluation.journal import journal_of
from service.prompts.file import Prompt
from service.settings import Settings


async def ready_context(
    settings: Settings, engines: Engines, prompt: Prompt, model: str | None = None, *, fast_too: bool = False
) -> EvaluationContext:
    """A context for the prompt's model, or for another one. `fast_too` readies the engine of fast answers.

    The journal outlives the process, so that known answers are not asked again.

    Raises:
        EngineError: if an engine cannot start.
        EvaluationError: if the journal cannot be read.
    """
    engine = engines.get(model or prompt.spec.model)
    exact, fast = engine.for_mode("exact"), engine.for_mode("fast") if fast_too else None
    for needed in (exact, fast):
        if needed is not None:
            await needed.ready()
    return EvaluationContext(
        engine=exact,
        fast_engine=fast,
        judges=engines.get,
        journal=await asyncio.to_thread(journal_of, settings, prompt.name),
        conditions=diagnosis.conditions(settings),
    )
