"""Ten small briefs, posted to a started service that writes their pages with a real model: `make drill-briefs`.

Each brief of `briefs/` goes to `POST /api-endpoint` of a service started as a person starts it (local forge, default
models), is built, checked in a browser, pushed and called back. The results go to docs/briefs.json and, as a table,
to docs/briefs.md. Nothing is asserted. Needs Qwen2.5-Coder-1.5B in the cache, and Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.builds.harness import SECRET, until
from tests.builds.real_tasks import TASKS, run_task
from tests.ports import free_port
from tests.servers.evaluator import evaluator

ROOT = Path(__file__).resolve().parents[2]
BRIEFS = Path(__file__).parent / "briefs"
HELD_OUT = Path(__file__).parent / "held_out"
HEAD = """# Briefs and the apps that are built of them

Made by `make drill-briefs` on {when}: {machine}. Nothing here is asserted by a test.

## Ten small briefs, written by the local model

Each brief (`tests/bench/briefs/`) is posted to a started service with the default settings: the local forge, and
Qwen2.5-Coder-1.5B-Instruct (Q4_K_M) in this machine, which writes `index.html`. {at_once} builds run at a time. The
briefs were not copied into the prompts. Two that failed early showed a fault, which was mended. The cases of the build
prompts are others (`data/build_cases.yml`). The checks of a brief are `js` expressions in Chromium. The same model
translates sentences about the page to such expressions. Five checks are ours: licence, README, attachments,
index.html, no uncaught error.

**{first} of {n} pass all checks at the first try, {after} of {n} after repair. The median from the POST to
the callback is {median:.0f} s.** {caveat}

| brief | checks | first try | after repair | repairs | tokens | seconds | failed checks |
|---|--:|---|---|--:|--:|--:|---|
"""
TASKS_HEAD = """
## The three tasks of the public evaluation

The model is scripted, behind a real OpenAI-compatible HTTP server. So the table shows the steps and not the writing:
the brief arrives, data is fetched from a local server, files are written, checked, pushed, published and called back,
and round 2 edits the same repository.

| task | round | files | checks passed | not judged | seconds |
|---|--:|--:|--:|---|--:|
"""


def _end_with_the_drill() -> None:
    """Let Linux end the service when the drill is killed (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@contextlib.contextmanager
def service(state: Path, at_once: int, maker: str = "auto") -> Iterator[httpx.Client]:
    """`sameboat serve` on free ports, with everything at its default but places and the secret."""
    port, pages = free_port(), free_port()
    here = {
        "SAMEBOAT_PORT": str(port),
        "SAMEBOAT_PAGES_PORT": str(pages),
        "SAMEBOAT_STATE_DIR": str(state),
        "SAMEBOAT_SECRET": SECRET,
        "SAMEBOAT_CALLBACK_ALLOW": "127.0.0.0/8",
        "SAMEBOAT_BUILD_CONCURRENCY": str(at_once),
        "SAMEBOAT_MAKER": maker,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SAMEBOAT_")}
    log = state / "log"
    state.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "sameboat", "serve"],
            cwd=ROOT,
            env={**kept, **here},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_the_drill,
        )

    def stopped(*_: object) -> None:
        """The drill was told to end: what was measured is stored already."""
        process.terminate()
        process.wait(60)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stopped)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(httpx.HTTPError):
                    return client.get("/readyz").status_code == 200
                return False

            until(ready, 600)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def built(client: httpx.Client, url: str, path: Path, pictures: Path | None = None) -> dict[str, Any]:
    """One brief from the POST to the callback. Its screenshot goes to the folder `pictures`."""
    body = {"email": "drill@example.com", "secret": SECRET, "nonce": "drill-1", "evaluation_url": url}
    began = time.monotonic()
    answer = client.post("/api-endpoint", json={**json.loads(path.read_text()), **body})
    build = answer.raise_for_status().json()["job_id"]

    def over() -> Any:
        shown = client.get(f"/builds/{build}").json()
        return shown if shown["status"] not in ("accepted", "running") and shown["delivery"] != "pending" else None

    shown = until(over, 900)
    seconds = time.monotonic() - began
    events = told(client, build)
    if pictures is not None and (shot := client.get(f"/builds/{build}/screenshot")).status_code == 200:
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / f"{path.stem}.png").write_bytes(shot.content)
    repairing = [number for number, event in enumerate(events) if event["data"].get("prompt") == "build-repair"]
    before = events[: repairing[0]] if repairing else events
    candidates = [event["data"]["report"]["failed"] for event in before if event["kind"] == "verified"]
    verified = [event for event in events if event["kind"] == "verified"]
    reports = [event["data"]["report"] for event in verified]
    asked = [event["data"] for event in events if event["kind"] == "asked"]
    outcome = shown["outcome"] or {}
    outcomes = (outcome.get("report") or {}).get("outcomes", [])
    row = {
        "brief": path.stem,
        "status": shown["status"],
        "delivery": shown["delivery"],
        "maker": outcome.get("maker"),
        "checks": sum(each["verdict"] != "not judged" for each in outcomes),
        "not_judged": [each["said"] for each in outcomes if each["verdict"] == "not judged"],
        "first_failed": reports[0]["failed"] if reports else None,
        "chosen_failed": min(candidates, key=len, default=None),
        "failed": outcome.get("failed"),
        "versions": [
            [round(event["at_s"] - events[0]["at_s"], 1), len(event["data"]["report"]["failed"])] for event in verified
        ],
        "repairs": sum(each["prompt"] == "build-repair" for each in asked),
        "tokens": sum(each["tokens"] for each in asked),
        "asked_s": sum(each["seconds"] for each in asked),
        "seconds": seconds,
        "translated": {each["said"]: each["js"] for each in outcomes if each["translated"]},
        "said": [event["text"] for event in events if event["kind"] in ("unusable", "unable", "outage", "settled")],
    }
    print(json.dumps(row), flush=True)
    return row


def told(client: httpx.Client, build: str) -> list[dict[str, Any]]:
    """The build's events."""
    found, kind = [], ""
    for line in client.get(f"/builds/{build}/events").text.splitlines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append({"kind": kind, **json.loads(line.removeprefix("data: "))})
    return found


def good(row: dict[str, Any], key: str) -> bool:
    """Whether the page was written by the model and no check failed."""
    return row["status"] == "done" and row["maker"] == "files" and row[key] == []


def table(rows: list[dict[str, Any]], tasks: list[dict[str, Any]], at_once: int, caveat: str) -> str:
    """docs/briefs.md."""
    text = HEAD.format(
        when=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=f"{os.cpu_count()} CPUs, {platform.machine()}",
        at_once=at_once,
        first=sum(good(row, "first_failed") for row in rows),
        after=sum(good(row, "failed") for row in rows),
        n=len(rows),
        median=statistics.median([row["seconds"] for row in rows] or [0]),
        caveat=caveat,
    )
    for row in rows:
        first, after = ("pass" if good(row, key) else "fail" for key in ("first_failed", "failed"))
        failed = "; ".join(each.replace("|", "\\|")[:110] for each in row["failed"] or [])
        text += (
            f"| {row['brief']} | {row['checks']} | {first} | {after} | {row['repairs']} | {row['tokens']} "
            f"| {row['seconds']:.0f} | {'`' + failed.replace('`', chr(39)) + '`' if failed else ''} |\n"
        )
    translated = [(said, js) for row in rows for said, js in row["translated"].items()]
    if translated:
        text += "\nSentences that the model translated, for a person to judge:\n\n"
        text += "".join(f"- {said}: `{js}`\n" for said, js in translated)
    text += TASKS_HEAD
    for task in tasks:
        missing = ", ".join(task["not_judged"]) or "none"
        judged = task["passed"] + task["failed"]
        text += f"| {task['task']} | {task['round']} | {task['files']} | {task['passed']} of {judged} "
        text += f"| {missing} | {task['seconds']:.0f} |\n"
    return text


def held_out(maker: str, at_once: int, only: list[str], minutes: float, out: Path) -> None:
    """The held-out briefs that `out` does not have yet, the easy ones first. Each is stored as it ends."""
    found = json.loads(out.read_text()) if out.exists() else {}
    rows = found.setdefault(maker, {})
    level = {path: json.loads(path.read_text())["level"] for path in HELD_OUT.glob("*.json")}
    paths = sorted((path for path in level if not only or path.stem in only), key=lambda path: (level[path], path))
    ends_s = time.monotonic() + 60 * minutes
    lock = threading.Lock()
    with (
        tempfile.TemporaryDirectory() as state,
        evaluator(key=None) as judge,
        service(Path(state) / "state", at_once, maker) as client,
        ThreadPoolExecutor(at_once) as pool,
    ):

        def one(path: Path) -> None:
            if path.stem in rows or time.monotonic() > ends_s:
                return
            row = built(client, judge.url, path, out.with_suffix("") / maker)
            with lock:
                rows[path.stem] = {"level": level[path], **row}
                out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")

        list(pool.map(one, paths))
    print(f"{len(rows)} of {len(level)} are measured.", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument(
        "--held-out", metavar="MAKER", choices=("auto", "plan"), help="The held-out briefs, by this maker."
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="Begin no held-out brief after so many.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "held-out.json", help="Of the held-out briefs.")
    parser.add_argument("--caveat", default="")
    parser.add_argument("--part", choices=("both", "briefs", "tasks"), default="both", help="The other is kept.")
    given = parser.parse_args()
    if given.held_out:
        held_out(given.held_out, given.at_once, given.only, given.minutes, given.out)
        return
    paths = [path for path in sorted(BRIEFS.glob("*.json")) if not given.only or path.stem in given.only]
    kept = ROOT / "docs" / "briefs.json"
    found = json.loads(kept.read_text()) if kept.exists() else {"briefs": [], "tasks": []}
    with tempfile.TemporaryDirectory() as state:
        if given.part != "tasks":
            with (
                evaluator(key=None) as judge,
                service(Path(state) / "state", given.at_once) as client,
                ThreadPoolExecutor(given.at_once) as pool,
            ):
                found["briefs"] = list(pool.map(lambda path: built(client, judge.url, path), paths))
        if given.part != "briefs":
            found["tasks"] = [
                {key: value for key, value in row.items() if key not in ("build", "fetched")}
                for task in TASKS
                for row in run_task(task, Path(state) / task.name)
            ]
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found, indent=1) + "\n")
    (ROOT / "docs" / "briefs.md").write_text(table(found["briefs"], found["tasks"], given.at_once, given.caveat))


if __name__ == "__main__":
    main()
