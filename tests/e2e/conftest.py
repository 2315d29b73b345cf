"""A started service, as a person starts it, for the tests that use it from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.drill_load import workers
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SAMEBOAT = Path(sys.executable).parent / "sameboat"
STARTER = "smollm2-135m-instruct"


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a state. The limit ends a test that would hang."""
    end = time.monotonic() + 120
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"did not happen: {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Started:
    """A running `sameboat serve`."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def numbers(self) -> Counter[str]:
        """`/metrics` over all models: samples by name, and by `name.cause` where they have one."""
        return numbers(self.url)

    def workers(self) -> list[int]:
        """Process ids of its engines."""
        return workers(self.process.pid)

    def terminate(self) -> int:
        """Send SIGTERM. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def numbers(url: str) -> Counter[str]:
    """See `Started.numbers`."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=30).text):
        for sample in family.samples:
            name = sample.name.removeprefix("sameboat_").removesuffix("_total")
            cause = sample.labels.get("cause")
            found[f"{name}.{cause}" if cause else name] += sample.value  # type: ignore[assignment]
    return found


@contextlib.contextmanager
def started(
    folder: Path, *, command: tuple[Path | str, ...] = (SAMEBOAT, "serve"), probe: str = "/readyz", **environment: str
) -> Iterator[Started]:
    """`sameboat serve` on a free port, after `probe` is answered with 200. Its log is in `folder`.

    Afterwards it gets SIGTERM, if it still runs, and must exit with 0.
    """
    port = free_port()
    log = folder / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            list(command), cwd=ROOT, env={**os.environ, "SAMEBOAT_PORT": str(port), **environment}, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    it = Started(f"http://127.0.0.1:{port}", process, log)

    def answers() -> bool:
        if process.poll() is not None:
            pytest.fail(f"sameboat serve ended with {process.returncode}:\n{log.read_text()}")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{it.url}{probe}", timeout=5).status_code == 200
        return False

    try:
        until(answers, f"{probe} of sameboat serve answers with 200")
        yield it
    finally:
        code = process.poll() if process.poll() is not None else it.terminate()
    assert code == 0, log.read_text()


@pytest.fixture(scope="session")
def server(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with the defaults."""
    with started(tmp_path_factory.mktemp("serve"), SAMEBOAT_MODEL=STARTER) as it:
        yield it.url


def starter_cache(starter: Path, folder: Path) -> str:
    """A cache that holds the starter model and nothing else: a service has one engine then."""
    models = folder / "cache" / starter.parent.name
    models.mkdir(parents=True)
    (models / starter.name).symlink_to(starter)
    return str(folder / "cache")


@pytest.fixture
def alone(starter: Path, tmp_path: Path) -> Iterator[Started]:
    """A service with one engine, four places, and a short grace."""
    more = {"SAMEBOAT_PARALLEL": "4", "SAMEBOAT_CONTEXT": "1024", "SAMEBOAT_SHUTDOWN_GRACE_S": "3"}
    with started(tmp_path, SAMEBOAT_CACHE_DIR=starter_cache(starter, tmp_path), SAMEBOAT_MODEL=STARTER, **more) as it:
        yield it
