"""The alert rules and the dashboard ask for metrics that the service exports, and each alert is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from ruamel.yaml import YAML

from service.http.metrics import DEPRECATED, STATS, Metrics

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "sameboat.json"


def rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]


def queries() -> dict[str, str]:
    """Every query of the dashboard, by its panel and letter."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel["targets"]}


def exported() -> set[str]:
    """The names of all samples, as Prometheus stores them."""
    families: list[Metric] = list(Metrics()._registry.collect())
    names = {spec.name + ("_total" if spec.kind == "counter" else "") for spec in STATS.values()}
    for family in families:
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {family.name + ending for ending in endings}
    return names


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bsameboat_\w+", expression))


def test_every_query_asks_for_metrics_that_the_service_exports() -> None:
    expressions = {**{rule["alert"]: rule["expr"] for rule in rules()}, **queries()}
    assert len(expressions) > 25
    unknown = {name: asked(text) - exported() for name, text in expressions.items() if asked(text) - exported()}
    assert unknown == {}
    old = {name for text in expressions.values() for name in asked(text)} & set(DEPRECATED.values())
    assert old == set()


def test_every_alert_has_a_severity_two_sentences_and_a_line_in_the_docs() -> None:
    docs = (ROOT / "docs" / "operating.md").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert f"`{rule['alert']}`" in docs, rule["alert"]


def test_every_alert_fires_in_a_unit_test() -> None:
    """`promtool` runs them where it is installed (`e2e/test_prometheus.py`)."""
    tested = RULES.with_name("alerts_test.yml").read_text()
    assert [rule["alert"] for rule in rules() if f'alertname="{rule["alert"]}"' not in tested] == []
