"""`/metrics` as Prometheus' own parser reads it: values, the families of 0.2, and their deprecated names."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.http import metrics
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

ROOT = Path(__file__).resolve().parents[2]


def families(make: Make) -> dict[str, Metric]:
    """The families by name, after some of everything has been counted."""
    engine = ScriptedEngine(lambda request: "x")
    engine.asked = [None] * 3  # type: ignore[list-item]
    engine.numbers = {name: float(number) for number, name in enumerate(metrics.STATS, 1) if name != "requests"}
    engine.numbers["unheard_of"] = 1
    app = make(engine)
    counted = app.state.service.metrics
    for reason in ("full", "key", "key", "client_disconnected"):
        counted.rejected(reason)
    counted.closed("slow")
    for name in metrics.HISTOGRAMS:
        counted._observe("starter", name, 0.3)
    text = ask(app, "GET", "/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family: Metric, label: str) -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in family.samples if not sample.name.endswith("_created")}


def test_metrics_parse_and_count(make: Make) -> None:
    by_name = families(make)
    numbers = {name: float(number) for number, name in enumerate(metrics.STATS, 1)}
    assert [sample.value for sample in by_name["sameboat_requests"].samples] == [3.0]
    saved = {"prefix": numbers["cached_tokens"], "forced": numbers["forced_tokens"], "reuse": numbers["reused_tokens"]}
    assert samples(by_name["sameboat_tokens_saved"], "cause") == saved
    aborted = samples(by_name["sameboat_requests_aborted"], "reason")
    assert aborted["cancelled"] == numbers["cancelled"]
    assert set(aborted) == {"rejected", "cancelled", "failed"}
    rejected = samples(by_name["sameboat_requests_rejected"], "reason")
    assert {reason: count for reason, count in rejected.items() if count} == {
        "full": 1, "key": 2, "client_disconnected": 1,
    }  # fmt: skip
    assert samples(by_name["sameboat_connections_closed"], "reason") == {"slow": 1}
    assert by_name["sameboat_engine_unheard_of"].type == "gauge"
    assert by_name["sameboat_http_memory_bytes"].samples[0].value > 1_000_000
    assert by_name["sameboat_time_to_first_token_seconds"].type == "histogram"


def test_a_deprecated_name_has_the_values_of_its_replacement_and_names_it(make: Make) -> None:
    by_name = families(make)
    for new, old in metrics.DEPRECATED.items():
        replacement, deprecated = by_name[new], by_name[old]
        exposed = new + ("_total" if replacement.type == "counter" else "")
        assert deprecated.documentation == f"Deprecated since 0.2, use {exposed}"
        assert deprecated.type == replacement.type
        assert replacement.samples, new
        for sample, other in zip(deprecated.samples, replacement.samples, strict=True):
            assert (sample.name.removeprefix(old), sample.value) == (other.name.removeprefix(new), other.value)
            values = {"left" if value == "client_disconnected" else value for value in other.labels.values()}
            assert set(sample.labels.values()) == values
    assert set(samples(by_name["sameboat_refused_at_the_door"], "kind")) >= {"full", "left"}
    assert set(samples(by_name["sameboat_requests_ended_early"], "cause")) == {"rejected", "cancelled", "failed"}


def test_the_stability_page_lists_each_deprecated_metric() -> None:
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    kinds = {spec.name: spec.kind for spec in metrics.STATS.values()}
    kinds |= {"sameboat_requests_rejected": "counter", "sameboat_connections_closed": "counter"}
    for new, old in metrics.DEPRECATED.items():
        suffix = "_total" if kinds.get(new) == "counter" else ""
        assert f"| `{old}{suffix}` | `{new}{suffix}` |" in page
