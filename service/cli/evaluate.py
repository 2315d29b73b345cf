"""`sameboat evaluate NAME`: run a prompt on its cases, or replay its recording, and report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import settings as settings_module
from service.cli.prompt import found
from service.engine.pool import Engines
from service.evaluation import promote, report
from service.evaluation.recording import Journal
from service.evaluation.runner import Outcome
from service.prompts.file import Prompt


def command(
    name: Annotated[str, typer.Argument(help="A promoted prompt or a prompt file.")],
    replay: Annotated[bool, typer.Option("--replay", help="Judge the recording again, without a model.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Ask the model again; it must give the recording.")] = False,
    model: Annotated[str | None, typer.Option(help="Another model than the prompt's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")] = False,
) -> None:
    """Run a prompt on its cases and report scores with intervals. Exits with 1 when it differs from the recording."""
    if replay and live:
        raise typer.BadParameter("--replay and --live exclude each other: without a model, or with it.")
    prompt = found(name)
    folder = prompt.path.parent if prompt.path is not None else Path.cwd()
    outcomes = asyncio.run(_outcomes(prompt, folder, replay=replay, live=live, model=model))
    if as_json:
        for line in lines(outcomes):
            typer.echo(line)
    else:
        typer.echo(report.markdown(prompt, outcomes))


def lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Per case: id, text, fingerprint, checks."""
    return [
        json.dumps({
            "id": each.case.id, "slice": each.case.slice, "text": each.record.text, "passed": each.passed,
            "fingerprint": each.record.fingerprint, "kept": each.kept,
            "checks": {
                one.name: {"passed": one.passed, "score": one.score, "reason": one.reason} for one in each.checks
            },
        }, ensure_ascii=False)
        for each in outcomes
    ]  # fmt: skip


def bar() -> Progress:
    """A progress bar over cases, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


async def _outcomes(prompt: Prompt, folder: Path, *, replay: bool, live: bool, model: str | None) -> list[Outcome]:
    if replay:
        return promote.replay(prompt, folder)
    settings = settings_module.load()
    engines = Engines(settings)
    engine = engines.get(model or prompt.spec.model)
    try:
        await engine.ready()
        with bar() as shown:
            task = shown.add_task(prompt.name, total=None)

            def progress(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            if live:
                return await promote.live(prompt, folder, engine, progress=progress)
            journal = Journal(settings.state_dir / "evaluations" / f"{prompt.name}.jsonl")
            return await promote.evaluate(prompt, folder, engine, journal=journal, progress=progress)
    finally:
        await engines.stop(0)
