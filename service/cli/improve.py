"""`sameboat improve DRAFT`: search for a better draft with dev cases, and judge it once on deciding cases.

In: a prompt file or a prompt's name, a file of dev cases. Out: a draft file, its diff, and sentences.
Not here: the search (`evaluation.improve`), and the promotion.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service import settings as settings_module
from service import text_files
from service.cli.evaluate import evaluation_context
from service.cli.prompt import find_prompt
from service.engine.types import Mode
from service.errors import EvaluationError, UnknownModel, short_name
from service.evaluation import improve, promote, split
from service.evaluation.cases import Case
from service.evaluation.improve import DecidingResult, Improvement, SearchRules
from service.evaluation.improve import wordings as proposing
from service.prompts import file as files
from service.prompts.file import Prompt
from service.prompts.file_names import prompt_file
from service.settings import Settings


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
        str | None,
        typer.Option(
            help="Other texts for the system message: a file with one per line, or a model that proposes some."
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Of the search's answers: `exact` ones are the same in every run, and slower.")
    ] = "fast",
) -> None:
    """Search for examples from dev cases, their order, calibration and wording. An interrupted search goes on.

    The draft's other cases judge the result once. Exits with 0 also if the draft stays as it is.
    """
    prompt = find_prompt(name)
    proposer, texts = _wordings(wordings)
    rules = SearchRules(budget, seed, examples, texts, mode)
    made_with, deciding = split.of_draft(prompt, promote.cases_folder(prompt, Path.cwd()), dev=dev, seed=seed)
    improvement, judged = asyncio.run(_search(prompt, made_with, deciding, rules, proposer))
    typer.echo("\n".join([str(improvement), *([str(judged)] if judged is not None else [])]))
    if not improvement.changed:
        typer.echo("No draft is written. More dev cases, a larger --budget or --wordings may find a better one.")
        return
    typer.echo(improvement.diff)
    target = out or (prompt.path.parent if prompt.path is not None else Path.cwd()) / prompt_file(
        f"{prompt.name}-improved"
    )
    files.save(improvement.better, target)
    typer.echo(f"{target}\nNext: sameboat promote {target}")


def _wordings(given: str | None) -> tuple[str | None, tuple[str, ...]]:
    """(a model that proposes wordings, the lines of a file that are not empty). One of the two is empty.

    Raises:
        EvaluationError: if the file cannot be read.
    """
    if given is None:
        return None, ()
    path = Path(given)
    if not path.is_file() and path.suffix != ".txt":
        return given, ()
    lines = text_files.read(path, EvaluationError).splitlines()
    return None, tuple(line.strip() for line in lines if line.strip())


async def _proposed(
    settings: Settings, model: str, prompt: Prompt, dev: Sequence[Case], rules: SearchRules
) -> SearchRules:
    """The rules with the wordings that a model proposes.

    Raises:
        EvaluationError: if there is neither a file nor a model of this name.
    """
    proposer = find_prompt(proposing.PROPOSER)
    try:
        async with evaluation_context(settings, proposer, model) as context:
            proposals = await proposing.propose(prompt, dev, proposer, context, rules.seed)
    except UnknownModel:
        raise EvaluationError(
            f"There is no file and no model {short_name(model)}.",
            key="wordings",
            remedy="Give a file with one text per line, or a model of: sameboat model list",
        ) from None
    typer.echo(f"sameboat: {proposals}", err=True)
    return replace(rules, wordings=proposals.texts)


async def _search(
    prompt: Prompt, dev: Sequence[Case], deciding: Sequence[Case], rules: SearchRules, proposer: str | None
) -> tuple[Improvement, DecidingResult | None]:
    best = 0.0

    def title() -> str:
        return f"{prompt.name}, best gain {best:+.3f}"

    settings, fast = settings_module.load(), rules.mode == "fast"
    if proposer is not None:
        rules = await _proposed(settings, proposer, prompt, dev, rules)
    async with evaluation_context(settings, prompt, title=title, fast_too=fast) as context:

        def report(answers: int, total: int, gain: float) -> None:
            nonlocal best
            best = gain
            context.progress(answers, total)

        improvement = await improve.improve(prompt, dev, context, rules, report)
        judged = await improve.judge(improvement, deciding, context) if deciding else None
        return improvement, judged
