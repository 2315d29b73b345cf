"""Prometheus metrics of this service: what the engines count, and how long people wait.

What comes in: engines' `stats` and observations. What goes out: text. It has a registry of its own, so that two
services in one process (tests) never share a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service import resources
from service.engine.local.client import LocalEngine
from service.engine.pool import Engines

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
GAUGES = {
    "queue_requests",
    "queue_tokens",
    "running",
    "kept_answers",
    "kv_tokens",
    "worker_rss_bytes",
    "prefixes",
    "prefix_bytes",
}
HISTOGRAMS = {
    "queue_s": "Seconds from admission to the worker",
    "first_token_s": "Seconds from admission to the first token",
    "inter_token_s": "Seconds between tokens",
}


class Metrics:
    """Everything that `/metrics` shows."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._histograms = {
            name: Histogram(
                f"sameboat_{name.removesuffix('_s')}_seconds", text, ["model"], buckets=SECONDS, registry=self._registry
            )
            for name, text in HISTOGRAMS.items()
        }
        self._engines: Engines | None = None
        self._registry.register(self)

    def watch(self, engines: Engines) -> None:
        """Let the engines that there are report how long people wait."""
        for name, engine in engines.all().items():
            if isinstance(engine, LocalEngine):
                engine.observe = partial(self._observe, name)

    def _observe(self, model: str, what: str, seconds: float) -> None:
        self._histograms[what].labels(model).observe(seconds)

    def text(self, engines: Engines) -> bytes:
        """Prometheus' text format."""
        self._engines = engines
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by the registry: the engines' counters, and this process' memory."""
        memory = GaugeMetricFamily("sameboat_http_memory_bytes", "Resident bytes of the HTTP process")
        memory.add_metric([], resources.used_bytes())
        yield memory
        if self._engines is None:
            return
        families: dict[str, Metric] = {}
        for model, engine in self._engines.all().items():
            for name, value in engine.stats().items():
                if name not in families:
                    kind = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
                    families[name] = kind(f"sameboat_engine_{name}", name.replace("_", " "), labels=["model"])
                families[name].add_metric([model], value)  # type: ignore[attr-defined]
        yield from families.values()
