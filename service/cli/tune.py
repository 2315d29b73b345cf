"""`sameboat model tune NAME`: which quantization of this model is the best one on this machine?

Copies are made and kept in the cache; each is measured in turns with its parent (rounds interleave, medians count) and
answers the cases of promoted prompts beside it. A copy can win only where every check of every prompt shows, case by
case, that its answers are not worse (`evaluation.verdict`: PASS); the winner is the fastest of those by the geometric
mean of its three speed-ups. What was found is written to `models.tuned.toml`. Nothing uses a copy until somebody names
it, and then every fingerprint says so, because the copy's digest is in it.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median

import typer
from rich.console import Console
from rich.table import Table

from service import resources
from service import settings as settings_module
from service.engine.local import quantize
from service.engine.local.client import LocalEngine
from service.engine.local.measure import Speed, measure
from service.errors import SettingsError
from service.evaluation import cases as case_files
from service.evaluation import runner, statistics, verdict
from service.evaluation.verdict import Verdict
from service.models import tuned
from service.models.cache import Cache
from service.models.catalog import Catalog, Model
from service.models.gguf import read_metadata
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.settings import Settings

MEASURED = {"context": 1024, "parallel": 8, "reuse_answers": 0, "prefix_cache_bytes": 0}


@dataclass
class TuningCandidate:
    """The parent, or one of its copies."""

    model: Model
    speeds: list[Speed] = field(default_factory=list)
    passes: dict[str, verdict.Passes] = field(default_factory=dict)  # prompt -> check -> case -> passes
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def speed(self) -> Speed:
        """Medians of the rounds."""
        rows = [asdict(each) for each in self.speeds]
        return Speed(**{key: round(median(row[key] for row in rows), 1) for key in rows[0]})

    def gain(self, parent: TuningCandidate) -> float:
        """The geometric mean of its speed-ups over the parent's medians."""
        mine, theirs = asdict(self.speed), asdict(parent.speed)
        return round(geometric_mean(mine[key] / theirs[key] for key in mine), 3)

    @property
    def may_replace_parent(self) -> bool:
        """Whether the cases say that it may replace its parent: a PASS, and none with enough cases that is not one."""
        words = {each.word for each in self.verdicts.values()}
        least = statistics.cases_without_a_loss(verdict.TOLERANCE, verdict.ALPHA)
        unsure = [one for one in self.verdicts.values() if one.word == "NOT ENOUGH EVIDENCE" and one.n >= least]
        return "PASS" in words and "REGRESSION" not in words and not unsure


def tune(
    settings: Settings,
    catalog: Catalog,
    cache: Cache,
    name: str | None,
    *,
    types: Sequence[str] | None,
    prompts: Sequence[str] | None,
    rounds: int,
    as_json: bool,
) -> None:
    """The whole command. Raises SameboatError."""
    parent = catalog[name or settings.model or catalog.default]
    if settings.engine != "local" or parent.parent is not None:
        raise SettingsError(f"{parent.name} cannot be tuned: it must be local, and no copy itself.", key="name")
    chosen = list(types or quantize.sensible(read_metadata(cache.require(parent)), parent.quantization))
    if unknown := sorted(set(chosen) - set(quantize.TYPES)):
        raise SettingsError(f"{unknown[0]!r} is not one of {', '.join(quantize.TYPES)}.", key="--type")
    console = Console(stderr=True)
    found = [TuningCandidate(parent)]
    for each in chosen:
        console.print(f"making {parent.name}:{each}")
        found.append(TuningCandidate(make_copy(settings, cache, parent, each)))
    scored = scored_prompts(Library(settings.data_dir), parent.name, catalog.default, prompts)
    asyncio.run(_measure(found, rounds, console))
    asyncio.run(_score(found, scored, Library(settings.data_dir), console))
    winner = record_winner(settings, catalog, found)
    if as_json:
        typer.echo(json.dumps(rows_of(found), indent=2))
    else:
        Console().print(render_table(found))
        path = tuned.path_of(catalog.path)
        best = found[0] if winner is None else winner
        typer.echo(f"The winner is {best.model.name}. Recorded in {path}; use it by its name, for example:")
        typer.echo(f"  SAMEBOAT_MODEL={best.model.name} sameboat serve")


def make_copy(settings: Settings, cache: Cache, parent: Model, kind: str) -> Model:
    """A copy in the cache, as a catalog entry."""
    partial = cache.root / "partial" / f"{parent.sha256}.{kind}.made.part"
    partial.parent.mkdir(parents=True, exist_ok=True)
    threads, _ = resources.threads(settings)
    quantize.copy(cache.require(parent), partial, kind, threads=threads)
    digest, size = cache.adopt(partial)
    return Model(
        name=f"{parent.name}:{kind}", file=f"{Path(parent.file).stem}.{kind}.gguf", sha256=digest, size_bytes=size,
        licence=parent.licence, asks=parent.asks, terms=parent.terms, context=parent.context,
        quantization=kind.upper(), good_for=f"a tuned copy of {parent.name}", writes_files=parent.writes_files,
        parent=parent.name, parent_sha256=parent.sha256,
    )  # fmt: skip


def scored_prompts(library: Library, name: str, default: str, wanted: Sequence[str] | None) -> list[Prompt]:
    """The prompts whose cases decide: those that are named, else those of the model."""
    if wanted:
        return [library[each] for each in wanted]
    return [prompt for prompt in library if (prompt.spec.model or default) == name]


async def _measure(found: list[TuningCandidate], rounds: int, console: Console) -> None:
    settings = settings_module.load(**MEASURED)
    for round_ in range(rounds):
        for each in found:
            console.print(f"round {round_ + 1} of {rounds}: measuring {each.model.name}")
            engine = LocalEngine(each.model, settings)
            try:
                await engine.ready()
                each.speeds.append(await measure(engine, round_))
            finally:
                await engine.stop(0)


async def _score(found: list[TuningCandidate], prompts: Sequence[Prompt], library: Library, console: Console) -> None:
    """Answer every case with every candidate, the parent first, and compare each copy with it case by case."""
    settings = settings_module.load()
    for each in found:
        engine = LocalEngine(each.model, settings)
        try:
            for prompt in prompts:
                console.print(f"scoring {each.model.name} on {prompt.name}")
                await engine.ready()
                cases = case_files.load(prompt, library.folder(prompt.name))
                each.passes[prompt.name] = runner.passes(await runner.run(prompt, cases, engine))
                if each is not found[0]:
                    before = found[0].passes[prompt.name]
                    each.verdicts[prompt.name] = verdict.decide(each.passes[prompt.name], before)
        finally:
            await engine.stop(0)


def record_winner(settings: Settings, catalog: Catalog, found: list[TuningCandidate]) -> TuningCandidate | None:
    """Write what was found; the copy that won, or None when the parent stays the best."""
    parent, copies = found[0], found[1:]
    faster = [each for each in copies if each.may_replace_parent and each.gain(parent) > 1]
    winner = max(faster, key=lambda each: each.gain(parent), default=None)
    threads, _ = resources.threads(settings)
    about = {
        "winner": (winner or parent).model.name,
        "sha256": (winner or parent).model.sha256,
        "parent_sha256": parent.model.sha256,
        "engine": engine_version(parent.model, settings),
        "cpu": cpu(),
        "threads": threads,
        "measured": rows_of(found),
    }
    entries = {}
    for each in copies:
        entry = each.model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        entries[entry.pop("name")] = entry
    tuned.write(tuned.path_of(catalog.path), parent.model.name, about, entries)
    return winner


def engine_version(model: Model, settings: Settings) -> str:
    """What made the copies and decoded."""
    return LocalEngine(model, settings).identity.version


def cpu(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor, since another one may have another winner."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rows_of(found: list[TuningCandidate]) -> list[dict[str, object]]:
    """What was measured, one row per candidate: MB, tokens a second, speed-up, and per prompt the score and verdict."""
    rows: list[dict[str, object]] = []
    least = statistics.cases_without_a_loss(verdict.TOLERANCE, verdict.ALPHA)
    for each in found:
        row: dict[str, object] = {
            "model": each.model.name,
            "mb": round(each.model.size_bytes / 1e6, 1),
            **asdict(each.speed),
            "gain": each.gain(found[0]),
        }
        for prompt, checks in each.passes.items():
            cases = list(next(iter(checks.values())))
            passed = sum(all(check[case] for check in checks.values()) for case in cases)
            said = each.verdicts.get(prompt)
            low, high = statistics.wilson(passed, len(cases))
            word = f", {said.word}" if said and (len(cases) >= least or said.word == "REGRESSION") else ""
            row[prompt.replace("-", "_")] = f"{passed}/{len(cases)} ({100 * low:.0f} to {100 * high:.0f} %){word}"
        rows.append(row)
    return rows


def render_table(found: list[TuningCandidate]) -> Table:
    """The rows for a person."""
    rows = rows_of(found)
    shown = Table(title="tokens a second; gain: geometric mean of the three speed-ups", title_justify="left")
    for heading in rows[-1]:
        shown.add_column(heading.replace("_", " "))
    for row in rows:
        shown.add_row(*(str(value) for value in row.values()))
    return shown
