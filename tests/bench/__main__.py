"""`make bench`: every workload on every server in turn, several rounds, into docs/bench.json, bench.md and bench.svg.

    python -m tests.bench [--rounds 3] [--only served,start,tuned,capable,reuse,health,evaluate,builds]
                          [--workloads W,S,L] [--peers llama-server,...] [--write docs] [--llama-bench]

A ratio is the median over rounds of ours / theirs in the same round. The spread is its smallest and largest value.
Rows that this run does not measure stay as an earlier one left them.
Everything is measured from outside, over HTTP. `--only determinism` writes the table of docs/determinism.md instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench import determinism, servers
from tests.bench.families import FAMILIES, Bench, at_hand
from tests.bench.report import merged, write


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families of rows, or determinism")
    parser.add_argument("--workloads", default="W,S,L")
    parser.add_argument("--peers", default="llama-server,llama_cpp.server,examples/server")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=None)
    parser.add_argument("--requests", type=int, default=1000, help="of the last line of the determinism table")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs")
    parser.add_argument("--write", type=Path, default=servers.ROOT / "docs", help="the folder to write to")
    parser.add_argument("--llama-bench", action="store_true", help="also build and run llama.cpp's own llama-bench")
    arguments = parser.parse_args()
    settings = settings_module.load()
    catalog = Catalog.load(settings.data_dir / "models.toml")
    name = arguments.model or catalog.default
    at_hand(settings.cache_dir, catalog, name)
    cache = Cache(settings.cache_dir)
    wanted = arguments.only.split(",")
    if wanted == ["determinism"]:
        determinism.main(settings, catalog, cache, arguments.write, arguments.requests)
        return
    bench = Bench(
        arguments.rounds,
        arguments.threads,
        [peer for peer in arguments.peers.split(",") if peer],
        arguments.workloads.split(","),
        catalog,
        cache,
        name,
    )
    load = os.getloadavg()[0]
    note = (
        f"{name} unless another model is named, {arguments.threads} threads, {arguments.rounds} rounds, load before "
        f"the run {load:.1f}, {os.cpu_count()} cores. W: a prefix of about 400 tokens, an input of about 40, 64 "
        "greedy tokens. S: a JSON object of six fields. L: one of five labels. Same file, llama.cpp commit and "
        "instruction set on every side unless the peer's name says otherwise. Every server's slots had seen the "
        "prefix, except in `burst`, where it was seen once. A ratio is ours divided by the peer's, the median over "
        "rounds. Rows that a run did not measure are an earlier run's. Made by `make bench`."
    )
    before = arguments.write / "bench.json"
    rows = json.loads(before.read_text()) if before.exists() and not arguments.fresh else []
    for family in wanted:
        bench.say(f"--- {family}")
        rows = merged(rows, FAMILIES[family](bench))
        left_out = "".join(f" Not measured: {peer} ({why})." for peer, why in bench.failed.items())
        write(arguments.write, rows, note + left_out)  # after each, so that an interruption loses one and not all
    bench.say(f"written to {arguments.write}")
    if arguments.llama_bench:
        target = bench.target(name)
        assert target is not None
        command: list[str | Path] = [
            servers.llama_cpp("llama-bench"),
            "-m",
            target.path,
            "-t",
            str(arguments.threads),
            "-p",
            "448",
        ]
        subprocess.run([*command, "-n", "64"], check=True)


if __name__ == "__main__":
    main()
