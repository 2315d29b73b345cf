"""Weigh and time images, ours and llama-server: `python -m tests.containers.measure MODEL.gguf [ROUNDS]`.

The peer is llama.cpp's own server, compiled from the same commit with the same flags by `make bench`, on the same base
image. No nearer peer can be built without a registry. Both get two CPUs, the same file and one request of eight greedy
tokens. Rounds alternate. Nothing is asserted. The table goes into docs/delivery.md.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench.servers import VERSION, workshop
from tests.containers.engine import docker

PEER = """ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 libstdc++6 && rm -rf /var/lib/apt/lists/*
COPY bin /opt/llama
ENV LD_LIBRARY_PATH=/opt/llama
ENTRYPOINT ["/opt/llama/llama-server", "--host", "0.0.0.0", "--port", "7860"]
"""
MEMORY = "cat /sys/fs/cgroup/memory.stat 2>/dev/null || cat /sys/fs/cgroup/memory/memory.stat"  # of version 2, or 1


def peer() -> str:
    """The peer's image."""
    built = workshop() / f"llama-server-{VERSION}"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(built / "bin", Path(folder) / "context" / "bin", symlinks=True)
        (Path(folder) / "context" / "Dockerfile").write_text(PEER)
        base = os.environ.get("PYTHON_IMAGE", "python:3.12-slim-bookworm")
        docker("build", "--tag", "llama-server:local", "--build-arg", f"PYTHON_IMAGE={base}", f"{folder}/context")
    return "llama-server:local"


def first(url: str, body: dict[str, object] | None = None, until_s: float = 120.0) -> None:
    """Wait for the first 200, or with a body for the first bytes of its stream."""
    ends = time.monotonic() + until_s
    data = None if body is None else json.dumps(body).encode()
    while time.monotonic() < ends:
        try:
            request = urllib.request.Request(url, data, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                while line := answer.readline():
                    if body is None or b'"content"' in line:
                        return
        except OSError:
            time.sleep(0.01)
    raise AssertionError(f"{url} never answered")


def once(image: str, options: list[str], command: list[str], ready: str) -> dict[str, float]:
    """Start, wait, ask, weigh: seconds and MiB."""
    began = time.monotonic()
    name = docker("run", "--detach", "--cpus", "2", "--publish", "127.0.0.1::7860", *options, image, *command).strip()
    try:
        address = docker("port", name, "7860/tcp").split()[0]
        first(f"http://{address}{ready}")
        up = time.monotonic()
        body = {
            "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0, "stream": True,
        }  # fmt: skip
        first(f"http://{address}/v1/chat/completions", body)
        token = time.monotonic()
        told = dict(line.split() for line in docker("exec", name, "sh", "-c", MEMORY).splitlines())
        rss = int(told["anon"] if "anon" in told else told["total_rss"])
        return {"ready_s": up - began, "first_token_s": token - up, "memory_mib": rss / 2**20}
    finally:
        docker("rm", "--force", "--volumes", name)


def main(model: Path, rounds: int) -> None:
    """The table, in Markdown."""
    file = f"/cache/models/{model.name}"
    alone = Path(tempfile.mkdtemp(prefix="sameboat-measure-"))  # else ours would load every model that prompts name
    (alone / "models").mkdir()
    shutil.copy2(model, alone / "models")
    alone.chmod(0o755)
    mount = ["--volume", f"{alone}:/cache:ro", "--read-only", "--tmpfs", "/tmp"]
    ours = ("sameboat:local", [*mount, "--env", "SAMEBOAT_OPEN=true"], ["serve"], "/readyz")
    theirs = (peer(), mount, ["-m", file, "-c", "16384", "-np", "8", "-t", "2"], "/health")
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for image, options, command, ready in (ours, theirs):
            found.setdefault(image, []).append(once(image, options, command, ready))
    print(
        "| image | size | `docker run` to ready | first token after that | memory (anonymous) |\n|---|---|---|---|---|"
    )
    for image, rows in found.items():
        size = int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(
            f"| {image} | {size:.0f} MB | {middle['ready_s']:.2f} s | {middle['first_token_s'] * 1000:.0f} ms "
            f"| {middle['memory_mib']:.0f} MiB |"
        )
    shutil.rmtree(alone)
    version = [_version() for _ in range(rounds)]
    print(f"\n`docker run sameboat:local --version`: {statistics.median(version):.2f} s, container start included")


def _version() -> float:
    began = time.monotonic()
    subprocess.run(["docker", "run", "--rm", "sameboat:local", "--version"], check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
