"""`make drill-hostile`: 30 clients of every kind for 15 minutes, engine and service killed meanwhile.

    python -m tests.bench.drill_hostile [--clients 30] [--seconds 900]

It shows: `exact` answers equal their solo answers, schemas hold, no build is lost or doubled, nobody hangs, the
event loop does not stand, memory is bounded, and file descriptors and threads end where they began. Valid, invalid,
slow, silent, leaving and huge requests are mixed (`hostile_clients`). Bounded in clients and time. Only 127.0.0.1.
Writes docs/hostile.md and docs/hostile.json, and exits with 1 when something was not shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.bench import servers
from tests.bench.drill_load import MODEL, PROBE, p, rss_mib, workers
from tests.bench.hostile_clients import EXACT, KINDS, SECRET, Drill, person, question, silent
from tests.ports import free_port
from tests.servers.evaluator import evaluator

DOCS = servers.ROOT / "docs"
QUESTIONS = 40
KILL_EVERY_S = 40.0
SERVICE_EVERY = 4  # one kill in four is the whole service
OVER = {"done", "failed", "cancelled"}


@dataclass
class Service:
    """`sameboat serve` on one port, started again after it was killed."""

    folder: Path
    callback_port: int
    port: int = field(default_factory=free_port)
    pages_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it. It is not ready yet."""
        environment = {
            "SAMEBOAT_PORT": str(self.port), "SAMEBOAT_PAGES_PORT": str(self.pages_port), "SAMEBOAT_MODEL": MODEL,
            "SAMEBOAT_STATE_DIR": str(self.folder / "state"), "SAMEBOAT_SECRET": SECRET, "SAMEBOAT_MAKER": "plan",
            "SAMEBOAT_CALLBACK_ALLOW": f"127.0.0.1:{self.callback_port}",
        }  # fmt: skip
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.watched", str(self.folder / "stands.jsonl"), "serve"],
                cwd=servers.ROOT, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip

    async def ready(self, client: httpx.AsyncClient, limit_s: float = 180) -> float:
        """Seconds until it says that it is ready. Raises TimeoutError."""
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{self.url}/readyz", timeout=5)).status_code == 200:
                    return time.monotonic() - began
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not ready within {limit_s:g} s")

    def kill(self) -> None:
        """SIGKILL, and wait."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def handles(self) -> dict[str, int]:
        """Open file descriptors and threads of the serving process."""
        here = Path(f"/proc/{self.pid}")
        return {"files": len(list((here / "fd").iterdir())), "threads": len(list((here / "task").iterdir()))}


@dataclass
class Watched:
    """Figures over time."""

    http_mib: list[float] = field(default_factory=list)
    worker_mib: list[float] = field(default_factory=list)
    healthz_ms: list[float] = field(default_factory=list)
    recovered: list[tuple[str, float]] = field(default_factory=list)


async def solo(drill: Drill) -> list[tuple[int, ...]]:
    """Each question's tokens, asked alone."""
    tokens = []
    for number in range(QUESTIONS):
        answer = await drill.client.post(
            f"{drill.url}/v1/chat/completions", json=question(number), headers=EXACT, timeout=120
        )
        tokens.append(tuple(answer.raise_for_status().json()["sameboat"]["tokens"]))
    return tokens


async def warm_up(drill: Drill) -> None:
    """Every kind of request a few times at once, so that thread pools reach their full size. Then quiet.

    anyio's idle threads end after 10 s.
    """
    kinds = [kind for kind in KINDS if kind is not silent]
    await asyncio.gather(
        *(kind(drill, random.Random(number)) for kind in kinds for number in range(4)), return_exceptions=True
    )
    await asyncio.sleep(15)


async def weigh(service: Service, watched: Watched) -> None:
    """Memory of the HTTP process and of its engines, once a second."""
    while True:
        watched.http_mib.append(rss_mib(service.pid))
        with contextlib.suppress(OSError):
            watched.worker_mib.append(sum(rss_mib(pid) for pid in workers(service.pid)))
        await asyncio.sleep(1)


async def probe(service: Service, watched: Watched, over: asyncio.Event) -> None:
    """Milliseconds of `/healthz`, asked by a process of its own, while the service is there."""
    while not over.is_set():
        looker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROBE, service.url, "10", stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await looker.communicate()
        if looker.returncode == 0:  # a kill of the service ends the look
            watched.healthz_ms += json.loads(out)
        else:
            await asyncio.sleep(1)


async def chaos(service: Service, drill: Drill, watched: Watched, end: float) -> None:
    """Kill the engine, and now and then the whole service, until `end` on `time.monotonic`'s clock."""
    dice = random.Random(7)
    kill = 0
    while time.monotonic() + KILL_EVERY_S < end:
        await asyncio.sleep(KILL_EVERY_S)
        kill += 1
        if kill % SERVICE_EVERY == 0:
            service.kill()
            await asyncio.sleep(dice.uniform(0, 2))
            service.start()
            watched.recovered.append(("service", await service.ready(drill.client)))
        else:
            for pid in workers(service.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.3)
            watched.recovered.append(("engine", await service.ready(drill.client)))
    await asyncio.sleep(max(0.0, end - time.monotonic()))


async def builds_over(service: Service, drill: Drill) -> Counter[str]:
    """Wait until every accepted build is over and reported. Returns their last statuses."""
    headers = {"authorization": f"Bearer {SECRET}"}
    last: dict[str, str] = {}
    end = time.monotonic() + 600
    while time.monotonic() < end and len(last) < len(drill.builds):
        for build_id in set(drill.builds) - set(last):
            told = (await drill.client.get(f"{service.url}/builds/{build_id}", headers=headers, timeout=60)).json()
            if told["status"] in OVER and told["delivery"] != "pending":
                last[build_id] = f"{told['status']}, {told['delivery']}"
        await asyncio.sleep(2)
    return Counter(last.get(build_id, "not over") for build_id in drill.builds)


def repositories(folder: Path) -> Counter[str]:
    """Commits of each repository on disk, and whether git finds it whole."""
    counted: Counter[str] = Counter()
    for path in (folder / "state" / "repositories").glob("*.git"):
        commits = subprocess.run(["git", "-C", path, "rev-list", "--count", "main"], capture_output=True, text=True)
        whole = subprocess.run(["git", "-C", path, "fsck", "--strict"], capture_output=True).returncode == 0
        counted[f"{commits.stdout.strip()} commits, {'whole' if whole else 'broken'}"] += 1
    return counted


async def run(clients: int, seconds: float, folder: Path) -> tuple[dict[str, Any], list[tuple[str, bool, str]]]:
    """The drill. Returns figures for the table, and each claim with its result."""
    with evaluator(key=None) as receiver:
        service = Service(folder, httpx.URL(receiver.url).port or 80)
        service.start()
        try:
            limits = httpx.Limits(max_connections=clients + 20)
            async with httpx.AsyncClient(limits=limits) as client:
                drill = Drill(service.url, f"http://127.0.0.1:{service.pages_port}", receiver.url, client)
                await service.ready(client)
                drill.solo = await solo(drill)
                watched, over = Watched(), asyncio.Event()
                scales = asyncio.create_task(weigh(service, watched))
                probing = asyncio.create_task(probe(service, watched, over))
                await warm_up(drill)
                began_handles = service.handles()
                people = [asyncio.create_task(person(drill, number, over)) for number in range(clients)]
                await chaos(service, drill, watched, time.monotonic() + seconds)
                over.set()
                _, left = await asyncio.wait(people, timeout=300)
                for task in left:
                    task.cancel()
                await service.ready(client)
                again = await solo(drill)
                statuses = await builds_over(service, drill)
                await probing
                scales.cancel()
            for _ in range(100):  # connections close, idle threads end
                ended_handles = service.handles()
                if all(ended_handles[name] <= began_handles[name] + 2 for name in ended_handles):
                    break
                await asyncio.sleep(1)
        finally:
            if service.process is not None:
                service.process.terminate()
                code = service.process.wait(60)
        delivered = Counter(heard.headers.get("webhook-id", "") for heard in receiver.heard)
    stands = [json.loads(line) for line in (folder / "stands.jsonl").read_text().splitlines()] or [
        {"wall_s": 0.0, "processor_s": 0.0}
    ]
    log = (folder / "serve.log").read_text(encoding="utf-8", errors="replace")
    trees = repositories(folder)
    different = sum(one != other for one, other in zip(drill.solo, again, strict=True))
    p99 = p(watched.healthz_ms, 0.99)
    longest = max(stands, key=lambda stand: stand["processor_s"])
    rows = [
        ("answers in `exact` equal their solo answers, afterwards too",
         not any(text.startswith("exact") for text in drill.complaints) and different == 0,
         f"{drill.outcomes['exact 200']} answers under load, {different} of {QUESTIONS} differ afterwards"),
        ("no client hangs", not left and not any("hung" in text for text in drill.complaints),
         f"{len(left)} clients did not end"),
        ("nothing else goes wrong", not drill.complaints, f"{len(drill.complaints)}"),
        ("no build is lost or doubled",
         set(statuses) == {"done, delivered"} and sum(trees.values()) == len(drill.builds)
         and set(trees) == {"1 commits, whole"} and len(delivered) == len(drill.builds),
         f"{len(drill.builds)} accepted, {dict(statuses)}, repositories: {dict(trees)}, "
         f"{len(delivered)} callbacks by id"),
        ("the service recovers from every kill", True, ", ".join(
            f"{kind} {len(times)}, longest {max(times):.1f} s" for kind, times in (
                (kind, [took for what, took in watched.recovered if what == kind]) for kind in ("engine", "service")
            ) if times)),
        ("the event loop computes for at most 50 ms at a time", longest["processor_s"] <= 0.05,
         f"{1000 * longest['processor_s']:.0f} ms of processor time, {1000 * max(s['wall_s'] for s in stands):.0f} ms "
         "of wall time with the waits of the machine"),
        ("file descriptors and threads end where they began",
         all(ended_handles[name] <= began_handles[name] + 2 for name in ended_handles),
         f"{began_handles} before, {ended_handles} after"),
        ("the log holds no traceback", "Traceback" not in log, f"{log.count('Traceback')}"),
        ("SIGTERM ends it with exit code 0", code == 0, f"{code}"),
    ]  # fmt: skip
    figures = {
        "/healthz": f"p50 {p(watched.healthz_ms, 0.5):.1f} ms, p99 {p99:.1f} ms, "
                    f"largest {max(watched.healthz_ms):.0f} ms of {len(watched.healthz_ms)}",
        "memory": f"HTTP process at most {max(watched.http_mib):.0f} MiB, "
                  f"engines at most {max(watched.worker_mib):.0f} MiB",
        "outcomes": dict(drill.outcomes.most_common()),
        "complaints": drill.complaints[:20],
    }  # fmt: skip
    return figures, rows


def report(figures: dict[str, Any], rows: list[tuple[str, bool, str]], note: str) -> str:
    """docs/hostile.md."""
    lines = ["# Among hostile clients", "", note, "", "| claim | true | |", "|---|---|---|"]
    lines += [f"| {what} | {'yes' if shown else '**no**'} | {number} |" for what, shown, number in rows]
    lines += [f"| {name} | | {figures[name]} |" for name in ("/healthz", "memory")]
    lines += ["", "| outcome of a request | count |", "|---|--:|"]
    lines += [f"| {kind} | {count} |" for kind, count in figures["outcomes"].items()]
    if figures["complaints"]:
        lines += [
            "",
            "What went wrong, the first twenty:",
            "",
            *(f"* `{complaint}`" for complaint in figures["complaints"]),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the drill and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drill_hostile", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--out", type=Path, default=DOCS, help="where hostile.md and hostile.json go")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figures, rows = asyncio.run(run(arguments.clients, arguments.seconds, Path(folder)))
        (servers.workshop() / "drill-hostile.log").write_bytes((Path(folder) / "serve.log").read_bytes())
    note = (
        f"{arguments.clients} clients send random requests for {arguments.seconds:.0f} s: valid, invalid, slow, "
        f"silent, cancelled and huge ones, and briefs ({MODEL}). Every {KILL_EVERY_S:.0f} s the engine is killed (-9), "
        f"and every fourth time the whole service. Clients, builds and service share {os.cpu_count()} cores. "
        f"The load before the run was {load:.1f}. Made by `make drill-hostile`."
    )
    text = report(figures, rows, note)
    (arguments.out / "hostile.md").write_text(text, encoding="utf-8")
    shown = {what: {"shown": yes, "number": number} for what, yes, number in rows}
    content = {"note": note, "shown": shown, **figures}
    (arguments.out / "hostile.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(text)
    sys.exit(0 if all(yes for _, yes, _ in rows) else 1)


if __name__ == "__main__":
    main()
