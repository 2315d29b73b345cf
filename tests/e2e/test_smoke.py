"""`make smoke`: a complete instance passes. One that lacks a route, or has an unchecked one, does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service import keys
from tests.e2e.conftest import STARTER, started, starter_cache

SMOKE = Path(__file__).resolve().parents[2] / ".ci" / "smoke.py"


KEY = keys.new()


def smoke(url: str, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SMOKE_TOKEN": KEY}
    return subprocess.run(
        [sys.executable, SMOKE, url, *more], capture_output=True, text=True, timeout=120, env=environment
    )


@pytest.fixture(scope="module")
def small(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a key that holds the starter alone: a larger model takes long for each of its prompts."""
    folder = tmp_path_factory.mktemp("smoke")
    guarded = {"SAMEBOAT_API_KEYS": keys.line("smoke", KEY)}
    with started(folder, SAMEBOAT_CACHE_DIR=starter_cache(starter, folder), SAMEBOAT_MODEL=STARTER, **guarded) as it:
        yield it.url


@pytest.mark.model
def test_every_route_of_a_started_service_answers(small: str) -> None:
    """The routes come from its own OpenAPI document, so a route that was added since is asked or fails here."""
    done = smoke(small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
    assert [line.split()[2] for line in done.stdout.splitlines() if " 401, " in line] == ["/v1/models"]
    for route in ("/v1/chat/completions", "/prompts/sender", "/builds/no-such-build/events", "/metrics"):
        assert route in done.stdout


@pytest.mark.model
def test_other_digests_than_expected_fail(small: str) -> None:
    """A deployment that serves other prompts than the image says is found out."""
    done = smoke(small, "--digests", json.dumps({"prompts": {"sentiment": {"prompt": "0", "lock": "0"}}}))
    assert done.returncode == 1
    assert "FAIL" in next(line for line in done.stdout.splitlines() if " digests " in line)


@pytest.fixture
def hollow() -> Iterator[str]:
    """An instance that says yes to everything, with an HTML page for an answer, and lists a route nobody knows."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = json.dumps({"paths": {"/surprise": {"get": {}}}})
            text = document if self.path == "/openapi.json" else "<html>Sameboat</html>"
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_that_says_yes_to_everything_does_not_pass(hollow: str) -> None:
    """A misrouted domain or a proxy's error page looks like this. Only `/` is right."""
    done = smoke(hollow)
    assert done.returncode == 1
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("ok", "FAIL"))]
    assert {row[2] for row in rows if row[0] == "ok"} == {"/", "/openapi.json"}
    assert ["FAIL", "GET", "/surprise"] in [row[:3] for row in rows]
