"""One server, one workload, every number of clients: the numbers that rows are made of.

In: a server that answers, a workload, numbers of clients. Out: values by (metric, clients).
Not here: the comparison (`families.py`).

Before W, S and L are measured every sequence of the server has seen the prefix: they compare warm servers. The requests
of a round are new to every server, because an answer that was given before is found again in no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.bench import workloads
from tests.bench.servers import Running

PER_CLIENT = {1: 5, 4: 3, 8: 3, 16: 2}
"""Requests of each client in one round: so many that a run takes seconds and not minutes."""
MEMORY = ("memory RSS MiB", "memory PSS MiB")

Numbers = dict[tuple[str, int], float]
"""Values by (metric, clients)."""


@dataclass(frozen=True)
class Plan:
    """How much is measured: numbers of clients, the part of the usual requests, and the first request's number."""

    clients: tuple[int, ...]
    share: float = 1.0
    first: int = 0

    def count(self, clients: int) -> int:
        """Requests of a run: the same number for each client."""
        return clients * max(1, round(self.share * PER_CLIENT[clients]))


def warm(server: Running, model: str, clients: int) -> Numbers:
    """One request, then one from each client at once, so that every sequence has seen the prefix.

    Gives the median seconds to the first token of those at once. Their prefix was seen once.
    """
    for count in (1, clients):
        bodies = [workloads.completion(1000 * count + each, model=model) for each in range(count)]
        measured = workloads.run(server.url, bodies, count)
    return {("burst first token s", clients): measured.first_p50_s}


def measure(server: Running, workload: str, plan: Plan, model: str) -> Numbers:
    """Numbers of one workload on one server."""
    kind = workloads.WORKLOADS[workload]
    found: Numbers = {}
    for clients in plan.clients:
        bodies = [
            kind.make(plan.first + 100 * clients + index, server.api, model=model)
            for index in range(plan.count(clients))
        ]
        measured = workloads.run(server.url, bodies, clients, kind)
        found["tokens/s", clients] = measured.tokens_per_s
        found["requests/s", clients] = measured.requests_per_s
        found["decoded tokens/s", clients] = measured.decoded_tokens_per_s
        found["first token s", clients] = measured.first_p50_s
        found["tokens of an answer", clients] = measured.tokens / len(bodies)
        found["right answers %", clients] = 100 * (1 - measured.wrong / len(bodies))
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
    with httpx.Client(base_url=server_url, timeout=120) as client:
        while time.perf_counter() < deadline:
            with contextlib.suppress(httpx.TransportError):  # it does not listen yet
                if client.post(path, json=content).status_code == 200:
                    return
            time.sleep(0.01)
    raise TimeoutError(server_url)
