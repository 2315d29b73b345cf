"""A real Prometheus reads a running service, knows the alert rules, and answers every query of the dashboard."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.conftest import Make, serving, until
from tests.http.conftest import make as make  # the fixture
from tests.ports import free_port
from tests.scripted import ScriptedEngine
from tests.test_monitoring import RULES, queries, rules

FOLDER = RULES.parent
pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="Prometheus is not installed: apt-get install prometheus",
)
COUNTED = {
    "requests": 9.0, "rejected": 0.0, "queue_wait_s": 0.5, "queue_requests": 1.0, "running": 1.0, "restarts": 0.0,
    "retries": 0.0, "prompt_tokens": 50.0, "prompt_seconds": 1.0, "answer_tokens": 50.0, "answer_seconds": 2.0,
    "cached_tokens": 5.0, "worker_rss_bytes": 1e6, "prefix_bytes": 1e3,
}  # fmt: skip


def test_the_rules_are_valid_and_their_unit_tests_pass() -> None:
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """A Prometheus with the configuration of `deploy/`, which reads this service each three seconds."""
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:7860", target).replace("15s", "3s").replace("alerts.yml", str(RULES))
    (folder / "prometheus.yml").write_text(text)
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
    answer = client.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", (query, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def test_a_prometheus_reads_a_service_and_answers_the_dashboard(make: Make, tmp_path: Path) -> None:
    """Every query has a value if its metrics move. Those that need a worker or abstentions have at least no error."""
    engine = ScriptedEngine(lambda request: "hello")
    engine.numbers = dict(COUNTED)
    with (
        serving(make(engine, keep_share=1.0, state_dir=tmp_path / "state")) as url,
        prometheus(tmp_path, url.removeprefix("http://")) as client,
        httpx.Client(base_url=url) as service,
    ):
        ends = time.monotonic() + 120
        quiet = {"Answers by outcome A", *(f"Time to the first token (95 %) {letter}" for letter in "AB")}
        quiet |= {"Time between tokens (95 %) A"}
        while time.monotonic() < ends:
            service.post("/prompts/greet", json={"inputs": {"name": "Bo"}})
            service.get("/no-such-route")
            engine.numbers = {
                name: value + (name not in ("rejected", "restarts")) for name, value in engine.numbers.items()
            }
            asked = {
                name: text.replace("$__rate_interval", "30s").replace('instance=~"$instance"', 'instance=~".*"')
                for name, text in queries().items()
            }
            empty = {name for name, text in asked.items() if not result(client, text)} - quiet
            if not empty:
                break
            time.sleep(1)
        assert empty == set(), client.get("/api/v1/targets").text
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        told = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert told == {rule["alert"]: "ok" for rule in rules()}
