"""`make bench`: every workload on every server in turn, several rounds, into docs/bench.json, bench.md and bench.svg.

    python -m tests.bench [--rounds 3] [--only served,capable,start,reuse,health,evaluate,builds]
                          [--peers llama-server,vllm,...] [--share 1.0] [--beside-busy] [--write docs]
    python -m tests.bench --install vllm,llama-server:Q8_0

A ratio is the median over rounds of ours / theirs in the same round. The spread is its smallest and largest value. The
rows of a family come from one run. The families that this run does not measure stay as an earlier one left them.
Everything is measured from outside, over HTTP. `--only determinism` writes the table of docs/determinism.md instead.
"""

from __future__ import annotations

import argparse
import datetime
import os
from pathlib import Path

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench import determinism
from tests.bench.families import FAMILIES, Bench, at_hand
from tests.bench.install import install
from tests.bench.peers import ROOT, Missing, Sizes
from tests.bench.report import read, write

PEERS = "llama-server,llama-server:Q8_0,llama-server:Q4_0,vllm,vllm:2,llama_cpp.server"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families of rows, or determinism")
    parser.add_argument("--peers", default=PEERS, help="servers, as tests/bench/peers.py reads their names")
    parser.add_argument("--install", default="", help="install these peers for --model, and measure nothing")
    parser.add_argument("--share", type=float, default=1.0, help="part of the usual requests of a round")
    parser.add_argument("--beside-busy", action="store_true", help="another process wants a core all the time")
    parser.add_argument("--threads", type=int, default=None, help="of each server. Usually each decides itself")
    parser.add_argument("--parallel", type=int, default=16, help="sequences at a time of each server")
    parser.add_argument("--model", default=None)
    parser.add_argument("--requests", type=int, default=1000, help="of the last line of the determinism table")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs")
    parser.add_argument("--write", type=Path, default=ROOT / "docs", help="the folder to write to")
    return parser.parse_args()


def conditions(bench: Bench, load: float) -> str:
    """The facts about the run of a family that a reader needs."""
    day = datetime.datetime.now(datetime.UTC).date()
    machine = bench.machine
    kind = "8-bit" if machine.integers else "single-precision"
    beside = ", beside a busy process" if bench.beside_busy else ""
    missing = "".join(f". Not measured: {peer} ({reason})" for peer, reason in bench.failed.items())
    return (
        f"{day}, {bench.rounds} rounds, {bench.share:g} of the usual requests, load before {load:.1f}, "
        f"{os.cpu_count()} cores{beside}, memory "
        f"{machine.bytes_per_s / 1e9:.1f} GB/s, {machine.multiply_adds_per_s / 1e9:.0f} G {kind} multiply-adds/s"
        f"{missing}"
    )


def main() -> None:
    """Measure and write."""
    given = arguments()
    settings = settings_module.load()
    catalog = Catalog.load(settings.data_dir / "models.toml")
    name = given.model or catalog.default
    at_hand(settings.cache_dir, catalog, name)
    cache = Cache(settings.cache_dir)
    sizes = Sizes(given.parallel, threads=given.threads)
    peers = [peer for peer in given.peers.split(",") if peer]
    bench = Bench(given.rounds, sizes, peers, given.share, catalog, cache, name, given.beside_busy)
    if given.install:
        for peer in given.install.split(","):
            try:
                install(peer, bench.target(name))
            except Missing as error:
                raise SystemExit(f"bench: {error}") from error
        return
    wanted = given.only.split(",")
    if wanted == ["determinism"]:
        determinism.main(settings, catalog, cache, given.write, given.requests)
        return
    families = {} if given.fresh else read(given.write / "bench.json")
    for family in wanted:
        load = os.getloadavg()[0]
        bench.say(f"--- {family}")
        try:
            rows = FAMILIES[family](bench)
        except Missing as error:
            bench.say(f"not measured: {error}")
            continue
        families[family] = {"conditions": conditions(bench, load), "rows": rows}
        write(given.write, families)  # after each, so that an interruption loses one and not all
        bench.failed.clear()
    bench.say(f"written to {given.write}")


if __name__ == "__main__":
    main()
