"""`sameboat model list | pull | verify | remove`: the catalog and the cache, for people and scripts.

In: names of models. Out: tables, JSON and progress bars.
Not here: how a file is fetched and verified (`models.cache`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from service import settings as settings_module
from service.errors import ModelError
from service.models.cache import Cache, no_progress
from service.models.cache import Progress as DownloadCallback
from service.models.catalog import Catalog, Model
from service.settings import Settings

app = typer.Typer(help="List, fetch, verify and remove models.", no_args_is_help=True)
ModelName = Annotated[str | None, typer.Argument(help="A model of data/models.toml. Default: the default model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only errors.")]


def catalog_and_cache() -> tuple[Settings, Catalog, Cache]:
    """Settings, catalog and cache of this process."""
    settings = settings_module.load()
    return settings, Catalog.of(settings), Cache(settings.cache_dir)


@contextmanager
def download_progress(model: Model, *, silent: bool = False) -> Iterator[DownloadCallback]:
    """A progress bar on stderr for one model, as the callback that the cache takes."""
    if silent:
        yield no_progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        task = progress.add_task(model.name, total=model.size_bytes)
        yield lambda done, total, what: progress.update(
            task, completed=done, total=total, description=f"{model.name}: {what}"
        )


def pull_model(settings: Settings, catalog: Catalog, name: str | None, *, silent: bool = False) -> str:
    """Fetch and verify one model, with a progress bar. Returns the path of its file."""
    model = catalog[name or settings.model or catalog.default]
    cache = Cache(settings.cache_dir)
    with download_progress(model, silent=silent) as report:
        accept, base = settings.accept_licences, catalog.path.parent
        return str(cache.pull(model, report, offline=settings.offline, accept=accept, base=base))


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List every model of the catalog, and whether the cache holds it."""
    _, catalog, cache = catalog_and_cache()
    if as_json:
        rows = [{**model.model_dump(mode="json"), "cached": cache.holds(model)} for model in catalog]
        typer.echo(json.dumps({"default": catalog.default, "cache": str(cache.root), "models": rows}, indent=2))
        return
    table = Table(title=f"cache: {cache.root}", title_justify="left")
    for heading in ("model", "here", "MB", "licence", "context", "good for"):
        table.add_column(heading)
    for model in catalog:
        mark = model.name + (" (default)" if model.name == catalog.default else "")
        size = f"{model.size_bytes / 1e6:.0f}"
        if model.derived_from is not None:
            size += f", fetched as {model.derived_from.size_bytes / 1e6:.0f}"
        table.add_row(
            mark, "yes" if cache.holds(model) else "", size, model.licence, str(model.context), model.good_for
        )
    Console().print(table)


@app.command()
def pull(name: ModelName = None, silent: Quiet = False) -> None:
    """Fetch a model from its first source that works, and verify it. An interrupted download is resumed."""
    settings, catalog, _ = catalog_and_cache()
    path = pull_model(settings, catalog, name, silent=silent)
    if not silent:
        typer.echo(f"verified: {path}")


@app.command()
def verify(
    name: ModelName = None,
    every: Annotated[bool, typer.Option("--all", help="Every model in the cache.")] = False,
    as_json: Json = False,
) -> None:
    """Hash a model's file and compare. It changes nothing. Exits with 1 if a file is missing or corrupt."""
    settings, catalog, cache = catalog_and_cache()
    models = [model for model in catalog if cache.path(model).exists()] if every else []
    rows = []
    for model in models or [catalog[name or settings.model or catalog.default]]:
        with download_progress(model, silent=as_json) as report:
            checked = cache.verify(model, report)
        rows.append({"name": model.name, "state": checked.state, "sha256": model.sha256, "found": checked.digest})
        if not as_json:
            typer.echo(f"{model.name}: {checked.state}" + (f", hashes to {checked.digest}" if checked.digest else ""))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    if any(row["state"] != "ok" for row in rows):
        raise typer.Exit(1)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A model of data/models.toml.")]) -> None:
    """Delete a model's file and its partial downloads from the cache."""
    _, catalog, cache = catalog_and_cache()
    typer.echo(f"{name}: {'removed' if _removed(cache, catalog[name]) else 'was not there'}")


def _removed(cache: Cache, model: Model) -> bool:
    """Delete a model's file. Returns whether there was one. Raises ModelError if it cannot be deleted."""
    removed = cache.remove(model)
    if cache.path(model).exists():
        remedy = "Its folder must be writable."
        raise ModelError(f"{cache.path(model)} cannot be deleted.", key=model.name, remedy=remedy)
    return removed
