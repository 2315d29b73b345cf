"""`sameboat evaluate NAME`: run a prompt on its cases, or replay its recording, and report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import settings as settings_module
from service.cli.markdown import print_markdown
from service.cli.prompt import find_prompt
from service.engine.pool import Engines
from service.evaluation import diagnosis, promote, report
from service.evaluation.recording import Journal
from service.evaluation.runner import CaseOutcome
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt, load
from service.settings import Settings

EXIT = {"PASS": 0, "REGRESSION": 1, "NOT ENOUGH EVIDENCE": 2}


@dataclass(frozen=True)
class Evaluation:
    """What a run found; there is a verdict where there was something to compare with, or a minimum."""

    outcomes: Sequence[CaseOutcome]
    verdict: Verdict | None
    text: str


def command(
    name: Annotated[str, typer.Argument(help="A promoted prompt or a prompt file.")],
    replay: Annotated[bool, typer.Option("--replay", help="Judge the recording again, without a model.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Ask the model again; it must give the recording.")] = False,
    model: Annotated[str | None, typer.Option(help="Another model than the prompt's.")] = None,
    minimum: Annotated[float | None, typer.Option(min=0, max=1, help="Share of cases that must pass, 0..1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write one JSON object per case to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")] = False,
) -> None:
    """Run a prompt on its cases and report scores with intervals, compared with the promoted version if it differs.

    Exits with 0, with 1 on REGRESSION, a missed minimum or an error, with 2 on NOT ENOUGH EVIDENCE.
    """
    if replay and live:
        raise typer.BadParameter("--replay and --live exclude each other: without a model, or with it.")
    prompt = find_prompt(name)
    done = asyncio.run(_evaluate(prompt, replay=replay, live=live, model=model, minimum=minimum))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("".join(line + "\n" for line in json_lines(done.outcomes)), encoding="utf-8")
    if as_json:
        for line in json_lines(done.outcomes):
            typer.echo(line)
    else:
        print_markdown(done.text)
    if done.verdict is not None and done.verdict.word != "PASS":
        typer.echo(f"sameboat: {done.verdict.word}. {done.verdict.reason}.", err=True)
        raise typer.Exit(EXIT[done.verdict.word])


def json_lines(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Per answer: the case's id, text, fingerprint, tokens, seconds, checks."""
    return [
        json.dumps({
            "id": each.case.id, "repeat": record.repeat, "slice": each.case.slice, "text": record.text,
            "passed": each.passed, "fingerprint": record.fingerprint, "kept": each.kept,
            "tokens": {"prompt": record.prompt_tokens, "completion": len(record.tokens)}, "seconds": record.seconds,
            "finish_reason": record.finish_reason, "problem": record.problem,
            "probabilities": dict(record.probabilities) or None,
            "checks": {
                one.name: {"passed": one.passed, "score": one.score, "reason": one.reason} for one in each.checks
            },
        }, ensure_ascii=False)
        for each in outcomes
        for record in each.records
    ]  # fmt: skip


def case_progress() -> Progress:
    """A progress bar over cases, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


async def _evaluate(
    prompt: Prompt, *, replay: bool, live: bool, model: str | None, minimum: float | None
) -> Evaluation:
    settings = settings_module.load()
    folder = prompt.path.parent if prompt.path is not None else Path.cwd()
    if replay:
        return _alone(prompt, promote.replay(prompt, folder), minimum)
    engines = Engines(settings)
    engine = engines.get(model or prompt.spec.model)
    target = settings.data_dir / "prompts" / prompt.name
    try:
        await engine.ready()
        with case_progress() as shown:
            task = shown.add_task(prompt.name, total=None)

            def progress(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            if live:
                outcomes = await promote.live(
                    prompt, folder, engine, judges=engines.get, conditions=diagnosis.conditions(settings),
                    progress=progress,
                )  # fmt: skip
                return _alone(prompt, outcomes, minimum)
            journal = Journal(settings.state_dir / "evaluations" / f"{prompt.name}.jsonl")
            if model is None and not _differs(prompt, settings):
                outcomes = await promote.evaluate(
                    prompt, folder, engine, journal=journal, judges=engines.get, progress=progress
                )
                return _alone(prompt, outcomes, minimum)
            done = await promote.promote(
                prompt, target, engine, minimum=minimum, journal=journal, judges=engines.get, progress=progress,
                write=False,
            )  # fmt: skip
            return Evaluation(done.outcomes, done.verdict, done.text)
    finally:
        await engines.stop(0)


def _differs(prompt: Prompt, settings: Settings) -> bool:
    """Whether there is a promoted prompt of this name and it is another one."""
    folder = settings.data_dir / "prompts" / prompt.name
    path = folder / f"{prompt.name}.prompt.yml"
    return (folder / "lock.json").exists() and path.exists() and load(path).sha256 != prompt.sha256


def _alone(prompt: Prompt, outcomes: Sequence[CaseOutcome], minimum: float | None) -> Evaluation:
    """Scores without a comparison; a verdict only where there is a minimum."""
    needed = minimum is not None or any(each.minimum is not None for each in prompt.spec.evaluators)
    verdict = promote.verdict_of(prompt, outcomes, None, minimum=minimum) if needed else None
    return Evaluation(
        outcomes, verdict if verdict and verdict.word != "PASS" else None, report.markdown(prompt, outcomes)
    )
