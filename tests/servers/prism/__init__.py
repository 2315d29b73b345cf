"""Prism, Stoplight's mock server, around a cut of GitHub's OpenAPI: an independent second judge of our requests.

`package.json` and its lock pin it. npm installs it into `.sameboat/npm/prism`. It is stateless, so it gets
recorded requests one by one.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.servers import npm

HERE = Path(__file__).resolve().parent


def program() -> Path:
    """Prism's script. Skips the test where it cannot be had."""
    return npm.installed(HERE, "prism") / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


@contextlib.contextmanager
def prism(document: Path, log: Path) -> Iterator[httpx.Client]:
    """Prism on a port, as a client for it."""
    script = program()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["node", str(script), "mock", "--errors", "-h", "127.0.0.1", "-p", str(port), str(document)]
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(1200):
                if process.poll() is not None:
                    break
                with contextlib.suppress(httpx.ConnectError):
                    client.get("/user")
                    break
                time.sleep(0.1)
            assert process.poll() is None, log.read_text()[-2000:]
            yield client
    finally:
        process.terminate()
        process.wait(30)
