"""One server, one workload, every number of clients: the numbers that rows are made of.

Before anything is measured each server has answered one request, then a burst of eight at once ("burst": its prefix was
seen once), so that afterwards every slot of every server holds the prefix: W, S and L compare warm servers.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import httpx

from tests.bench import workloads
from tests.bench.servers import Running

CLIENTS = {"W": (1, 4, 8, 16), "S": (1, 8), "L": (1, 8)}
MAKERS = {"W": workloads.completion, "S": workloads.structured, "L": workloads.labelled}
REQUESTS = {1: 5, 4: 12, 8: 24, 16: 32}  # so many that a run takes seconds and not minutes
BURST = 8

Numbers = dict[tuple[str, int], float]
"""Values by (metric, clients)."""


def measure(
    server: Running, workload: str, round_: int, *, model: str, clients: tuple[int, ...], share: float = 1.0
) -> Numbers:
    """Numbers of one workload on one server. Slow servers get a `share` of the usual requests."""
    make = MAKERS[workload]
    first = 10_000 * round_
    workloads.run(server.url, [make(first + 9000, model=model)], 1)
    burst = workloads.run(server.url, [make(first + 9100 + each, model=model) for each in range(BURST)], BURST)
    found: Numbers = {("burst first token s", BURST): burst.first_p50_s}
    for number in clients:
        count = max(number, round(share * REQUESTS[number]))
        bodies = [make(first + 100 * number + index, model=model) for index in range(count)]
        measured = workloads.run(server.url, bodies, number)
        if measured.wrong:
            print(f"bench: {server.name} gave {measured.wrong} answers to {workload} that are not JSON", flush=True)
        found["tokens/s", number] = measured.tokens_per_s
        found["requests/s", number] = measured.requests_per_s
        found["first token s", number] = measured.first_p50_s
    found["memory MiB", 0] = server.memory_mib()
    return found


def reuse(url: str, model: str, n: int = 300) -> tuple[float, float]:
    """Seconds for `n` deterministic requests, and for the very same ones again."""
    bodies = [workloads.completion(index, model=model, max_tokens=8) for index in range(n)]
    first = workloads.run(url, bodies, 8).wall_s
    return first, workloads.run(url, bodies, 8).wall_s


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


def first_answer(server_url: str, body: tuple[str, dict[str, Any]], deadline: float) -> None:
    """Ask until the server that is starting has answered. Raises TimeoutError."""
    path, content = body
    while time.perf_counter() < deadline:
        try:
            if httpx.post(server_url + path, json=content, timeout=120).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.01)
    raise TimeoutError(server_url)
