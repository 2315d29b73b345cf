"""`make bench`: every workload on every server in turn, several rounds, into docs/bench.json and docs/bench.md.

    python -m tests.bench [--rounds 3] [--only W,S,L,reuse,health,evaluate] [--peers llama-server,llama_cpp.server]

Rounds interleave the servers, so a noisy minute hits all of them. A ratio is the median over rounds of ours / theirs in
the same round; the spread is its smallest and largest value. Everything is measured from outside, over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from typing import Any

import httpx

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench import evaluation, servers, workloads

DOCS = servers.ROOT / "docs"
CLIENTS = {"W": (1, 4, 8, 16), "S": (1, 8), "L": (1, 8)}
MAKERS = {"W": workloads.completion, "S": workloads.structured, "L": workloads.labelled}


def requests_for(clients: int) -> int:
    """Enough requests that each client sends at least two, and that a run takes seconds and not minutes."""
    return max(6, 2 * clients)


def measure(server: servers.Running, workload: str, round_: int, model: str) -> dict[int, dict[str, float]]:
    """One server, one workload, every number of clients; keyed by the number of clients."""
    found: dict[int, dict[str, float]] = {}
    make = MAKERS[workload]
    workloads.run(server.url, [make(9000 + round_, model=model)], 1)  # the prefix is in every server's cache now
    for clients in CLIENTS[workload]:
        start = 1000 * round_ + 100 * clients
        bodies = [make(start + index, model=model) for index in range(requests_for(clients))]
        measured = workloads.run(server.url, bodies, clients)
        if measured.wrong:
            print(f"bench: {server.name} gave {measured.wrong} answers to {workload} that are not JSON")
        found[clients] = {
            "tokens/s": measured.tokens_per_s,
            "requests/s": measured.requests_per_s,
            "first token s": measured.first_p50_s,
        }
    found[0] = {"memory MiB": server.memory_mib(), "start s": server.started_s}
    return found


async def health_during_generation(url: str, model: str) -> dict[str, float]:
    """Milliseconds of /healthz while a 400-token answer is generated."""
    body = {"model": model, "prompt": workloads.PREFIX, "max_tokens": 400, "temperature": 0.8, "seed": 1}
    taken: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        work = asyncio.create_task(client.post("/v1/completions", json=body))
        while not work.done():
            began = time.perf_counter()
            (await client.get("/healthz")).raise_for_status()
            taken.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(0.01)
        (await work).raise_for_status()
    ordered = sorted(taken)
    return {"p50": statistics.median(ordered), "p99": ordered[int(0.99 * (len(ordered) - 1))], "n": len(ordered)}


def reuse(url: str, model: str, n: int = 300) -> tuple[float, float]:
    """Seconds for `n` deterministic requests, and for the very same ones again."""
    bodies = [workloads.completion(index, model=model, max_tokens=8) for index in range(n)]
    first = workloads.run(url, bodies, 8).wall_s
    return first, workloads.run(url, bodies, 8).wall_s


def row(workload: str, n: int, model: str, ours: list[float], theirs: list[float], peer: str) -> dict[str, Any]:
    """One line of docs/bench.json."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "workload": workload,
        "n": n,
        "model": model,
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(theirs), 4),
        "peer_name": peer,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def table(rows: list[dict[str, Any]], note: str) -> str:
    """docs/bench.md."""
    lines = [
        "# Measured",
        "",
        note,
        "",
        "| workload | clients | ours | peer | | ratio | spread |",
        "|---|--:|--:|--:|---|--:|---|",
    ]
    for line in rows:
        low, high = line["spread"]
        lines.append(
            f"| {line['workload']} | {line['n']} | {line['ours']:.4g} | {line['peer']:.4g} | {line['peer_name']} "
            f"| **{line['ratio']:.2f}x** | {low:.2f} to {high:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="W,S,L,reuse,health,evaluate")
    parser.add_argument("--peers", default="llama-server,llama_cpp.server")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=None)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    settings = settings_module.load()
    catalog = Catalog.load(settings.data_dir / "models.toml")
    name = arguments.model or catalog.default
    path = Cache(settings.cache_dir).find(catalog[name])
    if path is None:
        raise SystemExit(f"bench: {name} is not in the cache; run: sameboat model pull {name}")
    os.environ["SAMEBOAT_MODEL"] = name
    names = ["sameboat", *(peer for peer in arguments.peers.split(",") if peer)]
    seen: dict[tuple[str, str], list[dict[int, dict[str, float]]]] = {}
    rows: list[dict[str, Any]] = []
    load = os.getloadavg()[0]
    for round_ in range(arguments.rounds):
        for server_name in names:
            chosen = [w for w in wanted if w in MAKERS and not (w != "W" and server_name == "llama_cpp.server")]
            if not chosen:
                continue
            with servers.serve(server_name, path, threads=arguments.threads, parallel=8) as server:
                for workload in chosen:
                    found = measure(server, workload, round_, name)
                    seen.setdefault((server_name, workload), []).append(found)
                    shown = {k: {m: round(v, 3) for m, v in values.items()} for k, values in found.items()}
                    print(f"round {round_ + 1} {server_name:16} {workload} {shown}", flush=True)
    for peer in names[1:]:
        for workload in CLIENTS:
            if (peer, workload) not in seen or ("sameboat", workload) not in seen:
                continue
            mine, theirs = seen["sameboat", workload], seen[peer, workload]
            metric = "tokens/s" if workload == "W" else "requests/s"
            for n in CLIENTS[workload]:
                ours, others = [m[n][metric] for m in mine], [t[n][metric] for t in theirs]
                rows.append(row(f"{workload} {metric}", n, name, ours, others, peer))
            if workload == "W":
                metric = "first token s"
                rows.append(
                    row("W first token s", 8, name, [m[8][metric] for m in mine], [t[8][metric] for t in theirs], peer)
                )
                for metric in ("memory MiB", "start s"):
                    ours, others = [m[0][metric] for m in mine], [t[0][metric] for t in theirs]
                    rows.append(row(metric, 0, name, ours, others, peer))
    if "reuse" in wanted or "health" in wanted:
        with servers.serve("sameboat", path, threads=arguments.threads, parallel=8) as server:
            if "reuse" in wanted:
                first, again = reuse(server.url, name)
                rows.append(row("300 requests again, s", 8, name, [first], [again], "the same, reused"))
            if "health" in wanted:
                health = asyncio.run(health_during_generation(server.url, name))
                rows.append(row("/healthz p99 ms while generating", 1, name, [health["p99"]], [50.0], "limit of 50 ms"))
    if "evaluate" in wanted:
        first, again = evaluation.again(name)
        rows.append(row("300 sentiment cases evaluated, s", 8, name, [first], [again], "evaluated again"))
    note = (
        f"{name}, {arguments.threads} threads, {arguments.rounds} rounds, load before the run {load:.1f}, "
        f"{os.cpu_count()} cores. Same file, same llama.cpp commit, same instruction set on every side. "
        "Made by `make bench`; higher is better except for seconds, milliseconds and MiB."
    )
    DOCS.mkdir(exist_ok=True)
    (DOCS / "bench.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (DOCS / "bench.md").write_text(table(rows, note), encoding="utf-8")
    print(table(rows, note))


if __name__ == "__main__":
    main()
