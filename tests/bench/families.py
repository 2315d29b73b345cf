"""The measurements, one function per family of rows. Each takes a `Bench` and gives rows. A new family is a function
and a name in FAMILIES.

In: options, models in the cache, installed peers. Out: rows (`report.py`).
Not here: the servers' settings (`peers.py`), one server's numbers (`measure.py`).

Rounds interleave the servers, so that a noisy minute hits all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import httpx

from service.models.cache import Cache
from service.models.catalog import Catalog
from service.resources import whole_cpus
from tests.bench import builds, evaluation, limits, workloads
from tests.bench.measure import MEMORY, Numbers, Plan, first_answer, health_during_generation, measure, reuse, warm
from tests.bench.peers import OURS, Missing
from tests.bench.rows import Row, row
from tests.bench.servers import Running, Sizes, Target, busy, launch, serve

CAPABLE = "qwen2.5-coder-1.5b-instruct"
ALONE = ("llama_cpp.server",)
"""Servers that answer one request at a time. They get half of the requests, of W only, from 1 and 8 clients."""
ROUND, PART = 100_000, 10_000
"""The distance between the numbers of the first requests of two rounds, and of two parts of a round."""
Found = dict[str, list[Numbers]]
"""Numbers by server and round."""


@dataclass
class Bench:
    """The options of the command line, and the available servers."""

    rounds: int
    sizes: Sizes
    peers: list[str]
    share: float
    catalog: Catalog
    cache: Cache
    model: str
    beside_busy: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    """Peers that could not be measured, and why: they are left out, and the report says so."""
    began: float = field(default_factory=time.perf_counter)

    def say(self, text: str) -> None:
        """Progress, with the seconds since the start."""
        print(f"[{time.perf_counter() - self.began:6.0f} s] {text}", flush=True)

    def target(self, name: str) -> Target:
        """A model of the catalog that is in the cache.

        Raises:
            Missing: if it is not.
        """
        path = self.cache.find(self.catalog[name])
        if path is None:
            raise Missing(f"{name} is not in the cache. Run: sameboat model pull {name}")
        return Target(name, path)

    @cached_property
    def machine(self) -> limits.Machine:
        """The two measured properties of this machine."""
        return limits.probe(whole_cpus())

    def limit(self, workload: str, clients: int, target: Target) -> float | None:
        """The physical limit of a row."""
        return limits.limit(self.machine, workload, clients, target.name, target.path.stat().st_size)


@dataclass(frozen=True)
class Part:
    """One workload of a family, the numbers of clients, and the metrics that become rows."""

    workload: str
    clients: tuple[int, ...]
    metrics: tuple[str, ...]
    beside_busy: bool = False

    def measured(self, bench: Bench, server: Running, target: Target, first: int) -> Numbers:
        """Numbers of one server in one round. Nothing of S and L for a server that answers one request at a time."""
        if server.name not in ALONE:
            return measure(server, self.workload, Plan(self.clients, bench.share, first), target.name)
        clients = tuple(each for each in self.clients if each in (1, 8)) if self.workload == "W" else ()
        return measure(server, self.workload, Plan(clients, bench.share / 2, first), target.name)


class Turns:
    """The servers of a family, all started, all but one stopped at any time."""

    def __init__(self, bench: Bench, stack: contextlib.ExitStack, target: Target, sizes: Sizes) -> None:
        self._bench = bench
        self.servers: list[Running] = []
        for name in (OURS, *bench.peers):
            try:
                server = stack.enter_context(serve(name, target, sizes))
            except (Missing, RuntimeError) as error:
                self._leave_out(name, error)
                continue
            bench.say(f"{name} is ready after {server.started_s:.1f} s")
            server.stop()
            self.servers.append(server)

    def _leave_out(self, name: str, error: Exception) -> None:
        if name == OURS:
            raise error
        self._bench.failed[name] = str(error) or type(error).__name__
        self._bench.say(f"{name} is left out: {self._bench.failed[name]}")
        self.servers = [server for server in self.servers if server.name != name]

    def each(self, found: Found, work: Callable[[Running], Numbers], *, beside_busy: bool = False) -> None:
        """`work` on one server after the other. A peer that fails is left out from then on."""
        for server in list(self.servers):
            try:
                with server.running(), busy() if beside_busy else contextlib.nullcontext():
                    numbers = work(server)
            except httpx.HTTPError as error:
                self._leave_out(server.name, error)
                found.pop(server.name, None)
                continue
            found.setdefault(server.name, []).append(numbers)
            shown = ", ".join(f"{metric} {n or ''} {value:.3g}" for (metric, n), value in numbers.items())
            self._bench.say(f"{server.name}: {shown}")


def rows_of(bench: Bench, found: Found, part: Part, target: Target) -> list[Row]:
    """Rows of every peer against ours, for the metrics of a part that both have."""
    rows = []
    for peer in (name for name in found if name != OURS and len(found[name]) == len(found[OURS])):
        for metric, n in found[OURS][0]:
            if metric in part.metrics and (metric, n) in found[peer][0]:
                ours, theirs = ([numbers[metric, n] for numbers in found[name]] for name in (OURS, peer))
                bound = bench.limit(f"{part.workload} {metric}", n, target)
                beside = " beside a busy process" if part.beside_busy else ""
                made = row(f"{part.workload}{beside} {metric}", n, target.name, (ours, theirs), peer)
                rows.append({**made, "limit": bound})
    return rows


def compare(bench: Bench, target: Target, sizes: Sizes, parts: Sequence[Part]) -> list[Row]:
    """Rows of every peer against ours: the burst that warms the servers, the parts, and the memory behind them."""
    parts = [replace(part, beside_busy=part.beside_busy or bench.beside_busy) for part in parts]
    with contextlib.ExitStack() as stack:
        turns = Turns(bench, stack, target, sizes)
        bursts: Found = {}
        if parts[0].workload == "W":
            turns.each(bursts, partial(warm, model=target.name, clients=sizes.parallel))
        found: list[Found] = [{} for _ in parts]
        for beside_busy, round_, (at, part) in product((False, True), range(bench.rounds), enumerate(parts)):
            if part.beside_busy == beside_busy:  # the busy ones last, so that they change nothing for the others
                work = partial(part.measured, bench, target=target, first=ROUND * (round_ + 1) + PART * at)
                turns.each(found[at], work, beside_busy=beside_busy)
        memory: Found = {}
        turns.each(memory, Running.memory)
    rows = rows_of(bench, bursts, Part("W", (), ("burst first token s",)), target) if bursts else []
    for at, part in enumerate(parts):
        rows += rows_of(bench, found[at], part, target)
    return rows + rows_of(bench, memory, Part(parts[0].workload, (), MEMORY), target)


def served(bench: Bench) -> list[Row]:
    """W, S and L with the starter, and W while another process wants a whole core."""
    target = bench.target(bench.model)
    parts = [
        Part("W", (1, 4, 8, 16), ("tokens/s", "first token s")),
        Part("S", (8,), ("requests/s", "right answers %")),
        Part("L", (8,), ("requests/s", "right answers %")),
        Part("W", (8,), ("tokens/s", "first token s"), beside_busy=True),
    ]
    return compare(bench, target, bench.sizes, parts)


def capable(bench: Bench) -> list[Row]:
    """W and pages that are changed, with the 1.5B model."""
    target = bench.target(CAPABLE)
    sizes = replace(bench.sizes, parallel=4, context=4096)
    parts = [Part("W", (1, 4), ("tokens/s", "first token s")), Part("P", (1,), ("decoded tokens/s", "first token s"))]
    return compare(bench, target, sizes, parts)


def start(bench: Bench) -> list[Row]:
    """From spawn to the end of the first answer, everything on the volume that an earlier run left there."""
    target = bench.target(bench.model)
    body = workloads.completion(77, model=target.name, max_tokens=1, stream=False, stream_options=None)
    taken: dict[str, list[float]] = {OURS: [], "llama-server": []}
    for _ in range(bench.rounds):
        for name, found in taken.items():
            began = time.perf_counter()
            with launch(name, target, bench.sizes) as (url, _process, _command):
                first_answer(url, body, began + 120)
                found.append(time.perf_counter() - began)
            bench.say(f"{name}: first answer after {found[-1]:.2f} s")
    return [row("start to first answer s", 1, bench.model, (taken[OURS], taken["llama-server"]), "llama-server")]


def again(bench: Bench) -> list[Row]:
    """The same 300 requests twice."""
    target = bench.target(bench.model)
    with serve(OURS, target, bench.sizes) as server:
        first, second = reuse(server.url, bench.model)
    bench.say(f"300 requests {first:.1f} s, again {second:.2f} s")
    sides = [300 / second], [300 / first]
    return [row("300 requests asked again requests/s", 8, bench.model, sides, "the first time")]


def health(bench: Bench) -> list[Row]:
    """Whether anybody waits for a probe while tokens are made."""
    target = bench.target(bench.model)
    with serve(OURS, target, bench.sizes) as server:
        found = asyncio.run(health_during_generation(server.url, bench.model))
    bench.say(f"/healthz p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms over {found['n']:.0f} probes")
    return [row("/healthz p99 while generating ms", 1, bench.model, ([found["p99"]], [50.0]), "limit of 50 ms")]


def evaluated(bench: Bench) -> list[Row]:
    """Evaluating the promoted sentiment prompt's cases, and the very same again."""
    first, second = evaluation.again(bench.model)
    bench.say(f"300 cases evaluated in {first:.1f} s, again in {second:.2f} s")
    return [row("300 cases evaluated again, runs/s", 8, bench.model, ([1 / second], [1 / first]), "the first time")]


def briefs(bench: Bench) -> list[Row]:
    """A thousand briefs, ten at a time, beside five builds, and a SIGKILL. Nobody else has this, so it has limits."""
    found = builds.measure()
    bench.say(str(found))
    there = found.posted - found.lost - found.doubled
    return [
        row("briefs there after a SIGKILL", 10, "scripted", ([there], [found.posted]), "posted"),
        row("briefs taken in briefs/s", 10, "scripted", ([found.briefs_per_s], [1000 / 600]), "a thousand in 600 s"),
        row("trigger p99 ms", 10, "scripted", ([found.trigger_p99_ms], [found.trigger_p50_ms]), "its own median"),
        row("/healthz p99 beside builds ms", 10, "scripted", ([found.health_p99_ms], [50.0]), "limit of 50 ms"),
    ]


FAMILIES: dict[str, Callable[[Bench], list[Row]]] = {
    "served": served,
    "capable": capable,
    "start": start,
    "reuse": again,
    "health": health,
    "evaluate": evaluated,
    "builds": briefs,
}


def at_hand(cache_dir: Path, catalog: Catalog, name: str) -> None:
    """Refuse to measure a model that is not there."""
    if Cache(cache_dir).find(catalog[name]) is None:
        raise SystemExit(f"bench: {name} is not in the cache; run: sameboat model pull {name}")
