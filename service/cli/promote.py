"""`sameboat promote DRAFT`: a draft, or a promoted prompt that was edited in place, becomes what is served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from service import settings as settings_module
from service.cli.evaluate import EXIT, case_progress
from service.cli.markdown import print_markdown
from service.engine.pool import Engines
from service.evaluation import diagnosis
from service.evaluation import promote as promotions
from service.evaluation.recording import Journal
from service.prompts.file import Prompt, load
from service.settings import Settings


def command(
    draft: Annotated[str, typer.Argument(help="A prompt file, or the name of a folder in data/prompts.")],
    accept: Annotated[str | None, typer.Option(help="Promote whatever the verdict, with this reason.")] = None,
    minimum: Annotated[float | None, typer.Option(min=0, max=1, help="Share of cases that must pass, 0..1.")] = None,
) -> None:
    """Run the cases, compare with the promoted prompt's recording, and on PASS rewrite prompt, recording and lock.

    Exits with 0 on PASS, 1 on REGRESSION (or an error), 2 on NOT ENOUGH EVIDENCE.
    """
    settings = settings_module.load()
    folder = settings.data_dir / "prompts" / draft
    prompt = load(folder / f"{draft}.prompt.yml" if folder.is_dir() else Path(draft))
    done = asyncio.run(_promote(settings, prompt, accept, minimum))
    print_markdown(done.text)
    if not done.written:
        typer.echo(
            f"sameboat: not promoted: {done.verdict.word}. {done.verdict.reason}.\n"
            "          Improve the draft or add cases. --accept REASON promotes it and puts the reason on record.",
            err=True,
        )
        raise typer.Exit(EXIT[done.verdict.word])
    typer.echo(f"written: {settings.data_dir / 'prompts' / prompt.name}")


async def _promote(
    settings: Settings, prompt: Prompt, accept: str | None, minimum: float | None
) -> promotions.Promotion:
    engines = Engines(settings)
    engine = engines.get(prompt.spec.model)
    try:
        await engine.ready()
        with case_progress() as shown:
            task = shown.add_task(prompt.name, total=None)
            return await promotions.promote(
                prompt,
                settings.data_dir / "prompts" / prompt.name,
                engine,
                accept=accept,
                minimum=minimum,
                judges=engines.get,
                conditions=diagnosis.conditions(settings),
                journal=Journal(settings.state_dir / "evaluations" / f"{prompt.name}.jsonl"),
                progress=lambda done, total: shown.update(task, completed=done, total=total),
            )
    finally:
        await engines.stop(0)
