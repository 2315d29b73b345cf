"""The measurements, one function per family of rows. Each takes a `Bench` and gives rows. A new family is a function
and a name in FAMILIES.

Rounds interleave the servers, so that a noisy minute hits all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench import builds, evaluation, workloads
from tests.bench.measure import CLIENTS, Numbers, first_answer, health_during_generation, measure, reuse
from tests.bench.report import Row, row
from tests.bench.servers import Target, launch, serve

OURS = "sameboat"
FULL = ("llama-server",)  # measured on every workload, the Python servers on W alone
CAPABLE = "qwen2.5-coder-1.5b-instruct"


@dataclass
class Bench:
    """The options of the command line, and the available servers."""

    rounds: int
    threads: int
    peers: list[str]
    workloads: list[str]
    catalog: Catalog
    cache: Cache
    model: str
    failed: dict[str, str] = field(default_factory=dict)
    """Peers that could not be measured, and why: they are left out, and the report says so."""
    began: float = field(default_factory=time.perf_counter)

    def say(self, text: str) -> None:
        """Progress, with the seconds since the start."""
        print(f"[{time.perf_counter() - self.began:6.0f} s] {text}", flush=True)

    def target(self, name: str) -> Target | None:
        """A model that is listed and in the cache."""
        path = self.cache.find(self.catalog[name]) if name in self.catalog else None
        return Target(name, path) if path is not None else None

    def tuned(self) -> Iterator[Target]:
        """The re-quantized copies of the model that are at hand, named NAME:type."""
        for entry in self.catalog:
            found = self.target(entry.name) if entry.name.startswith(f"{self.model}:") else None
            if found is not None:
                yield found


def compare(
    bench: Bench, sides: dict[str, tuple[str, Target]], workload: str, clients: tuple[int, ...], rounds: int
) -> dict[str, list[Numbers]]:
    """Numbers per side and round. A side is (server, model file)."""
    found: dict[str, list[Numbers]] = {}
    for round_ in range(rounds):
        for side, (server_name, target) in sides.items():
            slow = server_name not in (OURS, *FULL)
            some = tuple(client for client in clients if client in (1, 8)) if slow else clients
            if side in bench.failed:
                continue
            try:
                with serve(server_name, target, threads=bench.threads, parallel=8) as server:
                    numbers = measure(
                        server, workload, round_, model=target.name, clients=some, share=0.5 if slow else 1.0
                    )
            except (RuntimeError, httpx.HTTPError) as error:
                if server_name == OURS:
                    raise
                bench.failed[side] = f"{type(error).__name__}: {error}"
                found.pop(side, None)
                bench.say(f"{side} is left out: {bench.failed[side]}")
                continue
            found.setdefault(side, []).append(numbers)
            shown = ", ".join(f"{metric} {n or ''} {value:.3g}" for (metric, n), value in numbers.items())
            bench.say(f"round {round_ + 1} {side} {workload}: {shown}")
    return found


def rows_of(found: dict[str, list[Numbers]], ours: str, label: str, model: str, metrics: tuple[str, ...]) -> list[Row]:
    """Rows of every other side against ours, for the metrics that both have."""
    rows = []
    for peer in (side for side in found if side != ours):
        for metric, n in found[ours][0]:
            if metric in metrics and (metric, n) in found[peer][0]:
                mine = [numbers[metric, n] for numbers in found[ours]]
                theirs = [numbers[metric, n] for numbers in found[peer]]
                rows.append(row(f"{label} {metric}", n, model, mine, theirs, peer))
    return rows


def served(bench: Bench) -> list[Row]:
    """W, S and L on the same file."""
    target = bench.target(bench.model)
    assert target is not None
    rows = []
    for workload in bench.workloads:
        names = [OURS, *(peer for peer in bench.peers if workload == "W" or peer in FULL)]
        found = compare(bench, {name: (name, target) for name in names}, workload, CLIENTS[workload], bench.rounds)
        speed = "tokens/s" if workload == "W" else "requests/s"
        metrics = (speed, "first token s", "burst first token s", "memory MiB") if workload == "W" else (speed,)
        rows += rows_of(found, OURS, workload, bench.model, metrics)
    return rows


def tuned(bench: Bench) -> list[Row]:
    """W and L with a re-quantized copy, beside llama-server on the file as shipped and on that same copy."""
    shipped = bench.target(bench.model)
    assert shipped is not None
    rows = []
    for copy in bench.tuned():
        sides = {
            OURS: (OURS, copy),
            "llama-server, file as shipped": ("llama-server", shipped),
            "llama-server, same copy": ("llama-server", copy),
        }
        for workload, speed in (("W", "tokens/s"), ("L", "requests/s")):
            found = compare(bench, sides, workload, (1, 8), max(1, bench.rounds - 1))
            rows += rows_of(found, OURS, workload, copy.name, (speed,))
    return rows


def capable(bench: Bench) -> list[Row]:
    """W with the 1.5B model, and the memory of both processes."""
    target = bench.target(CAPABLE)
    if target is None:
        bench.say(f"{CAPABLE} is not in the cache: not measured")
        return []
    sides = {OURS: (OURS, target), "llama-server": ("llama-server", target)}
    found = compare(bench, sides, "W", (1, 4), 1)
    return rows_of(found, OURS, "W", CAPABLE, ("tokens/s", "memory MiB"))


def start(bench: Bench) -> list[Row]:
    """From spawn to the end of the first answer, everything on the volume that an earlier run left there."""
    target = bench.target(bench.model)
    assert target is not None
    body = workloads.completion(77, model=target.name, max_tokens=1, stream=False, stream_options=None)
    taken: dict[str, list[float]] = {OURS: [], "llama-server": []}
    for _ in range(bench.rounds):
        for name, found in taken.items():
            began = time.perf_counter()
            with launch(name, target, threads=bench.threads, parallel=8) as (url, _process):
                first_answer(url, body, began + 120)
                found.append(time.perf_counter() - began)
            bench.say(f"{name}: first answer after {found[-1]:.2f} s")
    return [row("start to first answer s", 1, bench.model, taken[OURS], taken["llama-server"], "llama-server")]


def again(bench: Bench) -> list[Row]:
    """The same 300 requests twice."""
    target = bench.target(bench.model)
    assert target is not None
    with serve(OURS, target, threads=bench.threads, parallel=8) as server:
        first, second = reuse(server.url, bench.model)
    bench.say(f"300 requests {first:.1f} s, again {second:.2f} s")
    return [row("300 requests asked again requests/s", 8, bench.model, [300 / second], [300 / first], "the first time")]


def health(bench: Bench) -> list[Row]:
    """Whether anybody waits for a probe while tokens are made."""
    target = bench.target(bench.model)
    assert target is not None
    with serve(OURS, target, threads=bench.threads, parallel=8) as server:
        found = asyncio.run(health_during_generation(server.url, bench.model))
    bench.say(f"/healthz p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms over {found['n']:.0f} probes")
    return [row("/healthz p99 while generating ms", 1, bench.model, [found["p99"]], [50.0], "limit of 50 ms")]


def evaluated(bench: Bench) -> list[Row]:
    """Evaluating the promoted sentiment prompt's cases, and the very same again."""
    first, second = evaluation.again(bench.model)
    bench.say(f"300 cases evaluated in {first:.1f} s, again in {second:.2f} s")
    return [row("300 cases evaluated again, runs/s", 8, bench.model, [1 / second], [1 / first], "the first time")]


def briefs(bench: Bench) -> list[Row]:
    """A thousand briefs, ten at a time, beside five builds, and a SIGKILL. Nobody else has this, so it has limits."""
    found = builds.measure()
    bench.say(str(found))
    there = found.posted - found.lost - found.doubled
    return [
        row("briefs there after a SIGKILL", 10, "scripted", [there], [found.posted], "posted"),
        row("briefs taken in briefs/s", 10, "scripted", [found.briefs_per_s], [1000 / 600], "a thousand in 600 s"),
        row("trigger p99 ms", 10, "scripted", [found.trigger_p99_ms], [found.trigger_p50_ms], "its own median"),
        row("/healthz p99 beside builds ms", 10, "scripted", [found.health_p99_ms], [50.0], "limit of 50 ms"),
    ]


FAMILIES: dict[str, Callable[[Bench], list[Row]]] = {
    "served": served,
    "start": start,
    "tuned": tuned,
    "capable": capable,
    "reuse": again,
    "health": health,
    "evaluate": evaluated,
    "builds": briefs,
}


def at_hand(cache_dir: Path, catalog: Catalog, name: str) -> None:
    """Refuse to measure a model that is not there."""
    if Cache(cache_dir).find(catalog[name]) is None:
        raise SystemExit(f"bench: {name} is not in the cache; run: sameboat model pull {name}")
