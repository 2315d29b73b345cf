"""`sameboat parity NAME`: the promoted prompt's cases on two engines, and how far their answers agree.

In: a promoted prompt's name. Out: a table or JSON, and the exit code of the verdict.
Not here: the comparison (`evaluation.parity`).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Annotated, Literal

import typer

from service import settings as settings_module
from service.cli.evaluate import EXIT, evaluation_context
from service.cli.markdown import print_markdown
from service.engine.pool import Engines
from service.errors import LockMismatch
from service.evaluation import parity
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from service.settings import Settings

EngineName = Literal["local", "remote"]


def command(
    name: Annotated[str, typer.Argument(help="A promoted prompt.")],
    engine: Annotated[EngineName, typer.Option(help="The engine to compare.")] = "remote",
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Compare with the recording, without asking the other engine.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="Compare with the recording over this further engine of the lock, by its id.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Compare the recordings of all engines of the lock, and ask none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask both engines a promoted prompt's cases, and tell how far the answers agree.

    Exits with 0 if each compared engine is shown to be not worse, with 2 if that is not shown, and else with 1.

    Raises:
        LockMismatch: if --replay is given, and the lock names one engine.
    """
    settings = settings_module.load()
    library = Library(settings.data_dir)
    prompt, folder = library[name], PromotedFolder(library.folder(name))
    if replay:
        results = list(parity.of_recordings(prompt, folder).values())
        if not results:
            raise LockMismatch(
                f"The lock of {prompt.name} names one engine.",
                key="lock",
                remedy=f"Record over another one: sameboat promote {prompt.name} --engine remote",
            )
    else:
        first = parity.recorded(prompt, folder, against) if recorded or against else None
        results = [asyncio.run(_compare(settings, prompt, folder, engine, first))]
    for result in results:
        if as_json:
            typer.echo(json.dumps(result.as_json(), ensure_ascii=False))
        else:
            print_markdown(result.markdown())
    for result in results:
        if result.verdict.word != "PASS":
            typer.echo(f"sameboat: {result.verdict.word}. {result.verdict.reason}.", err=True)
            raise typer.Exit(EXIT[result.verdict.word])


async def _compare(
    settings: Settings, prompt: Prompt, folder: PromotedFolder, engine: EngineName, first: parity.EngineRun | None
) -> parity.Parity:
    """Run one engine after the other, so that each has the machine to itself. The same judges judge both.

    With a recording as the first one, the other engine is not asked.
    """
    other: EngineName = "local" if engine == "remote" else "remote"
    judges = Engines(settings.model_copy(update={"engine": "local"}))
    try:
        runs = [first] if first is not None else []
        for name in ([] if first is not None else [other]) + [engine]:
            async with evaluation_context(settings.model_copy(update={"engine": name}), prompt) as context:
                runs.append(await parity.ask(prompt, folder, replace(context, judges=judges.get)))
        return parity.compare(prompt, *runs)
    finally:
        await judges.stop(0)
