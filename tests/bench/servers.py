"""Servers that are measured in turn: all are started once, and the ones that wait are stopped with SIGSTOP.

In: a peer's name (`peers.py`), a model, sizes. Out: a base URL, the process tree's memory and processor time.
Not here: their settings (`peers.py`), the requests (`workloads.py`).

A start takes vLLM minutes, so it is not in the rounds. A stopped server takes memory and no processor time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench.peers import OURS, ROOT, VERSION, Command, Sizes, Target, command, workshop
from tests.ports import free_port

__all__ = ["OURS", "ROOT", "VERSION", "Running", "Sizes", "Target", "busy", "free_port", "launch", "serve", "workshop"]
START_S = 900  # vLLM compiles its model at each start


@dataclass(frozen=True)
class Running:
    """A server that answers. `pid` is the root of its process tree. `started_s`: from spawn to ready."""

    name: str
    api: str
    url: str
    pid: int
    started_s: float

    def memory(self) -> dict[tuple[str, int], float]:
        """Resident and proportional set size of the whole process tree. In the second one shared pages count once."""
        found = {("memory RSS MiB", 0): 0.0, ("memory PSS MiB", 0): 0.0}
        for pid in tree(self.pid):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    metric = f"memory {line[:3].upper()} MiB", 0
                    if metric in found and line[3] == ":":
                        found[metric] += int(line.split()[1]) / 1024
        return found

    def stop(self) -> None:
        """Stops all of its processes until `running`."""
        self._tell(signal.SIGSTOP)

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Lets the stopped server go on, and stops it again."""
        self._tell(signal.SIGCONT)
        try:
            yield self
        finally:
            self.stop()

    def _tell(self, number: signal.Signals) -> None:
        for pid in tree(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def tree(root: int) -> list[int]:
    """A process and all of its descendants."""
    pids, found = [root], []
    while pids:
        pid = pids.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextlib.contextmanager
def launch(name: str, target: Target, sizes: Sizes) -> Iterator[tuple[str, subprocess.Popen[bytes], Command]]:
    """Start a server and end it afterwards. Gives the URL and the process at once.

    Raises:
        Missing: if it is not installed.
    """
    port = free_port()
    started = command(name, target, port, sizes)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **started.environment}
    log = workshop() / f"{name.replace('/', '-').replace(':', '-')}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            started.words, env=environment, stdout=file, stderr=file, cwd=ROOT, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{port}", process, started
        finally:
            pids = tree(process.pid)
            for number in (signal.SIGCONT, signal.SIGTERM):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def serve(name: str, target: Target, sizes: Sizes) -> Iterator[Running]:
    """`launch`, and wait until it is ready.

    Raises:
        Missing: if it is not installed.
        RuntimeError: if it does not get ready.
    """
    began = time.perf_counter()
    with launch(name, target, sizes) as (url, process, started), httpx.Client(base_url=url, timeout=2) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(started.probe).status_code == 200:
                    break
            if process.poll() is not None or time.perf_counter() > began + START_S:
                raise RuntimeError(f"it did not start, see the log in {workshop().name}/")
            time.sleep(0.1)
        yield Running(name, started.api, url, process.pid, time.perf_counter() - began)


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Another process that wants a whole core, as a compiler or a browser does."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
