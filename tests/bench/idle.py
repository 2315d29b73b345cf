"""`make bench-idle`: the CPU time of services that have nothing to do, each with its whole process tree.

    python -m tests.bench.idle [--seconds 60] [--settle 30] [--write docs/builds.md]

All services run at the same time, because idle ones do not disturb each other. Each has the starter model, which was
asked once. Writes the table between the marks of docs/builds.md. Only on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench import servers
from tests.ports import free_port
from tests.servers.postgres import postgres

SECRET = "a-secret-of-32-characters-000000"  # pragma: allowlist secret
BEGIN, END = "<!-- idle: made by make bench-idle -->", "<!-- end -->"
TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = 0.5  # per cent of a core


def cpu_s(root: int) -> float:
    """The CPU time of a process and its descendants, with those that have ended."""
    total = 0
    for pid in servers.tree(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def starter_cache(folder: Path) -> str:
    """A cache with the starter alone, so that each service loads one model. Raises SystemExit if it is not fetched."""
    catalog = Catalog.load(servers.ROOT / "data" / "models.toml")
    path = Cache(settings_module.load().cache_dir).find(catalog[catalog.default])
    if path is None:
        raise SystemExit("bench-idle: the starter model is not in the cache. Run: make models")
    models = folder / "cache" / path.parent.name
    models.mkdir(parents=True)
    (models / path.name).symlink_to(path)
    return str(folder / "cache")


@contextlib.contextmanager
def service(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a started service."""
    port, log = free_port(), folder / "serve.log"
    settings = {
        "SAMEBOAT_PORT": str(port),
        "SAMEBOAT_PAGES_PORT": str(free_port()),
        "SAMEBOAT_STATE_DIR": str(folder / "state"),
        "SAMEBOAT_CACHE_DIR": starter_cache(folder),
    }
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "sameboat", "serve"], env={**os.environ, **settings, **environment},
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_ready(url: str) -> None:
    """Returns when the service is ready. Raises SystemExit after two minutes."""
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"bench-idle: {url} is not ready")


def measure(settle_s: float, seconds: float) -> dict[str, float]:
    """Per cent of a core, by the name of the service."""
    builds = {"SAMEBOAT_SECRET": SECRET}
    with contextlib.ExitStack() as stack:
        database = {"DATABASE_URL": stack.enter_context(postgres()).database()}
        services = {
            "no builds": {},
            "builds on SQLite": builds,
            "builds on Postgres": {**builds, **database},
            "no builds, and a database of kept answers": {"SAMEBOAT_KEEP_SHARE": "1", **database},
        }
        started = {}
        for name, environment in services.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sameboat-idle-")))
            started[name] = stack.enter_context(service(folder, environment))
        for url, _ in started.values():
            wait_ready(url)
            body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).raise_for_status()
        time.sleep(settle_s)
        before = {name: (cpu_s(pid), time.monotonic()) for name, (_, pid) in started.items()}
        time.sleep(seconds)
        return {
            name: 100 * (cpu_s(pid) - before[name][0]) / (time.monotonic() - before[name][1])
            for name, (_, pid) in started.items()
        }


def table(shares: dict[str, float], seconds: float) -> str:
    """The lines of the docs."""
    day = datetime.datetime.now(datetime.UTC).date()
    return "\n".join([
        "| an idle service, its whole process tree | of a core |",
        "|---|--:|",
        *[f"| {name} | {share:.2f} % |" for name, share in shares.items()],
        "",
        f"Each has the starter model and was asked once. {seconds:.0f} s on {os.cpu_count()} cores, {day}.",
    ])  # fmt: skip


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=30)
    parser.add_argument("--write", type=Path, default=servers.ROOT / "docs" / "builds.md")
    given = parser.parse_args()
    shares = measure(given.settle, given.seconds)
    text = table(shares, given.seconds)
    sys.stdout.write(text + "\n")
    page = given.write.read_text(encoding="utf-8")
    head, found, rest = page.partition(BEGIN)
    if not found:
        raise SystemExit(f"bench-idle: {given.write.name} has no line {BEGIN}")
    given.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    raise SystemExit(0 if max(shares.values()) < LIMIT else 1)


if __name__ == "__main__":
    main()
