"""A thousand briefs at once: `measure()` posts them, ten at a time, while builds run, kills the service, and counts.

In: numbers. Out: figures measured from outside, over HTTP: the trigger's latency and throughput, `/healthz` all the
while, and how many briefs are there after a SIGKILL. The model is scripted and takes a second for an answer. The way
from the POST to the durable row is measured, beside five builds that run.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.builds.harness import SECRET, brief, until
from tests.builds.processes import Service, service

BUILDS_AT_A_TIME = 5
ANSWER_S = 1.0
HEALTH_EVERY_S = 0.02


@dataclass(frozen=True)
class Measured:
    """Milliseconds, briefs per second, counts."""

    posted: int
    trigger_p50_ms: float
    trigger_p99_ms: float
    briefs_per_s: float
    health_p99_ms: float
    health_max_ms: float
    running: int
    lost: int
    doubled: int
    done: int


def measure(count: int = 1000, concurrent: int = 10, **environment: str) -> Measured:
    """Post, kill, start again, count. `environment` may hold a DATABASE_URL."""
    chosen = {"SAMEBOAT_BUILD_CONCURRENCY": str(BUILDS_AT_A_TIME), "TEST_ANSWER_S": str(ANSWER_S), "TEST_BROWSER": "1"}
    with tempfile.TemporaryDirectory() as folder, service(Path(folder) / "state", **chosen, **environment) as process:
        took, health, ids, wall_s = asyncio.run(_post(process, count, concurrent))
        with process.client() as client:
            running = Counter(each["status"] for each in _all(client))["running"]
        process.signal(signal.SIGKILL)  # its supervisor starts another one
        until(lambda: not process.alive(), 30)
        until(process.alive, 60)
        with process.client() as client:
            there = _all(client)
            again = [
                client.post("/api-endpoint", json=_brief(number)).json()["job_id"] for number in range(0, count, 97)
            ]
            until(lambda: Counter(each["status"] for each in _all(client))["done"] > BUILDS_AT_A_TIME)
            after = _all(client)
    found = Counter(each["id"] for each in there)
    assert again == [ids[number] for number in range(0, count, 97)]
    return Measured(
        posted=len(took),
        trigger_p50_ms=1000 * statistics.median(took),
        trigger_p99_ms=1000 * _p99(took),
        briefs_per_s=count / wall_s,
        health_p99_ms=1000 * _p99(health),
        health_max_ms=1000 * max(health),
        running=running,
        lost=len(set(ids) - set(found)),
        doubled=len(found) - len(set(ids)) + sum(times - 1 for times in found.values()),
        done=Counter(each["status"] for each in after)["done"],
    )


async def _post(process: Service, count: int, concurrent: int) -> tuple[list[float], list[float], list[str], float]:
    """Seconds of each POST, of each look at /healthz meanwhile, the ids in order, and of the whole."""
    took: list[float] = []
    ids = [""] * count
    numbers = iter(range(count))
    limits = httpx.Limits(max_connections=concurrent + 2)
    async with httpx.AsyncClient(base_url=process.url, timeout=60, limits=limits) as client:

        async def sender() -> None:
            for number in numbers:
                began = time.perf_counter()
                answer = await client.post("/api-endpoint", json=_brief(number))
                took.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
                ids[number] = answer.json()["job_id"]

        async def watcher() -> list[float]:
            seen: list[float] = []
            async with httpx.AsyncClient(base_url=process.url, timeout=60) as own:
                while not done.is_set():
                    began = time.perf_counter()
                    (await own.get("/healthz")).raise_for_status()
                    seen.append(time.perf_counter() - began)
                    await asyncio.sleep(HEALTH_EVERY_S)
            return seen

        done = asyncio.Event()
        watching = asyncio.create_task(watcher())
        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(concurrent)))
        wall_s = time.perf_counter() - began
        done.set()
        return took, await watching, ids, wall_s


def _brief(number: int) -> dict[str, Any]:
    return brief("https://evaluator.invalid/notify", task=f"task-{number}", nonce=f"nonce-{number}")


def _all(client: httpx.Client) -> list[dict[str, Any]]:
    """Every build, page by page."""
    found: list[dict[str, Any]] = []
    before: dict[str, float] = {}
    while True:
        page = client.get("/builds", params={"limit": 200, **before}, headers={"authorization": f"Bearer {SECRET}"})
        builds = page.json()["builds"]
        found += builds
        if len(builds) < 200:
            return found
        before = {"before": builds[-1]["received_s"]}


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


if __name__ == "__main__":
    print(measure())
