"""`make drill-load`: many clients at once in `exact` mode while the engine's process is killed again and again.

    python -m tests.bench.drill_load [--clients 200] [--seconds 300] [--kills 20]

It must show: nobody hangs, every answer equals the one that its request gets alone, a refusal says when to come back,
 memory stays flat, `/healthz` stays quick, and the service recovers from each kill by itself. Clients are a
closed loop. A tenth of the requests is abandoned in the middle. Bounded in clients and in time, and only on 127.0.0.1.
Writes docs/load.md and docs/load.json, and exits with 1 when something was not shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.bench import servers, workloads
from tests.ports import free_port

DOCS = servers.ROOT / "docs"
MODEL = "smollm2-135m-instruct"
HEADERS = {"x-sameboat-mode": "exact", "cache-control": "no-cache"}
HANGS_S = 240.0  # without any outcome for so long, a request counts as one that hangs
PROBE = """
import json, sys, time, httpx
url, seconds = sys.argv[1], float(sys.argv[2])
taken, end = [], time.perf_counter() + seconds
with httpx.Client(base_url=url, timeout=30) as client:
    while time.perf_counter() < end:
        began = time.perf_counter()
        client.get("/healthz").raise_for_status()
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(0.02)
print(json.dumps(taken))
"""


def question(number: int) -> dict[str, Any]:
    """One of the requests: half greedy, half drawn with a seed, some behind a long shared beginning."""
    text = (workloads.PREFIX if number % 4 == 0 else "") + workloads.question(number)
    sampling = {"temperature": 0} if number % 2 else {"temperature": 0.9, "seed": number}
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 8 + number % 9, **sampling}


@dataclass
class Seen:
    """The counts of a run."""

    outcomes: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)
    http_mib: list[float] = field(default_factory=list)
    worker_mib: list[float] = field(default_factory=list)
    healthz_ms: list[float] = field(default_factory=list)

    def wrong(self, kind: str, what: str) -> None:
        """Something that must not happen."""
        self.outcomes[kind] += 1
        if len(self.complaints) < 20:
            self.complaints.append(f"{kind}: {what}")


@contextlib.contextmanager
def serving(**environment: str) -> Iterator[tuple[str, int]]:
    """`sameboat serve` with its default bounds, on a free port. Returns its URL and process id."""
    port = free_port()
    log = servers.workshop() / "drill-load.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "sameboat", "serve"], cwd=servers.ROOT, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "SAMEBOAT_PORT": str(port), "SAMEBOAT_MODEL": MODEL, **environment},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"sameboat serve ended:\n{log.read_text()}")
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def workers(server: int) -> list[int]:
    """Process ids of the service's engine processes."""
    found = []
    for task in Path(f"/proc/{server}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"service.engine.local.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def rss_mib(pid: int) -> float:
    """Resident memory, or 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


async def ask(client: httpx.AsyncClient, body: dict[str, Any], *, leave: bool, seen: Seen, expected: str) -> float:
    """One request to its end. Returns the seconds to wait before the next one."""
    streamed = leave or body["max_tokens"] % 3 == 0
    sent = {**body, "stream": streamed}
    async with client.stream("POST", "/v1/chat/completions", json=sent, headers=HEADERS) as response:
        if response.status_code in (429, 503):
            await response.aread()
            seen.outcomes[f"refused with {response.status_code}"] += 1
            after = response.headers.get("retry-after")
            if after is None or not after.isdigit() or int(after) < 1:
                seen.wrong("refused without Retry-After", f"{response.status_code} {response.text[:200]}")
                return 1.0
            return min(float(after), 4.0)
        if response.status_code != 200:
            await response.aread()
            seen.wrong("unexpected status", f"{response.status_code} {response.text[:200]}")
            return 1.0
        if not streamed:
            text = json.loads(await response.aread())["choices"][0]["message"]["content"]
        else:
            text = ""
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    seen.outcomes["stream ended by a kill, with an error"] += 1
                    return 0.5
                text += event["choices"][0]["delta"].get("content") or "" if event["choices"] else ""
                if leave and text:
                    seen.outcomes["left in the middle"] += 1
                    return 0.0
    if text == expected:
        seen.outcomes["answered, equal to its solo answer"] += 1
    else:
        seen.wrong("answered wrongly", f"{text!r} and not {expected!r}")
    return 0.0


async def person(number: int, url: str, solo: list[str], end: float, seen: Seen) -> None:
    """One client: asks, waits as long as it is told to, asks again."""
    dice = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(HANGS_S, connect=60)) as client:
        while time.monotonic() < end:
            chosen = dice.randrange(len(solo))
            began = time.monotonic()
            try:
                async with asyncio.timeout(HANGS_S):
                    leave = dice.random() < 0.1
                    rest = await ask(client, question(chosen), leave=leave, seen=seen, expected=solo[chosen])
            except (TimeoutError, httpx.TimeoutException):
                seen.wrong("hung", f"request {chosen} of client {number}")
                rest = 0.0
            except httpx.TransportError as error:
                seen.wrong("connection broken", f"{type(error).__name__}: {error}")
                rest = 1.0
            seen.waits_s.append(time.monotonic() - began)
            await asyncio.sleep(rest * dice.uniform(0.75, 1.25))


async def killer(url: str, server: int, kills: int, every_s: float, seen: Seen) -> None:
    """Kill the engine's process, wait until the service says that it is ready again with another one."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for _ in range(kills):
            await asyncio.sleep(every_s)
            before = workers(server)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            began = time.monotonic()
            while True:
                ready = (await client.get("/readyz")).status_code == 200
                if ready and workers(server) and not set(workers(server)) & set(before):
                    break
                if time.monotonic() - began > HANGS_S:
                    seen.wrong("did not recover", f"after killing {before}")
                    return
                await asyncio.sleep(0.05)
            seen.recovered_s.append(time.monotonic() - began)


async def weigh(server: int, seen: Seen) -> None:
    """Memory of both processes, once a second."""
    while True:
        seen.http_mib.append(rss_mib(server))
        seen.worker_mib.append(sum(rss_mib(pid) for pid in workers(server)))
        await asyncio.sleep(1)


async def drill(url: str, server: int, *, clients: int, seconds: float, kills: int, questions: int) -> Seen:
    """All of it."""
    seen = Seen()
    solo = []
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for number in range(questions):
            answer = await client.post("/v1/chat/completions", json=question(number), headers=HEADERS)
            solo.append(answer.raise_for_status().json()["choices"][0]["message"]["content"])
    probe = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROBE, url, str(seconds), stdout=asyncio.subprocess.PIPE
    )
    scales = asyncio.create_task(weigh(server, seen))
    end = time.monotonic() + seconds
    try:
        await asyncio.gather(
            killer(url, server, kills, seconds / (kills + 1), seen),
            *(person(number, url, solo, end, seen) for number in range(clients)),
        )
    finally:
        scales.cancel()
        told, _ = await probe.communicate()
    seen.healthz_ms = json.loads(told)
    return seen


def p(values: list[float], share: float) -> float:
    """A percentile."""
    return sorted(values)[int(share * (len(values) - 1))]


def growth(values: list[float]) -> float:
    """How much memory grew from the second quarter to the last one, in MiB (medians)."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])


def verdicts(seen: Seen, kills: int) -> list[tuple[str, bool, str]]:
    """Each thing that has to be shown, whether it was, and the number."""
    bad = {kind: seen.outcomes[kind] for kind in ("hung", "answered wrongly", "refused without Retry-After")}
    other = sum(seen.outcomes[kind] for kind in ("unexpected status", "connection broken", "did not recover"))
    right = seen.outcomes["answered, equal to its solo answer"]
    refused = sum(count for kind, count in seen.outcomes.items() if kind.startswith("refused with "))
    grown, p99 = growth(seen.http_mib), p(seen.healthz_ms, 0.99)
    recovered = f"{len(seen.recovered_s)} of {kills}, median {statistics.median(seen.recovered_s or [0]):.1f} s"
    return [
        ("none hangs", bad["hung"] == 0, f"{bad['hung']} hung, longest {max(seen.waits_s):.0f} s"),
        ("each answer equals its solo answer", bad["answered wrongly"] == 0 and right > 0,
         f"{right} equal, {bad['answered wrongly']} not"),
        ("each refusal has a retry time", bad["refused without Retry-After"] == 0,
         f"{refused} refused, {bad['refused without Retry-After']} without Retry-After"),
        ("nothing else goes wrong", other == 0, f"{other}"),
        ("the service recovers from every kill", len(seen.recovered_s) == kills, recovered),
        ("memory is flat", grown < 32, f"HTTP process {grown:+.0f} MiB, at most {max(seen.http_mib):.0f}, "
         f"engine process at most {max(seen.worker_mib):.0f}"),
        ("/healthz p99 under 50 ms", p99 < 50,
         f"p50 {p(seen.healthz_ms, 0.5):.1f} ms, p99 {p99:.1f} ms, largest {max(seen.healthz_ms):.0f} ms"),
    ]  # fmt: skip


def report(seen: Seen, rows: list[tuple[str, bool, str]], note: str) -> str:
    """docs/load.md."""
    lines = ["# Under load", "", note, "", "| claim | holds | figures |", "|---|---|---|"]
    lines += [f"| {what} | {'yes' if shown else '**no**'} | {number} |" for what, shown, number in rows]
    lines += ["", "| outcome of a request | count |", "|---|--:|"]
    lines += [f"| {kind} | {count} |" for kind, count in seen.outcomes.most_common()]
    if seen.complaints:
        lines += ["", "What went wrong, the first twenty:", "", *(f"* `{complaint}`" for complaint in seen.complaints)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the drill and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drill_load", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with serving() as (url, server):
        seen = asyncio.run(
            drill(url, server, clients=arguments.clients, seconds=arguments.seconds, kills=arguments.kills,
                  questions=40)
        )  # fmt: skip
    rows = verdicts(seen, arguments.kills)
    note = (
        f"{arguments.clients} clients in a closed loop for {arguments.seconds:.0f} s, `exact`, {MODEL}, default bounds "
        f"of the queue. The process was killed (-9) {arguments.kills} times meanwhile. Clients and service share "
        f"{os.cpu_count()} cores. Load before the run {load:.1f}. Made by `make drill-load`."
    )
    DOCS.mkdir(exist_ok=True)
    (DOCS / "load.md").write_text(report(seen, rows, note), encoding="utf-8")
    found = {what: {"shown": shown, "number": number} for what, shown, number in rows}
    (DOCS / "load.json").write_text(json.dumps({"note": note, "shown": found}, indent=1) + "\n", encoding="utf-8")
    print(report(seen, rows, note))
    sys.exit(0 if all(shown for _, shown, _ in rows) else 1)


if __name__ == "__main__":
    main()
