"""The serverless bundle: small, without an engine, and on a Postgres or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from service import keys
from tests.builds.harness import SECRET, brief
from tests.ports import free_port
from tests.servers.openai_server import OpenAIServer
from tests.servers.postgres import postgres

ROOT = Path(__file__).resolve().parents[2]
ANSWER = {"name": "Kenji Mori", "company": "Iris Labs", "email": "kenji.mori@example.com", "phone": "02-8923-2323"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as `make bundle` writes it, with its packages beside it, for this machine's Python."""
    folder = tmp_path_factory.mktemp("vercel") / "bundle"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "bundle.py", folder, "--python", version], capture_output=True, text=True
    )
    if done.returncode and "dns error" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def function(bundle: Path, port: int, **environment: str) -> subprocess.Popen[bytes]:
    """The entry point in a process that sees nothing of this environment but the standard library."""
    script = (
        f"import sys; sys.path[:0] = [{str(bundle)!r}, {str(bundle) + '-site'!r}]\n"
        "import importlib.util\n"
        "assert not any(map(importlib.util.find_spec, ('llama_cpp', 'llguidance', 'pytest')))\n"
        "import index, uvicorn\n"
        f"uvicorn.run(index.app, host='127.0.0.1', port={port}, log_level='warning')\n"
    )
    clean = {"PATH": os.environ["PATH"], "TMPDIR": str(bundle.parent), **environment}
    return subprocess.Popen(
        [Path(sys.base_prefix) / "bin" / "python3", "-I", "-S", "-c", script],
        cwd=bundle.parent, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextlib.contextmanager
def deployed(bundle: Path, **environment: str) -> Iterator[httpx.Client]:
    """A started function and a client for it."""
    port = free_port()
    process = function(bundle, port, **environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                assert process.poll() is None, process.communicate()[1].decode()
                with contextlib.suppress(httpx.HTTPError):
                    if client.get("/healthz").status_code == 200:
                        break
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("DATABASE_URL", "builds need a database"),
        ("SAMEBOAT_REMOTE_BASE_URL", "no engine of its own"),
        ("SAMEBOAT_API_KEYS", "A function has a public URL"),
    ],
)
def test_it_refuses_to_start_without(bundle: Path, missing: str, said: str) -> None:
    """It does not start, and names the setting: without a database briefs would be lost, without an engine nothing is
    answered, and without a key everybody could use it."""
    have = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SAMEBOAT_REMOTE_BASE_URL": "http://127.0.0.1:1/v1",
        "SAMEBOAT_API_KEYS": keys.line("tests", keys.new()),
    }
    have.pop(missing)
    process = function(bundle, free_port(), **have)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "sameboat: cannot start: " in error
    assert said in error
    assert f"Set {missing}" in error
    assert "Traceback" not in error


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database."""
    with postgres() as server:
        yield server.database()


def test_it_proxies_prompts_and_enqueues_briefs(bundle: Path, database: str) -> None:
    """The remote engine answers a prompt. A brief is in Postgres before the 200, and the function does not build it."""
    key = keys.new()
    with OpenAIServer(reply=json.dumps(ANSWER)) as remote:
        environment = {
            "DATABASE_URL": database,
            "SAMEBOAT_REMOTE_BASE_URL": remote.base_url,
            "SAMEBOAT_REMOTE_MODEL": "scripted",
            "SAMEBOAT_UNPROMOTED_ENGINES": "allow",
            "SAMEBOAT_SECRET": SECRET,
            "SAMEBOAT_API_KEYS": keys.line("tests", key),
        }
        with deployed(bundle, **environment) as client:
            asked = {"inputs": {"text": "Kenji Mori, Iris Labs"}}
            assert client.post("/prompts/extract-contact", json=asked).status_code == 401
            client.headers["authorization"] = f"Bearer {key}"
            assert "<html" in client.get("/").text
            answer = client.post("/prompts/extract-contact", json=asked)
            assert answer.status_code == 200, answer.text
            assert answer.json()["value"]["name"] == "Kenji Mori"
            assert len(remote.asked) == 1
            posted = client.post("/api-endpoint", json=brief("https://example.com/notify"))
            assert posted.status_code == 200, posted.text
            build = posted.json()["job_id"]
            assert client.get(f"/builds/{build}").json()["status"] == "accepted"
            stranger = brief("https://example.com/notify", secret="x")
            assert client.post("/api-endpoint", json=stranger).status_code == 403
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT workflow_uuid, status FROM dbos.workflow_status").fetchall()
    assert rows == [(build, "ENQUEUED")]
