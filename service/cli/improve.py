"""`sameboat improve DRAFT`: search for a better draft with dev cases, and judge it once on deciding cases.

In: a prompt file or a prompt's name, a file of dev cases. Out: a draft file, its diff, and sentences.
Not here: the search (`evaluation.improve`), and the promotion.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from service import settings as settings_module
from service import text_files
from service.cli.evaluate import evaluation_context
from service.cli.prompt import find_prompt
from service.engine.types import Mode
from service.errors import EvaluationError
from service.evaluation import improve, promote, split
from service.evaluation.cases import Case
from service.evaluation.improve import DecidingResult, Improvement, SearchRules
from service.prompts import file as files
from service.prompts.file import Prompt
from service.prompts.file_names import prompt_file


def command(
    name: Annotated[str, typer.Argument(help="A prompt file or a promoted prompt.")],
    dev: Annotated[
        Path | None, typer.Option(help="Dev cases. Without it, 30 % of the draft's own cases, by the seed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The better draft. By default NAME-improved.prompt.yml beside the draft.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Answers that the search may use.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same draft.")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="The most examples in a draft.")] = 8,
    wordings: Annotated[
        Path | None, typer.Option(help="Other texts for the system message, one per line, tried as well.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Of the search's answers: `exact` ones are the same in every run, and slower.")
    ] = "fast",
) -> None:
    """Search for examples from dev cases, their order, calibration and wording. An interrupted search goes on.

    The draft's other cases judge the result once. Exits with 0 also if the draft stays as it is.
    """
    prompt = find_prompt(name)
    rules = SearchRules(budget, seed, examples, _lines(wordings), mode)
    made_with, deciding = split.of_draft(prompt, promote.cases_folder(prompt, Path.cwd()), dev=dev, seed=seed)
    improvement, judged = asyncio.run(_search(prompt, made_with, deciding, rules))
    typer.echo("\n".join([str(improvement), *([str(judged)] if judged is not None else [])]))
    if not improvement.changed:
        return
    typer.echo(improvement.diff)
    target = out or (prompt.path.parent if prompt.path is not None else Path.cwd()) / prompt_file(
        f"{prompt.name}-improved"
    )
    files.save(improvement.better, target)
    typer.echo(f"{target}\nNext: sameboat promote {target}")


def _lines(path: Path | None) -> tuple[str, ...]:
    """The lines of a file that are not empty."""
    if path is None:
        return ()
    return tuple(line.strip() for line in text_files.read(path, EvaluationError).splitlines() if line.strip())


async def _search(
    prompt: Prompt, dev: Sequence[Case], deciding: Sequence[Case], rules: SearchRules
) -> tuple[Improvement, DecidingResult | None]:
    best = 0.0

    def title() -> str:
        return f"{prompt.name}, best gain {best:+.3f}"

    settings, fast = settings_module.load(), rules.mode == "fast"
    async with evaluation_context(settings, prompt, title=title, fast_too=fast) as context:

        def report(answers: int, total: int, gain: float) -> None:
            nonlocal best
            best = gain
            context.progress(answers, total)

        improvement = await improve.improve(prompt, dev, context, rules, report)
        judged = await improve.judge(improvement, deciding, context) if deciding else None
        return improvement, judged
