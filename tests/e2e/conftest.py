"""A started service, as a person starts it, for the tests that use it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMEBOAT = Path(sys.executable).parent / "sameboat"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`sameboat serve` on a free port; the URL, once `/readyz` says so."""
    port = free_port()
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = {**os.environ, "SAMEBOAT_PORT": str(port), "SAMEBOAT_MODEL": "smollm2-135m-instruct"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [SAMEBOAT, "serve"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        if process.poll() is not None:
            pytest.fail(f"sameboat serve ended with {process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()  # uvicorn raises the signal again when it is done
