"""`sameboat model list | suggest | add | pull | verify | remove`: the catalog and the cache, for people and scripts.

In: names of models. Out: tables, JSON and progress bars.
Not here: how a file is fetched and verified (`models.cache`), and how it is found (`models.add`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from service import resources
from service import settings as settings_module
from service.errors import ModelError, SameboatError
from service.models import add, fit, references, suggest
from service.models.cache import Cache, no_progress
from service.models.cache import Progress as DownloadCallback
from service.models.catalog import Catalog, Model, local_path
from service.settings import Settings

app = typer.Typer(help="List, suggest, add, fetch, verify and remove models.", no_args_is_help=True)
ModelName = Annotated[str | None, typer.Argument(help="A model of data/models.toml. Default: the default model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only errors.")]


def catalog_and_cache() -> tuple[Settings, Catalog, Cache]:
    """Settings, catalog and cache of this process."""
    settings = settings_module.load()
    return settings, Catalog.of(settings), Cache(settings.cache_dir)


def download_progress(model: Model, *, silent: bool = False) -> AbstractContextManager[DownloadCallback]:
    """A progress bar on stderr for one model, as the callback that the cache takes."""
    return _download_bar(model.name, model.size_bytes, silent=silent)


@contextmanager
def _download_bar(name: str, size_bytes: int, *, silent: bool) -> Iterator[DownloadCallback]:
    if silent:
        yield no_progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        task = progress.add_task(name, total=size_bytes)
        yield lambda done, total, what: progress.update(
            task, completed=done, total=total, description=f"{name}: {what}"
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
    table.add_column("model", no_wrap=True)
    for heading in ("here", "MB", "licence", "context", "good for"):
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


@app.command("add")
def add_model(
    reference: Annotated[
        str,
        typer.Argument(help="hf:OWNER/REPO[@REVISION][:FILE or :Q4_K_M], an https URL, ollama:NAME[:TAG], or a path."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the catalog. Default: the file's.")] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="The digest that it must have.")] = None,
    pull_it: Annotated[bool, typer.Option("--pull/--no-pull", help="Fetch it too.")] = True,
    as_json: Json = False,
) -> None:
    """Pin a model that the catalog does not list in models.local.toml, and fetch it.

    The size, the licence, the context, the chat template and the memory are shown first. Of several quantizations, one
    is chosen that fits.

    Raises:
        ModelError: if the settings forbid asking, or the file has another digest than --sha256.
    """
    settings, catalog, cache = catalog_and_cache()
    if settings.offline and not isinstance(references.parse(reference), references.PathReference):
        raise ModelError("SAMEBOAT_OFFLINE forbids asking for a model.", key="SAMEBOAT_OFFLINE")
    listing = add.find(references.parse(reference), settings.ollama_registry)
    limit = resources.memory_bytes(settings)
    proposal = add.propose(listing, limit, context=settings.context, parallel=settings.parallel)
    if not as_json:
        _show(proposal)
    chosen = proposal.chosen
    with _download_bar(chosen.file, chosen.size_bytes, silent=as_json or chosen.sha256 is not None) as report:
        digest, fetched = add.digest_of(proposal, cache, settings.accept_licences, report)
    if sha256 is not None and digest != sha256.lower().removeprefix("sha256:"):
        if fetched is not None:
            cache.reject(fetched)
        raise ModelError(f"The file hashes to {digest}, and --sha256 is another digest.", key="--sha256")
    known = catalog.by_digest(digest)
    model = (
        known if known is not None and name in (None, known.name) else add.model_of(proposal, name, digest, reference)
    )
    written = known is not model and add.pin(catalog, model, cache)
    state = f"pinned in {local_path(catalog.path)}" if written else "in the catalog already"
    if not as_json:
        typer.echo(f"{model.name}: {state}, sha256 {model.sha256}")
    path = None
    if fetched is not None:
        path = str(cache.adopt(model, fetched))
    elif pull_it:
        path = pull_model(settings, Catalog.of(settings), model.name, silent=as_json)
    if as_json:
        facts = {**model.model_dump(mode="json"), "fits": proposal.fits(chosen), "path": path}
        facts["memory_bytes"] = proposal.needs[proposal.listing.offers.index(chosen)].total
        typer.echo(json.dumps({**facts, "pinned": written, "revision": listing.revision}, indent=2))
    elif path is not None:
        typer.echo(f"verified: {path}")


def _show(proposal: add.Proposal) -> None:
    """The facts about a model that is to be added, and its files if there are several."""
    listing, metadata = proposal.listing, proposal.metadata
    table = Table(title=listing.title + (f" at {listing.revision}" if listing.revision else ""), title_justify="left")
    for heading in ("", "file", "quantization", "MB", "memory, MiB", "fits"):
        table.add_column(heading)
    for offer, need in zip(listing.offers, proposal.needs, strict=True):
        mark, size = "*" if offer is proposal.chosen else "", f"{offer.size_bytes / 1e6:.0f}"
        fits = "yes" if proposal.fits(offer) else "no"
        table.add_row(mark, offer.file, offer.quantization, size, str(fit.mib(need.total)), fits)
    Console().print(table)
    template = metadata.template_sha256
    rows = {
        "licence": proposal.licence + (f" ({listing.terms})" if proposal.asks and listing.terms else ""),
        "architecture": f"{metadata.architecture}, trained for {metadata.context_length} tokens",
        "chat template": f"in the file, sha256 {template[:12]}" if template else "none, so it takes raw texts only",
        "memory": f"{fit.mib(proposal.limit[0])} MiB may be used ({proposal.limit[1]})",
    }
    for key, value in rows.items():
        typer.echo(f"{key:14} {value}")


@app.command("suggest")
def suggest_models(as_json: Json = False) -> None:
    """Show the models that fit this machine, and the models that the promoted prompts were judged on."""
    settings, catalog, cache = catalog_and_cache()
    limit, reason = resources.memory_bytes(settings)
    rows = suggest.suggestions(catalog, cache, limit, context=settings.context, parallel=settings.parallel)
    judged = judged_prompts(settings)
    if as_json:
        models = [
            {"name": row.model.name, "fits": row.fits, "memory_bytes": row.needs_bytes, "exact": row.exact,
             "cached": row.cached, "tried": row.model.tried, "licence": row.model.licence,
             "good_for": row.model.good_for,
             "prompts": [prompt for prompt in judged if prompt["model"] == row.model.name]}
            for row in rows
        ]  # fmt: skip
        typer.echo(json.dumps({"limit_bytes": limit, "reason": reason, "models": models}, indent=2))
        return
    typer.echo(f"Models may use {fit.mib(limit)} MiB here: {reason}.")
    for group in sorted({row.group_gib for row in rows}):
        typer.echo(f"\nUp to {group} GiB of memory")
        for row in sorted((row for row in rows if row.group_gib == group), key=lambda row: row.needs_bytes):
            model, about = row.model, "" if row.exact else "at most "
            notes = ["fits" if row.fits else "does not fit", *(["here"] if row.cached else []),
                     *([] if model.tried else ["not tried here"]), model.licence]  # fmt: skip
            typer.echo(f"  {model.name}: {about}{fit.mib(row.needs_bytes)} MiB, {', '.join(notes)}")
            typer.echo(f"      {model.good_for}")
    typer.echo("\nPromoted prompts, by their recorded answers")
    for prompt in judged:
        result = prompt["refused"] or f"{prompt['passed']} of {prompt['cases']} cases passed"
        typer.echo(f"  {prompt['name']}: {prompt['model']}, {result}")
    typer.echo("\nsameboat model pull NAME fetches one. sameboat model add finds others.")


def judged_prompts(settings: Settings) -> list[dict[str, Any]]:
    """Each promoted prompt with its model and its recorded score. `refused` has the reason if there is no score."""
    from service.evaluation import json_report  # only for this command, because the import takes a second
    from service.evaluation.replay import replay
    from service.prompts.library import Library
    from service.prompts.promoted import PromotedFolder

    library, rows = Library(settings.data_dir), []
    for name in library.names():
        row: dict[str, Any] = {"name": name, "model": None, "passed": None, "cases": None, "refused": None}
        try:
            prompt = library[name]
            row["model"] = prompt.spec.model
            row.update(json_report.summary(replay(prompt, PromotedFolder(library.folder(name)))))
        except SameboatError as error:
            row["refused"] = str(error)
        rows.append(row)
    return rows


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
