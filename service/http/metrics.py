"""Prometheus metrics of this service: engine statistics, latencies, rejected requests, closed connections.

In: the `stats` and latencies of engines, rejections. Out: Prometheus' text format. Each service has a registry of its
own, so that two services in one process (tests) do not share numbers. Names follow vLLM's and OpenTelemetry's.
`rate(sameboat_prefill_tokens_total[1m]) / rate(sameboat_prefill_seconds_total[1m])` is the speed of prefill, and
`decode` in place of `prefill` gives the speed of decoding.

A name that was replaced is exported beside the new one for one minor version. Its HELP names the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import resources
from service.engine.pool import Engines
from service.engine.types import ReportsLatency

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
HISTOGRAMS = {
    "queue_s": ("sameboat_request_queue_time_seconds", "From admission to the worker"),
    "first_token_s": ("sameboat_time_to_first_token_seconds", "From admission to the first token"),
    "inter_token_s": ("sameboat_inter_token_latency_seconds", "Between two tokens of one answer"),
}


@dataclass(frozen=True)
class MetricSpec:
    """How one statistic of an engine is exported. Several statistics may share a name: `label` tells them apart."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    label: tuple[str, str] | None = None


def _counter(name: str, text: str) -> MetricSpec:
    return MetricSpec(f"sameboat_{name}", "counter", text)


def _gauge(name: str, text: str) -> MetricSpec:
    return MetricSpec(f"sameboat_{name}", "gauge", text)


def _aborted(reason: str) -> MetricSpec:
    text = "Requests without an answer, by reason: rejected, cancelled, failed"
    return MetricSpec("sameboat_requests_aborted", "counter", text, ("reason", reason))


def _saved(cause: str) -> MetricSpec:
    text = "Tokens that were not computed, by cause: prefix, forced, reuse"
    return MetricSpec("sameboat_tokens_saved", "counter", text, ("cause", cause))


STATS: dict[str, MetricSpec] = {
    "requests": _counter("requests", "Requests that reached the engine"),
    "answers": _counter("answers", "Answers that were computed to their end"),
    "rejected": _aborted("rejected"),
    "cancelled": _aborted("cancelled"),
    "failed": _aborted("failed"),
    "completion_tokens": _counter("completion_tokens", "Tokens of answers"),
    "reused": _counter("answer_cache_hits", "Answers that came from the answer cache"),
    "reused_tokens": _saved("reuse"),
    "cached_tokens": _saved("prefix"),
    "forced_tokens": _saved("forced"),
    "prefix_hits": _counter("prefix_cache_hits", "Requests that started from a cached prefix"),
    "prompt_tokens": _counter("prefill_tokens", "Prompt tokens computed"),
    "prompt_seconds": _counter("prefill_seconds", "Seconds of computing prompt tokens"),
    "answer_tokens": _counter("decode_tokens", "Answer tokens computed"),
    "answer_seconds": _counter("decode_seconds", "Seconds of computing answer tokens"),
    "drafts": _counter("spec_decode_num_drafts", "Drafts that were verified"),
    "draft_tokens": _counter("spec_decode_num_draft_tokens", "Drafted tokens that were computed"),
    "accepted_draft_tokens": _counter("spec_decode_num_accepted_tokens", "Drafted tokens that were chosen"),
    "steps": _counter("steps", "Batches computed"),
    "sequences_cancelled": _counter("sequences_cancelled", "Sequences that the worker stopped computing"),
    "queue_requests": _gauge("requests_waiting", "Requests in the queue"),
    "queue_tokens": _gauge("prompt_tokens_waiting", "Estimated prompt tokens in the queue"),
    "queue_wait_s": _gauge("queue_wait_seconds", "Estimated wait of a new request: the value of Retry-After"),
    "running": _gauge("requests_running", "Requests in the worker"),
    "kept_answers": _gauge("answer_cache_entries", "Answers in the answer cache"),
    "kept_answer_bytes": _gauge("answer_cache_bytes", "Bytes of the answer cache"),
    "kv_tokens": _gauge("kv_cache_tokens", "Tokens in the key-value cache"),
    "prefixes": _gauge("prefix_cache_entries", "Prefixes in memory"),
    "prefix_bytes": _gauge("prefix_cache_bytes", "Bytes of the prefixes in memory"),
    "prefix_restored": _counter("prefix_cache_restored", "Prefixes read from the cache volume"),
    "prefix_lost": _counter("prefix_cache_lost", "Prefixes on the cache volume that were damaged or missing"),
    "prefix_evicted": _counter("prefix_cache_evicted", "Prefixes removed from memory to make room"),
    "threads": _gauge("threads", "Threads that compute now. Fewer while other processes need the cores"),
    "worker_rss_bytes": _gauge("worker_memory_bytes", "Resident bytes of the worker, weights included"),
    "retries": _counter("remote_retries", "Requests sent again to a remote engine"),
    "embeddings": _counter("embeddings", "Vectors computed"),
    "restarts": _counter("worker_restarts", "Restarts of the worker"),
}
"""A statistic without an entry is a gauge `sameboat_engine_NAME`, so that no number is lost."""

DEPRECATED = {
    "sameboat_request_queue_time_seconds": "sameboat_queue_seconds",
    "sameboat_time_to_first_token_seconds": "sameboat_first_token_seconds",
    "sameboat_inter_token_latency_seconds": "sameboat_inter_token_seconds",
    "sameboat_requests_rejected": "sameboat_refused_at_the_door",
    "sameboat_connections_closed": "sameboat_connections_ended",
    "sameboat_requests_aborted": "sameboat_requests_ended_early",
    "sameboat_tokens_saved": "sameboat_tokens_not_computed",
    "sameboat_answer_cache_hits": "sameboat_answers_reused",
    "sameboat_answer_cache_entries": "sameboat_kept_answers",
    "sameboat_answer_cache_bytes": "sameboat_kept_answer_bytes",
    "sameboat_prefix_cache_hits": "sameboat_prefix_hits",
    "sameboat_prefix_cache_entries": "sameboat_prefixes",
    "sameboat_prefix_cache_bytes": "sameboat_prefix_bytes",
    "sameboat_prefix_cache_restored": "sameboat_prefix_restored",
    "sameboat_prefix_cache_lost": "sameboat_prefix_lost",
    "sameboat_prefix_cache_evicted": "sameboat_prefix_evicted",
    "sameboat_prefill_tokens": "sameboat_prompt_tokens",
    "sameboat_prefill_seconds": "sameboat_prompt_seconds",
    "sameboat_decode_tokens": "sameboat_answer_tokens",
    "sameboat_decode_seconds": "sameboat_answer_seconds",
    "sameboat_requests_waiting": "sameboat_queue_requests",
    "sameboat_prompt_tokens_waiting": "sameboat_queue_tokens",
    "sameboat_requests_running": "sameboat_running",
    "sameboat_kv_cache_tokens": "sameboat_kv_tokens",
}
"""The name of 0.1 by the name of 0.2. 0.3 removes the old names."""
OLD_LABELS = {
    "sameboat_refused_at_the_door": {"reason": "kind"},
    "sameboat_connections_ended": {"reason": "kind"},
    "sameboat_requests_ended_early": {"reason": "cause"},
}
OLD_VALUES = {"client_disconnected": "left"}


class Metrics:
    """Everything that `/metrics` exports."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._histograms = {
            name: Histogram(metric, text, ["model"], buckets=SECONDS, registry=self._registry)
            for name, (metric, text) in HISTOGRAMS.items()
        }
        self._rejected = Counter(
            "sameboat_requests_rejected",
            "Requests rejected before they reached an engine, by reason. Most reasons are the type of the problem.",
            ["reason"],
            registry=self._registry,
        )
        for reason in ("full", "too-large", "client_disconnected", "host", "cross-site", "key", "rate"):
            self._rejected.labels(reason)
        self._closed = Counter(
            "sameboat_connections_closed",
            "Connections that the service closed or refused, by reason",
            ["reason"],
            registry=self._registry,
        )
        self._responses = Histogram(
            "sameboat_http_request_duration_seconds",
            "From the first byte of a request to the last one of its response, by route and class of status",
            ["route", "status"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._prompts = Histogram(
            "sameboat_prompt_duration_seconds",
            "Requests to promoted prompts that were answered, by prompt, model and finish reason",
            ["prompt", "model", "finish_reason"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._outcomes = Counter(
            "sameboat_prompt_answers",
            "Answers to promoted prompts, by prompt and outcome: usable, abstained, unusable",
            ["prompt", "outcome"],
            registry=self._registry,
        )
        self._kept = Counter(
            "sameboat_answers_kept",
            "Answers that were chosen for the comparison with the recording, by result: stored, dropped, failed",
            ["result"],
            registry=self._registry,
        )
        for result in ("stored", "dropped", "failed"):
            self._kept.labels(result)
        self._engines: Engines | None = None
        self._registry.register(self)

    def rejected(self, reason: str) -> None:
        """Count a request that was rejected before it reached a route."""
        self._rejected.labels(reason).inc()

    def responded(self, route: str, status: int, seconds: float) -> None:
        """Count a response. `route` is the path with names in place of values."""
        self._responses.labels(route, f"{status // 100}xx").observe(seconds)

    def prompt_answered(self, prompt: str, model: str, finish_reason: str, seconds: float) -> None:
        """Count an answer to a promoted prompt."""
        self._prompts.labels(prompt, model, finish_reason).observe(seconds)

    def prompt_outcome(self, prompt: str, outcome: str) -> None:
        """Count an answer to a promoted prompt: usable, abstained, unusable."""
        self._outcomes.labels(prompt, outcome).inc()

    def kept(self, result: str, count: int) -> None:
        """Count answers that were chosen for the comparison: stored, dropped, failed."""
        self._kept.labels(result).inc(count)

    def closed(self, reason: str) -> None:
        """Count a closed connection: slow, unread, idle, connections, long, upgrade, not-http."""
        self._closed.labels(reason).inc()

    def watch(self, engines: Engines) -> None:
        """Have the existing engines report their latencies."""
        for name, engine in engines.all().items():
            if isinstance(engine, ReportsLatency):
                engine.on_latency = partial(self._observe, name)

    def _observe(self, model: str, name: str, seconds: float) -> None:
        self._histograms[name].labels(model).observe(seconds)

    def latencies(self) -> dict[str, tuple[float, float]]:
        """The sum in seconds and the number of observations of each latency, over all models."""
        totals = {}
        for name, histogram in self._histograms.items():
            samples = [sample for family in histogram.collect() for sample in family.samples]
            seconds, count = (
                sum(sample.value for sample in samples if sample.name.endswith(ending)) for ending in ("_sum", "_count")
            )
            totals[name] = (seconds, count)
        return totals

    def text(self, engines: Engines) -> bytes:
        """All families in Prometheus' text format."""
        self._engines = engines
        return generate_latest(WithDeprecated(self._registry))

    def collect(self) -> Iterable[Metric]:
        """The engines' statistics and this process' memory. The registry calls it."""
        memory = GaugeMetricFamily("sameboat_http_memory_bytes", "Resident bytes of the HTTP process")
        memory.add_metric([], resources.used_bytes())
        yield memory
        if self._engines is None:
            return
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for model, engine in self._engines.all().items():
            for name, value in engine.stats().items():
                spec = STATS.get(name) or _gauge(f"engine_{name}", name.replace("_", " "))
                labels = {"model": model} | (dict([spec.label]) if spec.label else {})
                family = families.get(spec.name)
                if family is None:
                    family_type = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
                    family = families[spec.name] = family_type(spec.name, spec.help, labels=list(labels))
                family.add_metric(list(labels.values()), value)
        yield from families.values()


class WithDeprecated(Collector):
    """The families of a registry, and each replaced name with the same samples."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Each family, followed by its deprecated name if it has one."""
        for family in self._registry.collect():
            yield family
            if family.name in DEPRECATED:
                yield _deprecated(family, DEPRECATED[family.name])


def _deprecated(family: Metric, name: str) -> Metric:
    suffix = "_total" if family.type == "counter" else ""
    old = Metric(name, f"Deprecated since 0.2, use {family.name}{suffix}", family.type)
    old_names = OLD_LABELS.get(name, {})
    for sample in family.samples:
        labels = {
            old_names.get(label, label): OLD_VALUES.get(value, value) if label in old_names else value
            for label, value in sample.labels.items()
        }
        old.add_sample(name + sample.name.removeprefix(family.name), labels, sample.value)
    return old
