"""`sameboat drift NAME`: the answers that a service kept, beside the prompt's recording.

In: a promoted prompt's name. Out: a table or JSON, and the exit code of the word.
Not here: the comparison (`drift.comparison`).
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service import settings as settings_module
from service.cli.markdown import print_markdown
from service.drift import report
from service.drift.comparison import EXIT
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder


def command(
    name: Annotated[str, typer.Argument(help="A promoted prompt.")],
    days: Annotated[float | None, typer.Option(min=0, help="Only answers of the last days. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the answers that SAMEBOAT_KEEP_SHARE kept with the recording.

    Exits with 1 if a distribution or a share has drifted, with 2 if too few answers are kept, and else with 0.
    """
    settings = settings_module.load()
    library = Library(settings.data_dir)
    drift = report.of_prompt(settings, library[name], PromotedFolder(library.folder(name)), days)
    if as_json:
        typer.echo(json.dumps(drift.as_json(), ensure_ascii=False))
    else:
        print_markdown(drift.markdown())
    if EXIT[drift.word]:
        typer.echo(f"sameboat: {drift.word}. {drift.reason}", err=True)
        raise typer.Exit(EXIT[drift.word])
