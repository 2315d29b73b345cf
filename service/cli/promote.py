"""`sameboat promote DRAFT`: a draft, or a promoted prompt that was edited in place, becomes the served prompt.

In: a prompt file or a prompt's name, and the engines that record it. Out: the pull request's text, the written folder,
and an exit code for scripts.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from service import settings as settings_module
from service.cli.evaluate import EXIT, evaluation_context
from service.cli.markdown import print_markdown
from service.engine.pool import Engines
from service.evaluation import promote as promotions
from service.evaluation import promoted_engines
from service.evaluation.promote import Promotion
from service.evaluation.promoted_engines import EnginePromotion
from service.evaluation.verdict import Verdict
from service.prompts.engine_lock import engine_id
from service.prompts.file import Prompt, load
from service.prompts.file_names import CASES
from service.prompts.lock import file_sha256
from service.prompts.promoted import PromotedFolder
from service.settings import Settings


def command(
    draft: Annotated[str, typer.Argument(help="A prompt file, or the name of a folder in data/prompts.")],
    accept: Annotated[str | None, typer.Option(help="Promote under any verdict, with this reason.")] = None,
    minimum: Annotated[
        float | None, typer.Option("--fail-under", min=0, max=1, help="Share of cases that must pass, 0..1.")
    ] = None,
    engine: Annotated[
        Literal["local", "remote", "both"] | None,
        typer.Option(
            help="Record over this engine, default: SAMEBOAT_ENGINE. An engine that an unchanged promoted prompt was "
            "not recorded on is added to its lock."
        ),
    ] = None,
) -> None:
    """Run the cases, compare with the promoted prompt's recording, and on PASS rewrite prompt, recording and lock.

    Exits with 0 on PASS, with 2 on NOT ENOUGH EVIDENCE, and with 1 on every other verdict or an error.
    """
    settings = settings_module.load()
    prompts = settings.data_dir / "prompts"
    edited = PromotedFolder(prompts / draft)
    prompt = edited.prompt() if edited.path.is_dir() else load(Path(draft))
    target = PromotedFolder(prompts / prompt.name)
    for name in ("local", "remote") if engine == "both" else (engine or settings.engine,):
        here = settings.model_copy(update={"engine": name})
        if engine and _adds(here, prompt, target):
            added = asyncio.run(_promote_on(here, target, accept))
            print_markdown(added.markdown())
            _require(added, added.parity.verdict)
        else:
            promotion = asyncio.run(_promote(here, prompt, target, accept, minimum))
            print_markdown(promotion.text)
            _require(promotion, promotion.verdict)
    typer.echo(f"written: {target.path}")


def _adds(settings: Settings, prompt: Prompt, target: PromotedFolder) -> bool:
    """Whether this very prompt is promoted already, with its first recording over another engine."""
    if not target.is_complete:
        return False
    lock = target.lock()
    cases = promotions.cases_folder(prompt, target.path) / (prompt.spec.testDataFile or CASES)
    same = (prompt.sha256, file_sha256(cases)) == (lock.prompt_sha256, lock.cases_sha256)
    if not same or lock.engine != settings.engine:
        return same
    return settings.engine == "remote" and asyncio.run(_id_of(settings, prompt)) != engine_id(lock.identity)


async def _id_of(settings: Settings, prompt: Prompt) -> str:
    """The id in a lock of the engine that these settings give, for example `vllm-NAME`."""
    async with evaluation_context(settings, prompt) as context:
        return engine_id(context.engine.identity)


async def _promote(
    settings: Settings, prompt: Prompt, target: PromotedFolder, accept: str | None, minimum: float | None
) -> Promotion:
    async with evaluation_context(settings, prompt) as context:
        return await promotions.promote(prompt, target, context, accept=accept, minimum=minimum)


async def _promote_on(settings: Settings, target: PromotedFolder, accept: str | None) -> EnginePromotion:
    """The judges are those of the first recording's engine: the local one, or the remote one."""
    judges = Engines(settings.model_copy(update={"engine": target.lock().engine}))
    try:
        async with evaluation_context(settings, target.prompt()) as context:
            return await promoted_engines.promote_on(target, replace(context, judges=judges.get), accept=accept)
    finally:
        await judges.stop(0)


def _require(done: Promotion | EnginePromotion, verdict: Verdict) -> None:
    """Exit with the verdict's code if nothing was written."""
    if not done.written:
        typer.echo(
            f"sameboat: not promoted: {verdict.word}. {verdict.reason}.\n"
            "          Improve the draft or add cases. --accept REASON promotes it and records the reason.",
            err=True,
        )
        raise typer.Exit(EXIT[verdict.word])
