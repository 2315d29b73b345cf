"""`sameboat version`: the version of the code, or with `--digests` one line for an image's label.

In: nothing. Out: the version, or the digests of the promoted prompts and their models.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service import __version__
from service import settings as settings_module
from service.models.catalog import Catalog
from service.prompts.library import Library


def command(
    digests: Annotated[
        bool, typer.Option("--digests", help="One line of JSON: the sha256 of every promoted prompt and its model.")
    ] = False,
) -> None:
    """Show the version, or the digests of the served prompts and models."""
    if not digests:
        typer.echo(f"sameboat {__version__}")
        return
    settings = settings_module.load()
    library = Library(settings.data_dir)
    catalog = Catalog.of(settings)
    names = sorted({catalog.default, *(library.lock(name).model for name in library.names())})
    models = {name: catalog[name].sha256 for name in names if name in catalog}
    content = {"version": __version__, "models": models, "prompts": library.digests()}
    typer.echo(json.dumps(content, separators=(",", ":"), sort_keys=True))
