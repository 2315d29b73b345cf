"""Prometheus metrics of this service: what the engines count, how long people wait, who was refused at the door.

What comes in: engines' `stats` and observations, refusals. What goes out: text. It has a registry of its own, so that
two services in one process (tests) never share a number. Rates are left to the reader of the counters:
`rate(sameboat_prompt_tokens_total[1m]) / rate(sameboat_prompt_seconds_total[1m])` is the prefill rate, the same with
`answer` the decode rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service import resources
from service.engine.pool import Engines
from service.engine.types import ReportsLatency

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
HISTOGRAMS = {
    "queue_s": ("sameboat_queue_seconds", "From admission to the worker"),
    "first_token_s": ("sameboat_first_token_seconds", "From admission to the first token"),
    "inter_token_s": ("sameboat_inter_token_seconds", "Between two tokens of one answer"),
}


@dataclass(frozen=True)
class MetricSpec:
    """How one of an engine's statistics is shown; `cause` becomes a label where several share a name."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    cause: str | None = None


NOT_COMPUTED, SAVED = "sameboat_tokens_not_computed", "Tokens that were not computed, by cause: prefix, forced, reuse"
ENDED, EARLY = "sameboat_requests_ended_early", "Requests without an answer, by cause: rejected, cancelled, failed"
STATS: dict[str, MetricSpec] = {
    "requests": MetricSpec("sameboat_requests", "counter", "Requests that reached the engine"),
    "answers": MetricSpec("sameboat_answers", "counter", "Answers that were computed to their end"),
    "rejected": MetricSpec(ENDED, "counter", EARLY, "rejected"),
    "cancelled": MetricSpec(ENDED, "counter", EARLY, "cancelled"),
    "failed": MetricSpec(ENDED, "counter", EARLY, "failed"),
    "completion_tokens": MetricSpec("sameboat_completion_tokens", "counter", "Tokens of answers"),
    "reused": MetricSpec("sameboat_answers_reused", "counter", "Answers that were given again from the store"),
    "reused_tokens": MetricSpec(NOT_COMPUTED, "counter", SAVED, "reuse"),
    "cached_tokens": MetricSpec(NOT_COMPUTED, "counter", SAVED, "prefix"),
    "forced_tokens": MetricSpec(NOT_COMPUTED, "counter", SAVED, "forced"),
    "prefix_hits": MetricSpec("sameboat_prefix_hits", "counter", "Requests that began from a prefix already in memory"),
    "prompt_tokens": MetricSpec("sameboat_prompt_tokens", "counter", "Prompt tokens computed (prefill)"),
    "prompt_seconds": MetricSpec("sameboat_prompt_seconds", "counter", "Seconds of computing prompts (prefill)"),
    "answer_tokens": MetricSpec("sameboat_answer_tokens", "counter", "Answer tokens computed (decode)"),
    "answer_seconds": MetricSpec("sameboat_answer_seconds", "counter", "Seconds of computing answers (decode)"),
    "steps": MetricSpec("sameboat_steps", "counter", "Batches computed"),
    "sequences_cancelled": MetricSpec(
        "sameboat_sequences_cancelled", "counter", "Sequences that the worker stopped computing"
    ),
    "queue_requests": MetricSpec("sameboat_queue_requests", "gauge", "Requests that wait"),
    "queue_tokens": MetricSpec("sameboat_queue_tokens", "gauge", "Prompt tokens that wait, estimated"),
    "queue_wait_s": MetricSpec("sameboat_queue_wait_seconds", "gauge", "What Retry-After would say now"),
    "running": MetricSpec("sameboat_running", "gauge", "Requests that the worker has"),
    "kept_answers": MetricSpec("sameboat_kept_answers", "gauge", "Answers in the store for reuse"),
    "kept_answer_bytes": MetricSpec("sameboat_kept_answer_bytes", "gauge", "Bytes of the answers kept for reuse"),
    "kv_tokens": MetricSpec("sameboat_kv_tokens", "gauge", "Tokens in the key-value memory"),
    "prefixes": MetricSpec("sameboat_prefixes", "gauge", "Prefixes that are kept in memory"),
    "prefix_bytes": MetricSpec("sameboat_prefix_bytes", "gauge", "Bytes of the prefixes that are kept in memory"),
    "prefix_restored": MetricSpec("sameboat_prefix_restored", "counter", "Prefixes read from the cache volume"),
    "prefix_lost": MetricSpec("sameboat_prefix_lost", "counter", "Prefixes on the volume that were damaged or gone"),
    "prefix_evicted": MetricSpec("sameboat_prefix_evicted", "counter", "Prefixes that made room in memory for others"),
    "threads": MetricSpec("sameboat_threads", "gauge", "Threads that compute now: fewer where others want the cores"),
    "worker_rss_bytes": MetricSpec(
        "sameboat_worker_memory_bytes", "gauge", "Resident bytes of the worker, weights included"
    ),
    "retries": MetricSpec("sameboat_remote_retries", "counter", "Requests sent again to a remote engine"),
    "embeddings": MetricSpec("sameboat_embeddings", "counter", "Vectors computed"),
    "restarts": MetricSpec("sameboat_worker_restarts", "counter", "Times that the worker was started again"),
}
"""What has no entry is shown as a gauge under `sameboat_engine_NAME`, so that a new number is never lost."""


class Metrics:
    """Everything that `/metrics` shows."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._histograms = {
            name: Histogram(metric, text, ["model"], buckets=SECONDS, registry=self._registry)
            for name, (metric, text) in HISTOGRAMS.items()
        }
        self._refused = Counter(
            "sameboat_refused_at_the_door", "Requests refused before any engine saw them", ["kind"],
            registry=self._registry,
        )  # fmt: skip
        for kind in ("full", "too-large", "left", "host", "cross-site", "key", "rate"):
            self._refused.labels(kind)
        self._ended = Counter(
            "sameboat_connections_ended", "Connections that were refused or ended, by why", ["kind"],
            registry=self._registry,
        )  # fmt: skip
        self._engines: Engines | None = None
        self._registry.register(self)

    def refused(self, kind: str) -> None:
        """Count a request that the door turned away."""
        self._refused.labels(kind).inc()

    def ended(self, kind: str) -> None:
        """Count a connection that was refused or ended: slow, unread, idle, connections, long, upgrade, not-http."""
        self._ended.labels(kind).inc()

    def watch(self, engines: Engines) -> None:
        """Let the engines that there are report how long people wait."""
        for name, engine in engines.all().items():
            if isinstance(engine, ReportsLatency):
                engine.on_latency = partial(self._observe, name)

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
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for model, engine in self._engines.all().items():
            for name, value in engine.stats().items():
                shown = STATS.get(name) or MetricSpec(f"sameboat_engine_{name}", "gauge", name.replace("_", " "))
                family = families.get(shown.name)
                if family is None:
                    kind = CounterMetricFamily if shown.kind == "counter" else GaugeMetricFamily
                    labels = ["model"] if shown.cause is None else ["model", "cause"]
                    family = families[shown.name] = kind(shown.name, shown.help, labels=labels)
                family.add_metric([model] if shown.cause is None else [model, shown.cause], value)
        yield from families.values()
