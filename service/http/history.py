"""The last hour of this service in numbers, one sample every five seconds, for charts.

In: the statistics of engines, and the latencies that `/metrics` counts. Out: rows of cumulative counters and gauges.
A reader subtracts two rows: tokens by seconds are a speed, a sum by a count is a mean.
Not here: Prometheus' format, and everything that needs more than an hour (`metrics`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from service import resources
from service.engine.pool import Engines
from service.http.metrics import Metrics

EVERY_S = 5.0
ROWS = 720  # an hour
STATS = (
    "requests",
    "answers",
    "prompt_tokens",
    "prompt_seconds",
    "cached_tokens",
    "answer_tokens",
    "answer_seconds",
    "queue_requests",
    "running",
    "worker_rss_bytes",
)
"""Statistics of engines, added over all models. The last three are gauges, and the others are counters."""
LATENCIES = ("queue_s", "first_token_s", "inter_token_s")
COLUMNS = ("at_s", "http_rss_bytes", *STATS, *(f"{name}_{part}" for name in LATENCIES for part in ("sum", "count")))


class History:
    """The rows of the last hour, the oldest first."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=ROWS)

    async def keep(self, engines: Engines, metrics: Metrics) -> None:
        """Take a sample now and every five seconds, until the task is cancelled."""
        while True:
            self.take(engines, metrics)
            await asyncio.sleep(EVERY_S)

    def take(self, engines: Engines, metrics: Metrics) -> None:
        """Append one row."""
        numbers = [engine.stats() for engine in engines.all().values()]
        totals = [sum(stats.get(name, 0.0) for stats in numbers) for name in STATS]
        latencies = metrics.latencies()
        pairs = [value for name in LATENCIES for value in latencies[name]]
        row = (time.time(), float(resources.used_bytes()), *totals, *pairs)
        self._rows.append(tuple(round(value, 4) for value in row))

    def rows(self, after_s: float = 0.0) -> list[tuple[float, ...]]:
        """The rows that are newer than this Unix time."""
        return [row for row in self._rows if row[0] > after_s]
