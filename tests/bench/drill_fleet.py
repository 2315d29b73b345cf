"""`make drill-fleet`: 1,000 clients before a balancer, two `api` and one engine, while these are killed and come back.

    python -m tests.bench.drill_fleet [--clients 1000] [--seconds 90]

It must show: no request hangs, every answer is right, every refusal has `Retry-After`, only a kill cuts an answer in
its middle, and a process that drains loses nothing. HAProxy has the configuration of `deploy/balancer`. The engine is
a stand-in, so that every right answer is known. Clients are a closed loop with pauses. Bounded in clients and in time,
and only on 127.0.0.1. Writes docs/fleet.md, and exits with 1 when something was not shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import casefile
from tests.bench import servers
from tests.bench.standin_engine import MODEL, label
from tests.ports import free_port

PROMPT = """
name: colour
messages:
  - {role: user, content: "Which colour has item {{item}}?"}
testDataFile: cases.jsonl
evaluators:
  - {name: label, string: {equals: "{{expected}}"}}
"""
REFUSALS = {429, 502, 503, 504}
HANGS_S = 60.0
CUT, CUT_S = "cut in its middle", 5.0  # an answer, and how long after a kill its end may come
PAUSE_S = 60.0  # of a client between two requests, at most
BIN = Path(sys.executable).parent


@dataclass
class FleetResult:
    """The counts of a run."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    drained: Counter[str] = field(default_factory=Counter)
    """Outcomes while a process drained, when nothing else was down."""
    killed_at: list[float] = field(default_factory=list)
    cut_at: list[float] = field(default_factory=list)
    """The moments at which an `api` was killed, and an answer ended in its middle."""
    phase: str = "before"


class Process:
    """One process of the fleet, started by its command as often as it is killed."""

    def __init__(self, log: Path, command: list[str], environment: dict[str, str], ready: str) -> None:
        self.log, self.command, self.environment, self.ready = log, command, environment, ready
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdout=file, stderr=subprocess.STDOUT
            )

    def wait_ready(self) -> None:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.ready, timeout=5).status_code == 200:
                    return
            time.sleep(0.2)
        said = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"drill-fleet: {self.command[0]} is not ready:\n{said}")

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(90)


@contextlib.contextmanager
def fleet(folder: Path) -> Iterator[tuple[str, list[Process], Process]]:
    """The balancer's URL, the two `api` and the engine."""
    engine_port, balancer_port = free_port(), free_port()
    engine_url = f"http://127.0.0.1:{engine_port}/v1"
    engine = Process(
        folder / "engine.log", [sys.executable, "-m", "tests.bench.standin_engine", str(engine_port)], {},
        f"{engine_url}/models",
    )  # fmt: skip
    engine.start()
    engine.wait_ready()
    shared = {
        "SAMEBOAT_ENGINE": "remote",
        "SAMEBOAT_REMOTE_BASE_URL": engine_url,
        "SAMEBOAT_MODEL": MODEL,
        "SAMEBOAT_REMOTE_CONCURRENCY": "64",
        "SAMEBOAT_REMOTE_TIMEOUT_S": "20",
        "SAMEBOAT_DATA_DIR": str(folder / "data"),
        "SAMEBOAT_STATE_DIR": str(folder / "state"),
        "SAMEBOAT_CONNECTIONS": "2048",
        "SAMEBOAT_REQUESTS_PER_MINUTE": "0",
        "SAMEBOAT_TOKENS_PER_MINUTE": "0",
        "SAMEBOAT_REQUEST_DEADLINE_S": "30",
        "SAMEBOAT_ACCESS_LOG": "false",
    }
    target = folder / "data" / "prompts" / "colour"
    target.mkdir(parents=True)
    shutil.copy(servers.ROOT / "data" / "models.toml", folder / "data")
    casefile.write(target / "cases.jsonl", [{"id": f"c{n}", "item": str(n), "expected": label(n)} for n in range(60)])
    draft = folder / "colour.prompt.yml"
    draft.write_text(PROMPT + f"model: {MODEL}\n", encoding="utf-8")
    subprocess.run([BIN / "sameboat", "promote", str(draft)], env={**os.environ, **shared}, check=True, timeout=120,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    ports = [free_port(), free_port()]
    apis = [
        Process(
            folder / f"api-{port}.log", [str(BIN / "sameboat"), "serve"],
            {**shared, "SAMEBOAT_PORT": str(port), "SAMEBOAT_STATE_DIR": str(folder / f"state-{port}")},
            f"http://127.0.0.1:{port}/readyz",
        )
        for port in ports
    ]  # fmt: skip
    configuration = (servers.ROOT / "deploy" / "balancer" / "haproxy.cfg").read_text(encoding="utf-8")
    head, _, _ = configuration.partition("    server-template")
    named = "".join(f"    server {name} 127.0.0.1:{port}\n" for name, port in zip("ab", ports, strict=True))
    (folder / "haproxy.cfg").write_text(head + named, encoding="utf-8")
    balancer = Process(
        folder / "haproxy.log", [str(shutil.which("haproxy")), "-W", "-db", "-f", str(folder / "haproxy.cfg")],
        {"BALANCER_ADDRESS": f"127.0.0.1:{balancer_port}", "BALANCER_CONNECTIONS": "4096", "API_NAME": "localhost"},
        f"http://127.0.0.1:{balancer_port}/readyz",
    )  # fmt: skip
    try:
        for process in [*apis, balancer]:
            process.start()
        for process in [*apis, balancer]:
            process.wait_ready()
        yield f"http://127.0.0.1:{balancer_port}", apis, engine
    finally:
        for process in [balancer, *apis, engine]:
            if process.process is not None and process.process.poll() is None:
                process.end(signal.SIGTERM)


async def client(url: str, number: int, ends: float, http: httpx.AsyncClient, result: FleetResult) -> None:
    """One client: asks, checks the answer or the refusal, and pauses."""
    random_ = random.Random(number)
    await asyncio.sleep(random_.uniform(0, PAUSE_S))
    while time.monotonic() < ends:
        item = random_.randrange(1_000_000)
        began, during = time.monotonic(), result.phase
        pause = random_.uniform(0, PAUSE_S)
        begun = False
        try:
            async with http.stream("POST", f"{url}/prompts/colour", json={"inputs": {"item": str(item)}}) as response:
                begun = True
                await response.aread()
        except httpx.TimeoutException:
            outcome = "hung"
        except httpx.HTTPError as error:
            outcome = CUT if begun else f"no answer of the balancer: {type(error).__name__}"
            result.cut_at += [time.monotonic()] if begun else []
        else:
            if response.status_code == 200:
                outcome = "right" if response.json()["text"] == label(item) else "wrong"
                result.seconds.append(time.monotonic() - began)
            elif response.status_code in REFUSALS:
                told = response.headers.get("retry-after", "")
                outcome = f"refused {response.status_code}" if told.isdigit() else "refused without Retry-After"
                pause += float(told) if told.isdigit() else 0.0
            else:
                outcome = f"status {response.status_code}"
        result.outcomes[outcome] += 1
        result.waits.append(time.monotonic() - began)
        if during == result.phase == "draining":
            result.drained[outcome] += 1
        await asyncio.sleep(pause)


async def events(apis: list[Process], engine: Process, seconds: float, result: FleetResult) -> None:
    """An `api` is killed and comes back, then the engine, then the other `api` drains and comes back."""

    async def at(share: float) -> None:
        await asyncio.sleep(max(0.0, began + share * seconds - time.monotonic()))

    began = time.monotonic()
    await at(0.2)
    result.killed_at.append(time.monotonic())
    await asyncio.to_thread(apis[0].end, signal.SIGKILL)
    await at(0.3)
    apis[0].start()
    await at(0.45)
    await asyncio.to_thread(engine.end, signal.SIGKILL)
    await at(0.55)
    engine.start()
    await at(0.75)
    await asyncio.to_thread(apis[0].wait_ready)
    await asyncio.sleep(2)
    result.phase = "draining"
    await asyncio.to_thread(apis[1].end, signal.SIGTERM)
    await asyncio.sleep(2)
    result.phase = "after"
    apis[1].start()


async def run(clients: int, seconds: float) -> FleetResult:
    """The drill."""
    result = FleetResult()
    with tempfile.TemporaryDirectory(prefix="sameboat-fleet-") as folder, fleet(Path(folder)) as (url, apis, engine):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
        async with httpx.AsyncClient(timeout=HANGS_S, limits=limits) as http:
            ends = time.monotonic() + seconds
            asking = [client(url, number, ends, http, result) for number in range(clients)]
            await asyncio.gather(events(apis, engine, seconds, result), *asking)
    return result


def page(result: FleetResult, clients: int, seconds: float) -> tuple[str, bool]:
    """The page of the docs, and whether everything was shown."""
    counts = result.outcomes
    wrong = {name: n for name, n in counts.items() if name not in ("right", CUT) and not name.startswith("refused ")}
    wrong |= {name: n for name, n in counts.items() if name == "refused without Retry-After"}
    refused = sum(n for name, n in counts.items() if name.startswith("refused ") and name not in wrong)
    quantiles = statistics.quantiles(result.seconds, n=100)
    lost = {name: n for name, n in result.drained.items() if name != "right"}
    meanwhile = f"{result.drained['right']} right meanwhile, {sum(lost.values())} lost"
    by_kill = [any(0 <= cut - kill < CUT_S for kill in result.killed_at) for cut in result.cut_at]
    cut = f"{len(by_kill)} cut, {sum(by_kill)} of them by a kill" if by_kill else "none was cut"
    claims = [
        ("nothing hangs", not counts["hung"], f"longest wait {max(result.waits):.1f} s"),
        ("each answer is right", not counts["wrong"], f"{counts['right']} right, {counts['wrong']} wrong"),
        ("each refusal has Retry-After", not counts["refused without Retry-After"], f"{refused} refused with it"),
        ("nothing else goes wrong", not wrong, ", ".join(f"{name}: {n}" for name, n in sorted(wrong.items())) or "0"),
        ("only a kill cuts an answer in its middle", all(by_kill), cut),
        ("a process that drains loses nothing", not lost, meanwhile),
    ]
    day = datetime.datetime.now(datetime.UTC).date()
    p50, p99 = (1000 * quantiles[at] for at in (49, 98))
    lines = [
        "# Two processes and one engine",
        "",
        f"{clients} clients for {seconds:.0f} s before HAProxy (`deploy/balancer`), two `api` without a model, and one "
        "engine, a stand-in with known answers that takes 50 ms. One `api` is killed (-9) and comes back, then the "
        "engine, then the other `api` drains (SIGTERM) and comes back. Clients and services share "
        f"{os.cpu_count()} cores. {day}. Made by `make drill-fleet`.",
        "",
        "| claim | holds | figures |",
        "|---|---|---|",
        *[f"| {name} | {'yes' if holds else '**no**'} | {figures} |" for name, holds, figures in claims],
        f"| time of an answer | | p50 {p50:.0f} ms, p99 {p99:.0f} ms, largest {max(result.seconds):.1f} s |",
        "",
        "| outcome of a request | count |",
        "|---|--:|",
        *[f"| {name} | {n} |" for name, n in counts.most_common()],
        "",
        "If a process is killed before the first byte of an answer, the request is tried at the other one. No status "
        "can follow the first byte, so a client sees that the body is shorter than its `Content-Length`. "
        "[The balancer](delivery.md#a-cluster) has the details.",
    ]
    return "\n".join(lines) + "\n", all(holds for _, holds, _ in claims)


def main() -> None:
    """Run it and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drill_fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--write", type=Path, default=servers.ROOT / "docs" / "fleet.md")
    given = parser.parse_args()
    if shutil.which("haproxy") is None:
        raise SystemExit("drill-fleet: HAProxy is not installed. Debian's package is haproxy.")
    text, shown = page(asyncio.run(run(given.clients, given.seconds)), given.clients, given.seconds)
    given.write.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    raise SystemExit(0 if shown else 1)


if __name__ == "__main__":
    main()
