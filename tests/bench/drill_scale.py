"""`make drill-scale`: an evaluation of 100,000 cases over a remote engine, killed twice.

    python -m tests.bench.drill_scale [--cases 100000] [--per-second 300]

It must show: memory stays flat, a run goes on after each SIGKILL, no answer that was kept is asked again, and the
engine's limit (429 with `Retry-After`) is waited for. The engine is a stand-in that counts the requests for each case.
Only on 127.0.0.1. Writes docs/scale.md, and exits with 1 when something was not shown.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.bench import servers
from tests.bench.standin_engine import MODEL, label
from tests.ports import free_port

PROMPT = f"""
name: colour
model: {MODEL}
messages:
  - {{role: user, content: "Which colour has item {{{{item}}}}?"}}
testDataFile: cases.jsonl
evaluators:
  - {{name: label, string: {{equals: "{{{{expected}}}}"}}}}
"""
WRONG_EVERY = 50  # a case in so many expects another label than the engine answers
AT_A_TIME = 32
KILLS = (0.3, 0.65)  # shares of the cases
BIN = Path(sys.executable).parent


@dataclass
class ScaleSeen:
    """The observations of a run. Memory is of each process, at shares of all cases."""

    memory_mib: list[tuple[float, float]] = field(default_factory=list)
    kept_at_kill: list[int] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    asked: Counter[int] = field(default_factory=Counter)
    limited: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def engine(folder: Path, per_second: int) -> Iterator[str]:
    """The stand-in's base URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.standin_engine", str(port), "--latency", "0.02"]
    command += ["--per-second", str(per_second), "--asked", str(folder / "asked")]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/models", timeout=5).status_code == 200:
                    break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def kept(journal: Path) -> int:
    """The answers that the journal holds. There is a moment between its file and its table."""
    if not journal.exists():
        return 0
    with contextlib.closing(
        sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    ) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'evaluation_answers'").fetchone():
            return 0
        count: int = database.execute("SELECT count(*) FROM evaluation_answers").fetchone()[0]
        return count


def rss_mib(pid: int) -> float:
    """The memory of a process, 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def run(cases: int, per_second: int) -> ScaleSeen:
    """The drill."""
    seen = ScaleSeen()
    with tempfile.TemporaryDirectory(prefix="sameboat-scale-") as name, engine(Path(name), per_second) as url:
        folder = Path(name)
        with (folder / "cases.jsonl").open("w", encoding="utf-8") as file:
            for item in range(cases):
                right = "none" if item % WRONG_EVERY == 0 else label(item)
                file.write(json.dumps({"id": f"c{item}", "item": str(item), "expected": right}) + "\n")
        (folder / "colour.prompt.yml").write_text(PROMPT, encoding="utf-8")
        (folder / "providers.toml").write_text(
            f'[providers.{MODEL}]\nbase_url = "{url}"\nmodel = "{MODEL}"\nserves = true\n'
            f"concurrency = {AT_A_TIME}\ninput_price = 0.5\noutput_price = 1.5\n",
            encoding="utf-8",
        )
        environment = {
            **os.environ,
            "SAMEBOAT_ENGINE": "remote",
            "SAMEBOAT_REMOTE_BASE_URL": url,
            "SAMEBOAT_REMOTE_CONCURRENCY": str(AT_A_TIME),
            "SAMEBOAT_PROVIDERS_FILE": str(folder / "providers.toml"),
            "SAMEBOAT_STATE_DIR": str(folder / "state"),
        }
        command = [str(BIN / "sameboat"), "evaluate", str(folder / "colour.prompt.yml"), "--stream", "--json"]
        journal = folder / "state" / "evaluations" / "colour.sqlite"
        began = time.monotonic()
        for kill in (*KILLS, None):
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                while process.poll() is None:
                    time.sleep(0.5)
                    share = kept(journal) / cases
                    seen.memory_mib.append((share, rss_mib(process.pid)))
                    if kill is not None and share >= kill:
                        process.send_signal(signal.SIGKILL)
                        process.wait(30)
                        seen.kept_at_kill.append(kept(journal))
                assert process.stdout is not None
                assert process.stderr is not None
                text, error = process.stdout.read(), process.stderr.read()
            if kill is None and process.returncode:
                raise SystemExit(
                    f"drill-scale: the evaluation ended with {process.returncode}:\n{error.decode()[-2000:]}"
                )
        seen.seconds = time.monotonic() - began
        seen.told = json.loads(text)
        seen.limited = httpx.get(f"{url}/stats", timeout=5).json()["limited"]
        seen.asked = Counter((folder / "asked").read_bytes()[:cases])
    return seen


def page(seen: ScaleSeen, cases: int, per_second: int) -> tuple[str, bool]:
    """The page of the docs, and whether everything was shown."""
    memory = [mib for share, mib in seen.memory_mib if share > 0.02 and mib > 0]
    early = [mib for share, mib in seen.memory_mib if 0.02 < share <= 0.2 and mib > 0]
    growth = max(memory) - max(early, default=0.0)
    twice = sum(count for times, count in seen.asked.items() if times > 1)
    in_flight = AT_A_TIME * len(KILLS)
    told, wrong = seen.told, (cases + WRONG_EVERY - 1) // WRONG_EVERY
    cost = (9 * cases * 0.5 + cases * 1.5) / 1e6
    kills = ", ".join(map(str, seen.kept_at_kill))
    tokens = f"{told['tokens']['prompt']} and {told['tokens']['completion']} tokens, cost {told['cost']:.4f}"
    judged = (told["cases"], told["passed"]) == (cases, cases - wrong)
    once = not seen.asked[0] and twice <= in_flight and max(seen.asked) <= 1 + len(KILLS)
    claims = [
        ("each case is judged", judged, f"{told['cases']}, of which {told['passed']} pass and {wrong} must not"),
        (
            "a killed run goes on",
            told["kept"] >= seen.kept_at_kill[-1],
            f"killed with {kills} answers kept, and the last run began with {told['kept']}",
        ),
        (
            "no kept answer is asked again",
            once,
            f"{twice} cases were asked twice, and up to {in_flight} were under way at the kills",
        ),
        ("memory is flat", growth < 16, f"at most {max(memory):.0f} MiB, {growth:+.1f} MiB after the first fifth"),
        (
            "the engine's limit is waited for",
            seen.limited > 0 and told["broken"] == 0,
            f"{per_second} a second, 429 {seen.limited} times with Retry-After, no case lost",
        ),
        ("tokens and cost are told", abs(told["cost"] - cost) < 1e-6, tokens),
    ]
    day = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Evaluation at scale",
        "",
        f"`sameboat evaluate FILE --stream` over {cases} cases and a remote engine, {AT_A_TIME} at a time, killed (-9) "
        f"{len(KILLS)} times. The engine is a stand-in that counts requests. {seen.seconds:.0f} s, "
        f"{cases / seen.seconds:.0f} answers a second on {os.cpu_count()} cores. {day}. Made by "
        "`make drill-scale`.",
        "",
        "| claim | holds | figures |",
        "|---|---|---|",
        *[f"| {name} | {'yes' if holds else '**no**'} | {figures} |" for name, holds, figures in claims],
        "",
        "Answers are kept in the Postgres of `DATABASE_URL`, and a run can go on from another machine. Without it they "
        "are in a SQLite file of the state directory. Cases are read from a file of JSON lines as they are needed. An "
        "answer that was under way when the process was killed is lost with it, and is asked again.",
    ]
    return "\n".join(lines) + "\n", all(holds for _, holds, _ in claims)


def main() -> None:
    """Run it and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drill_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--per-second", type=int, default=300)
    parser.add_argument("--write", type=Path, default=servers.ROOT / "docs" / "scale.md")
    given = parser.parse_args()
    text, shown = page(run(given.cases, given.per_second), given.cases, given.per_second)
    given.write.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    raise SystemExit(0 if shown else 1)


if __name__ == "__main__":
    main()
