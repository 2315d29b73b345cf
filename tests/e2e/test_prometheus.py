"""A real Prometheus reads the alert rules, runs their unit tests, and parses every query of the dashboard."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_monitoring import RULES, queries

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Prometheus is not installed: apt-get install prometheus"
)


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid_and_their_unit_tests_pass() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_every_query_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    """As rules, because promtool parses those without a server."""
    lines = ["groups:", "  - name: dashboard", "    rules:"]
    for number, query in enumerate(queries().values()):
        text = query.replace("$__rate_interval", "1m")
        lines += [f"      - record: dashboard:{number}", f"        expr: >-\n          {text}"]
    path = tmp_path / "dashboard.yml"
    path.write_text("\n".join(lines) + "\n")
    promtool("check", "rules", str(path))
