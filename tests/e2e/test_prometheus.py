"""A real Prometheus: the alert rules and their unit tests, and every query of the dashboard on a running service."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.types import Answer, Chunk, Request
from tests.http.conftest import Make, serving, until
from tests.http.conftest import make as make  # the fixture
from tests.ports import free_port
from tests.scripted import ScriptedEngine
from tests.test_monitoring import RULES, queries, rules

FOLDER = RULES.parent
SCRAPE_S, LIMIT_S = 2, 150.0
COUNTERS = (
    "requests", "restarts", "retries", "prompt_tokens", "prompt_seconds", "answer_tokens", "answer_seconds",
    "cached_tokens", "rejected",
)  # fmt: skip
GAUGES = ("queue_wait_s", "queue_requests", "running", "worker_rss_bytes", "prefix_bytes")

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="Prometheus is not installed: apt-get install prometheus",
)


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid_and_their_unit_tests_pass() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


class Moving(ScriptedEngine):
    """Every statistic and latency moves with each request."""

    def __init__(self) -> None:
        super().__init__(lambda request: "hello")
        self.on_latency: Callable[[str, float], None] = lambda name, seconds: None
        self.numbers = dict.fromkeys((*COUNTERS, *GAUGES), 1.0)

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        for name in ("queue_s", "first_token_s", "inter_token_s"):
            self.on_latency(name, 0.02)
        self.numbers |= {name: self.numbers[name] + 1 for name in COUNTERS}
        async for part in super().stream(request):
            yield part


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """A Prometheus with the configuration of `deploy/`, which reads this service more often."""
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:7860", target).replace("15s", f"{SCRAPE_S}s").replace("alerts.yml", str(RULES))
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    port = free_port()
    words = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            until(lambda: ready(client), "Prometheus is ready")
            yield client
    finally:
        process.terminate()
        process.wait(60)


def ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/-/ready").status_code == 200
    return False


def result(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series of a query of the dashboard, with the values that Grafana would put in."""
    text = query.replace("$__rate_interval", "1m").replace('instance=~"$instance"', 'instance=~".*"')
    answer = client.get("/api/v1/query", params={"query": text}).json()
    assert answer["status"] == "success", (query, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def test_a_prometheus_reads_a_service_and_every_panel_of_the_dashboard_has_data(make: Make, tmp_path: Path) -> None:
    """Answers without the schema's form are unusable, and their responses are 5xx."""
    empty, told = set(queries()), {}
    with (
        serving(make(Moving(), keep_share=1.0, state_dir=tmp_path / "state")) as url,
        prometheus(tmp_path, url.removeprefix("http://")) as client,
        httpx.Client(base_url=url, timeout=30) as service,
    ):
        ends = time.monotonic() + LIMIT_S
        while empty and time.monotonic() < ends:
            service.post("/prompts/greet", json={"inputs": {"name": "Bo"}})
            service.post("/prompts/person", json={"inputs": {"text": "Bo"}})
            service.post("/prompts/greet", headers={"host": "elsewhere.example"})  # refused before a route
            told = {name: result(client, text) for name, text in queries().items()}
            empty = {name for name, series in told.items() if not series}
            time.sleep(SCRAPE_S / 2)
        assert empty == set(), client.get("/api/v1/targets").text
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
    assert {rule["name"]: rule["health"] for group in groups for rule in group["rules"]} == {
        rule["alert"]: "ok" for rule in rules()
    }
    outcomes = {series["metric"]["prompt"]: series["metric"]["outcome"] for series in told["Answers by outcome A"]}
    assert outcomes == {"person": "unusable"}
    values = [float(series["value"][1]) for series in told["Time of a prompt (median and 95 %) B"]]
    assert values, values
    assert all(0 < value < 60 for value in values)
