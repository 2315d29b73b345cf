"""`sameboat model tune NAME`: find the best quantization of a model on this machine.

In: a model of the catalog, and the types of copies to make. Out: the measured candidates, and `models.tuned.toml`.

Copies are made and kept in the cache. The rounds of measuring alternate between the parent and the copies, and medians
count. Then every candidate answers the cases of promoted prompts. A copy can win only if each prompt's verdict against
the parent is PASS. The winner is the fastest of these by the geometric mean of three speed-ups. A copy is used only if
it is named, and then every fingerprint holds its digest.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median

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
from service.evaluation.context import EvaluationContext
from service.evaluation.verdict import Verdict
from service.models import tuned
from service.models.cache import Cache
from service.models.catalog import Catalog, Model
from service.models.gguf import read_metadata
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.settings import Settings

MEASURED = {
    "context": 1024, "parallel": 8, "answer_cache_size": 0, "prefix_cache_bytes": 0, "speculation": "off",
}  # fmt: skip


@dataclass
class TuningCandidate:
    """The parent, or one of its copies. `passes` and `verdicts` are by the prompt's name."""

    model: Model
    speeds: list[Speed] = field(default_factory=list)
    passes: dict[str, verdict.Passes] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def speed(self) -> Speed:
        """The medians of the rounds."""
        rows = [asdict(speed) for speed in self.speeds]
        return Speed(**{key: round(median(row[key] for row in rows), 1) for key in rows[0]})

    def gain(self, parent: TuningCandidate) -> float:
        """The geometric mean of the speed-ups over the parent's medians."""
        own, others = asdict(self.speed), asdict(parent.speed)
        return round(geometric_mean(own[key] / others[key] for key in own), 3)

    @property
    def may_replace_parent(self) -> bool:
        """Whether at least one verdict is PASS, and every other prompt with enough cases passes too."""
        words = {result.word for result in self.verdicts.values() if _counts(result)}
        return words == {"PASS"}


def _counts(result: Verdict) -> bool:
    """Whether a verdict counts. Too few cases cannot exclude a drop, but they can show one."""
    return result.word != "NOT ENOUGH EVIDENCE" or result.n >= _cases_needed()


def _cases_needed() -> int:
    return statistics.cases_without_a_loss(verdict.TOLERANCE, verdict.ALPHA)


@dataclass(frozen=True)
class Tuning:
    """One tuning: a `parent` model, the copies' `types`, the deciding `prompts`, and the `rounds` of measuring."""

    settings: Settings
    parent: Model
    types: Sequence[str]
    prompts: Sequence[Prompt]
    rounds: int

    def run(self, cache: Cache, catalog: Catalog) -> tuple[list[TuningCandidate], TuningCandidate]:
        """Make the copies, measure, score and record. Returns the candidates, the parent first, and the best of them.

        Raises:
            ModelError: if a copy cannot be made or the result cannot be written.
            EngineError: if an engine fails.
        """
        console = Console(stderr=True)
        candidates = [TuningCandidate(self.parent)]
        for quantization in self.types:
            console.print(f"making {self.parent.name}:{quantization}")
            candidates.append(TuningCandidate(make_copy(self.settings, cache, self.parent, quantization)))
        asyncio.run(self._measure(candidates, console))
        asyncio.run(self._score(candidates, console))
        return candidates, record_winner(self.settings, catalog, candidates)

    async def _measure(self, candidates: list[TuningCandidate], console: Console) -> None:
        settings = settings_module.load(**MEASURED)
        for number in range(self.rounds):
            for candidate in candidates:
                console.print(f"round {number + 1} of {self.rounds}: measuring {candidate.model.name}")
                engine = LocalEngine(candidate.model, settings)
                try:
                    await engine.ready()
                    candidate.speeds.append(await measure(engine, number))
                finally:
                    await engine.stop(0)

    async def _score(self, candidates: list[TuningCandidate], console: Console) -> None:
        """Answer every case with every candidate, the parent first, and compare each copy with the parent."""
        settings, library = settings_module.load(), Library(self.settings.data_dir)
        parent = candidates[0]
        for candidate in candidates:
            engine = LocalEngine(candidate.model, settings)
            try:
                for prompt in self.prompts:
                    console.print(f"scoring {candidate.model.name} on {prompt.name}")
                    await engine.ready()
                    cases = case_files.load(prompt, library.folder(prompt.name))
                    passes = runner.passes(await runner.run(prompt, cases, EvaluationContext(engine)))
                    candidate.passes[prompt.name] = passes
                    if candidate is not parent:
                        candidate.verdicts[prompt.name] = verdict.decide(passes, parent.passes[prompt.name])
            finally:
                await engine.stop(0)


def choose_types(settings: Settings, cache: Cache, parent: Model, types: Sequence[str] | None) -> list[str]:
    """The types of copies to make: the given ones, or those that make sense for the parent's file.

    Raises:
        SettingsError: if the parent is not local or a copy itself, or if a type is not known.
        ModelError: if the parent's file is not in the cache.
    """
    if settings.engine != "local" or parent.parent is not None:
        raise SettingsError(f"{parent.name} cannot be tuned: it must be local, and no copy itself.", key="name")
    chosen = list(types or quantize.sensible(read_metadata(cache.require(parent)), parent.quantization))
    if unknown := sorted(set(chosen) - set(quantize.TYPES)):
        raise SettingsError(f"{unknown[0]!r} is not one of {', '.join(quantize.TYPES)}.", key="--type")
    return chosen


def make_copy(settings: Settings, cache: Cache, parent: Model, quantization: str) -> Model:
    """Make a copy in the cache. Returns its catalog entry.

    Raises:
        ModelError: if the copy cannot be made.
    """
    partial = cache.root / "partial" / f"{parent.sha256}.{quantization}.made.part"
    partial.parent.mkdir(parents=True, exist_ok=True)
    quantize.copy(cache.require(parent), partial, quantization, threads=resources.threads(settings)[0])
    digest, size = cache.adopt(partial)
    return Model(
        name=f"{parent.name}:{quantization}", file=f"{Path(parent.file).stem}.{quantization}.gguf", sha256=digest,
        size_bytes=size, licence=parent.licence, asks=parent.asks, terms=parent.terms, context=parent.context,
        quantization=quantization.upper(), good_for=f"a tuned copy of {parent.name}",
        writes_files=parent.writes_files, parent=parent.name, parent_sha256=parent.sha256,
    )  # fmt: skip


def deciding_prompts(library: Library, model: str, default: str, names: Sequence[str] | None) -> list[Prompt]:
    """The prompts whose cases decide: the named ones, or all prompts of the model.

    Raises UnknownPrompt if a name is not promoted.
    """
    if names:
        return [library[name] for name in names]
    return [prompt for prompt in library if (prompt.spec.model or default) == model]


def record_winner(settings: Settings, catalog: Catalog, candidates: list[TuningCandidate]) -> TuningCandidate:
    """Write the result to `models.tuned.toml`. Returns the winning copy, or the parent.

    Raises:
        ModelError: if the file cannot be written.
    """
    parent, copies = candidates[0], candidates[1:]
    faster = [copy for copy in copies if copy.may_replace_parent and copy.gain(parent) > 1]
    winner = max(faster, key=lambda copy: copy.gain(parent), default=parent)
    about = {
        "winner": winner.model.name,
        "sha256": winner.model.sha256,
        "parent_sha256": parent.model.sha256,
        "engine": LocalEngine(parent.model, settings).identity.version,
        "cpu": cpu_name(),
        "threads": resources.threads(settings)[0],
        "measured": rows_of(candidates),
    }
    entries = {
        copy.model.name: copy.model.model_dump(mode="json", exclude={"name"}, exclude_none=True, exclude_defaults=True)
        for copy in copies
    }
    tuned.write(tuned.path_of(catalog.path), parent.model.name, about, entries)
    return winner


def cpu_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name. It is recorded because another processor may have another winner."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rows_of(candidates: list[TuningCandidate]) -> list[dict[str, object]]:
    """One row per candidate: size in MB, tokens per second, speed-up, and score and verdict for each prompt."""
    return [
        {
            "model": candidate.model.name,
            "mb": round(candidate.model.size_bytes / 1e6, 1),
            **asdict(candidate.speed),
            "gain": candidate.gain(candidates[0]),
            **dict(_scores(candidate)),
        }
        for candidate in candidates
    ]


def _scores(candidate: TuningCandidate) -> Iterator[tuple[str, str]]:
    for prompt, checks in candidate.passes.items():
        cases = list(next(iter(checks.values())))
        passed = sum(all(check[case] for check in checks.values()) for case in cases)
        low, high = statistics.wilson(passed, len(cases))
        result = candidate.verdicts.get(prompt)
        word = f", {result.word}" if result is not None and _counts(result) else ""
        yield prompt.replace("-", "_"), f"{passed}/{len(cases)} ({100 * low:.0f} to {100 * high:.0f} %){word}"


def render_table(candidates: list[TuningCandidate]) -> Table:
    """The rows as a table for a terminal."""
    rows = rows_of(candidates)
    table = Table(title="tokens a second; gain: geometric mean of the three speed-ups", title_justify="left")
    for heading in rows[-1]:
        table.add_column(heading.replace("_", " "))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
