"""`sameboat evaluate NAME`: run a prompt on its cases, or replay its recording, and report.

In: a prompt's name or file. Out: a report, or one JSON object per answer, and an exit code for scripts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import settings as settings_module
from service.cli.markdown import print_markdown
from service.cli.prompt import find_prompt
from service.engine.pool import Engines
from service.engine.providers_file import providers_of
from service.errors import EvaluationError
from service.evaluation import (
    at_scale,
    html_report,
    inspect_log,
    mlflow_run,
    parity,
    promote,
    report,
    report_details,
    result_rows,
)
from service.evaluation.cases import slice_names
from service.evaluation.context import EvaluationContext
from service.evaluation.journal import table_journal
from service.evaluation.ready_context import ready_context
from service.evaluation.replay import live as run_live
from service.evaluation.replay import other_kernels
from service.evaluation.replay import replay as replay_recording
from service.evaluation.runner import CaseOutcome
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder
from service.settings import Settings

EXIT = {"PASS": 0, "REGRESSION": 1, "BELOW MINIMUM": 1, "NO BETTER THAN GUESSING": 1, "NOT ENOUGH EVIDENCE": 2}


@dataclass(frozen=True)
class Evaluation:
    """The result of a run. `verdict` is None for a promoted prompt that misses no minimum."""

    outcomes: Sequence[CaseOutcome]
    verdict: Verdict | None
    text: str
    before: Sequence[CaseOutcome] = ()


def command(
    name: Annotated[str, typer.Argument(help="A promoted prompt or a prompt file.")],
    replay: Annotated[bool, typer.Option("--replay", help="Judge the recording again, without a model.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Ask the model again and require the recorded tokens.")] = False,
    model: Annotated[str | None, typer.Option(help="Use this model instead of the prompt's.")] = None,
    minimum: Annotated[
        float | None, typer.Option("--fail-under", min=0, max=1, help="Share of cases that must pass, 0..1.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write every answer: .jsonl, .csv, .parquet, or .inspect.json as a log of Inspect."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per answer.")] = False,
    stop_after: Annotated[
        int | None, typer.Option("--stop-after", min=1, help="Stop after N cases that cannot be asked or judged.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="Log a run in this MLflow experiment, and register the prompt.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with every answer, to filter and search.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Also print the first N cases, failures first.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="For very many cases: scores, tokens and cost only, in little memory.")
    ] = False,
) -> None:
    """Run a prompt on its cases and report scores with intervals, compared with the promoted version if it differs.

    Exits with 0 on PASS, with 2 on NOT ENOUGH EVIDENCE, and with 1 on every other verdict or an error.
    """
    if replay and live:
        raise typer.BadParameter("Use either --replay (without a model) or --live (with it).")
    prompt = find_prompt(name)
    if stream:
        if replay or live or out is not None or html is not None or rows is not None:
            raise typer.BadParameter("--stream keeps no answers: leave --replay, --live, --out, --html and --rows out.")
        _print_scores(asyncio.run(_stream(prompt, model, stop_after)), as_json, minimum)
        return
    evaluation = (
        _replay(prompt, _folder(prompt), minimum)
        if replay
        else asyncio.run(_evaluate(prompt, live=live, model=model, minimum=minimum, stop_after=stop_after))
    )
    lines = json_lines(evaluation.outcomes)
    if out is not None:
        _write(out, prompt, evaluation.outcomes, lines)
    if mlflow is not None:
        run = mlflow_run.to_mlflow(prompt, evaluation.outcomes, mlflow)
        for sentence in (f"MLflow run {run.run_id} of {run.prompt_uri}.", *run.left):
            typer.echo(f"sameboat: {sentence}", err=True)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        verdict = evaluation.verdict
        sentence = f"{verdict.word}: {verdict.reason}." if verdict is not None else ""
        html.write_text(html_report.page(prompt, evaluation.outcomes, evaluation.before, sentence), encoding="utf-8")
    if as_json:
        for line in lines:
            typer.echo(line)
    else:
        more = report_details.case_table(prompt, evaluation.outcomes, rows) if rows is not None else []
        print_markdown("\n".join([evaluation.text, *more]))
    if evaluation.verdict is not None and evaluation.verdict.word != "PASS":
        typer.echo(f"sameboat: {evaluation.verdict.word}. {evaluation.verdict.reason}.", err=True)
        raise typer.Exit(EXIT[evaluation.verdict.word])


async def _stream(prompt: Prompt, model: str | None, stop_after: int | None) -> at_scale.ScaleResult:
    settings = settings_module.load()
    journal = table_journal(settings, prompt.name)
    try:
        async with evaluation_context(settings, prompt, model) as context:
            at_a_time = (
                settings.remote_concurrency if context.engine.identity.engine == "remote" else context.concurrency
            )
            context = replace(context, journal=journal, stop_after=stop_after, concurrency=at_a_time)
            entry = providers_of(settings).get(model or prompt.spec.model or "")
            prices = at_scale.TokenPrices(entry.input_price, entry.output_price) if entry is not None else None
            return await at_scale.evaluate(prompt, _folder(prompt).path, context, prices)
    finally:
        journal.close()


def _print_scores(result: at_scale.ScaleResult, as_json: bool, minimum: float | None) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        print_markdown(result.markdown())
    if minimum is not None and result.passed < minimum * result.cases:
        typer.echo(f"sameboat: BELOW MINIMUM. {result.passed} of {result.cases} cases pass.", err=True)
        raise typer.Exit(EXIT["BELOW MINIMUM"])


def _write(path: Path, prompt: Prompt, outcomes: Sequence[CaseOutcome], lines: Sequence[str]) -> None:
    """Write every answer, by the ending of the name as JSON lines, CSV, Parquet or Inspect's log.

    Raises:
        EvaluationError: if pandas or pyarrow is not installed for a Parquet file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = result_rows.table_rows(prompt, outcomes)
    if path.name.endswith(".inspect.json"):
        text, left = inspect_log.inspect_log(prompt, outcomes, prompt.spec.model or "default")
        path.write_text(text, encoding="utf-8")
        for sentence in left:
            typer.echo(f"sameboat: {sentence}", err=True)
    elif path.suffix == ".parquet":
        frame = result_rows.frame(rows)
        try:
            frame.to_parquet(path, index=False)
        except ImportError:
            raise EvaluationError(
                f"{path.name[:80]}: a Parquet file needs pyarrow.", key="out", remedy="Install pyarrow, or write CSV."
            ) from None
    else:
        text = result_rows.csv_text(rows) if path.suffix == ".csv" else "".join(line + "\n" for line in lines)
        path.write_text(text, encoding="utf-8")


def json_lines(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """One line of JSON per answer: the case's id and values, text, fingerprint, tokens, seconds, checks."""
    slices = slice_names(outcome.case.slice for outcome in outcomes)
    return [
        json.dumps({
            "id": outcome.case.id, "repeat": record.repeat, "slice": slices[outcome.case.slice],
            "text": record.text, "values": dict(outcome.case.values),
            "passed": outcome.passed if outcome.judged else None, "kept": outcome.kept,
            "fingerprint": record.fingerprint,
            "tokens": {"prompt": record.prompt_tokens, "completion": record.completion}, "seconds": record.seconds,
            "finish_reason": record.finish_reason, "problem": record.problem,
            "probabilities": dict(record.probabilities) or None,
            "checks": {
                result.name: {"passed": result.passed, "score": result.score, "reason": result.reason}
                for result in outcome.checks
            },
        }, ensure_ascii=False)
        for outcome in outcomes
        for record in outcome.records
    ]  # fmt: skip


@asynccontextmanager
async def evaluation_context(
    settings: Settings,
    prompt: Prompt,
    model: str | None = None,
    title: Callable[[], str] | None = None,
    *,
    fast_too: bool = False,
) -> AsyncIterator[EvaluationContext]:
    """A context with a ready engine, a journal, and a progress bar on stderr. The engines stop when it is left.

    `title` gives the text before the bar, by default the prompt's name. `fast_too` readies the engine of fast answers.

    Raises:
        EngineError: if the engine cannot start.
        EvaluationError: if the journal cannot be read.
        CancelledError: if the run is interrupted. The progress is told before.
    """
    engines = Engines(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        context = await ready_context(settings, engines, prompt, model, fast_too=fast_too)
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            named = title or (lambda: prompt.name)
            task = progress.add_task(named(), total=None)
            try:
                yield replace(
                    context,
                    progress=lambda finished, total: progress.update(
                        task, completed=finished, total=total, description=named()
                    ),
                    warn=lambda sentence: typer.echo(f"sameboat: {sentence}", err=True),
                )
            except asyncio.CancelledError:
                bar = progress.tasks[0]
                if bar.total:
                    count = f"{bar.completed:.0f} of {bar.total:.0f} answers"
                    kept = "They are kept: the same command goes on from there."
                    typer.echo(f"sameboat: interrupted after {count}. {kept}", err=True)
                raise
    finally:
        await engines.stop(0)


async def _evaluate(
    prompt: Prompt, *, live: bool, model: str | None, minimum: float | None, stop_after: int | None
) -> Evaluation:
    settings = settings_module.load()
    async with evaluation_context(settings, prompt, model) as context:
        context = replace(context, stop_after=stop_after)
        if not prompt.spec.evaluators and not live:
            looked_at = replace(context, judged=False)
            return _alone(prompt, await promote.evaluate(prompt, _folder(prompt), looked_at), minimum)
        if live:
            folder = _folder(prompt)
            if warning := other_kernels(folder.lock(), context.engine.identity):
                typer.echo(f"sameboat: {warning}", err=True)
            return _alone(prompt, await run_live(prompt, folder, context), minimum)
        if model is None and _is_promoted(prompt, settings):
            return _alone(prompt, await promote.evaluate(prompt, _folder(prompt), context), minimum)
        target = PromotedFolder(settings.data_dir / "prompts" / prompt.name)
        comparison = await promote.compare(prompt, target, context, minimum=minimum)
        return Evaluation(comparison.outcomes, comparison.verdict, comparison.text, comparison.baseline or ())


def _replay(prompt: Prompt, folder: PromotedFolder, minimum: float | None) -> Evaluation:
    """The recording, judged again, and the parity of each further engine's recording with it."""
    evaluation = _alone(prompt, replay_recording(prompt, folder), minimum)
    tables = parity.of_recordings(prompt, folder).values()
    return replace(evaluation, text="\n\n".join([evaluation.text, *(table.markdown() for table in tables)]))


def _folder(prompt: Prompt) -> PromotedFolder:
    return PromotedFolder(prompt.path.parent if prompt.path is not None else Path.cwd())


def _is_promoted(prompt: Prompt, settings: Settings) -> bool:
    """Whether this very prompt is promoted."""
    folder = PromotedFolder(settings.data_dir / "prompts" / prompt.name)
    return folder.has_lock and folder.prompt_path.exists() and folder.prompt().sha256 == prompt.sha256


def _alone(prompt: Prompt, outcomes: Sequence[CaseOutcome], minimum: float | None) -> Evaluation:
    """Scores without a comparison. There is a verdict only if it fails.

    It fails if a minimum is missed, if a check gives two results, or if not everything is judged.
    """
    verdict = promote.verdict_of(prompt, outcomes, None, minimum=minimum)
    fails = verdict.word in ("BELOW MINIMUM", "NOT ENOUGH EVIDENCE")
    return Evaluation(
        outcomes, verdict if fails else None, report.markdown(prompt, outcomes, verdict if fails else None)
    )
