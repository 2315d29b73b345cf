"""`sameboat promote DRAFT`: a draft, or a promoted prompt that was edited in place, becomes the served prompt.

In: a prompt file or a prompt's name. Out: the pull request's text, the written folder, and an exit code for scripts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from service import settings as settings_module
from service.cli.evaluate import EXIT, evaluation_context
from service.cli.markdown import print_markdown
from service.evaluation import promote as promotions
from service.prompts.file import load
from service.prompts.promoted import PromotedFolder


def command(
    draft: Annotated[str, typer.Argument(help="A prompt file, or the name of a folder in data/prompts.")],
    accept: Annotated[str | None, typer.Option(help="Promote under any verdict, with this reason.")] = None,
    minimum: Annotated[
        float | None, typer.Option("--fail-under", min=0, max=1, help="Share of cases that must pass, 0..1.")
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

    async def run() -> promotions.Promotion:
        async with evaluation_context(settings, prompt) as context:
            return await promotions.promote(prompt, target, context, accept=accept, minimum=minimum)

    promotion = asyncio.run(run())
    print_markdown(promotion.text)
    if not promotion.written:
        verdict = promotion.verdict
        typer.echo(
            f"sameboat: not promoted: {verdict.word}. {verdict.reason}.\n"
            "          Improve the draft or add cases. --accept REASON promotes it and records the reason.",
            err=True,
        )
        raise typer.Exit(EXIT[verdict.word])
    typer.echo(f"written: {target.path}")
