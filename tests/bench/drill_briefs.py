"""Small briefs, posted to a started service that builds their pages with a real model: `make drill-briefs`.

Each brief goes to `POST /api-endpoint` of a service started as a person starts it (local forge, default models), is
built, checked in a browser, pushed and called back. Briefs that were measured already are left out, so a run can be
cut and go on. `--keep RUN` puts the rows of `--out` into docs/held-out.json as this run, and `--write` makes
docs/briefs.md of that file and of docs/briefs.json (`briefs_page`). Nothing is asserted. Needs Qwen2.5-Coder-1.5B in
the cache, and Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
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

from tests.bench.briefs_page import page
from tests.builds.harness import SECRET, until
from tests.builds.real_tasks import TASKS, run_task
from tests.ports import free_port
from tests.servers.evaluator import evaluator

HERE = Path(__file__).resolve().parent
FOLDERS = ("held_out", "once_held_out", "briefs", "other_words")  # the last two are of development
ROOT = HERE.parents[1]
KEPT = (
    "level", "status", "maker", "checks", "first_failed", "chosen_failed", "failed", "versions", "repairs", "tokens",
    "asked_s", "seconds",
)  # fmt: skip


def _end_with_the_drill() -> None:
    """Let Linux end the service with the drill (prctl(2), PR_SET_PDEATHSIG)."""
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
        """The drill was told to end. Every result is stored already."""
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


def one_by_one(paths: list[Path], maker: str, at_once: int, minutes: float, out: Path) -> None:
    """The briefs that `out` does not have yet, the easy ones first. Each is stored as it ends."""
    found = json.loads(out.read_text()) if out.exists() else {}
    rows = found.setdefault(maker, {})
    level = {path: json.loads(path.read_text()).get("level", 0) for path in paths}
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
                write(out, json.dumps(found, indent=1, sort_keys=True) + "\n")

        list(pool.map(one, sorted(paths, key=lambda path: (level[path], path))))
    print(f"{sum(path.stem in rows for path in paths)} of {len(paths)} are measured.", file=sys.stderr)


def tasks(model: str, kept: Path, only: list[str]) -> None:
    """The three public tasks. Each round is stored as it ends, and takes the place of an earlier measurement."""
    with tempfile.TemporaryDirectory() as state:
        for task in TASKS:
            if only and task.name not in only:
                continue
            for row in run_task(task, Path(state) / task.name, None if model == "scripted" else model):
                outcome = row.pop("build")["outcome"] or {}
                del row["fetched"]
                row |= {"failed_checks": outcome.get("failed"), "maker": outcome.get("maker")}
                print(json.dumps(row), flush=True)
                kinds = json.loads(kept.read_text())
                others = [
                    old for old in kinds.get(model, []) if (old["task"], old["round"]) != (task.name, row["round"])
                ]
                kinds[model] = sorted(
                    [*others, row], key=lambda one: ([each.name for each in TASKS].index(one["task"]), one["round"])
                )
                write(kept, json.dumps(kinds, indent=1) + "\n")


def keep(run: str, out: Path, kept: Path) -> None:
    """Put the rows of a measurement into the file that the docs are made of. Rows of the same run are replaced."""
    measured = json.loads(kept.read_text())
    rows = measured["runs"].setdefault(run, {})
    for maker, found in json.loads(out.read_text()).items():
        rows[maker] = {
            brief: {key: round(row[key], 1) if isinstance(row[key], float) else row[key] for key in KEPT}
            for brief, row in sorted(found.items())
        }
    write(kept, json.dumps(measured, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, because a run may be cut."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="These briefs or tasks, by name.")
    parser.add_argument("--held-out", metavar="MAKER", choices=("auto", "plan"), default="auto", help="auto or plan.")
    parser.add_argument("--folder", choices=FOLDERS, default="held_out")
    parser.add_argument("--minutes", type=float, default=600.0, help="Begin no brief after so many.")
    parser.add_argument("--out", type=Path, help="By default .sameboat/FOLDER.json.")
    parser.add_argument("--tasks", metavar="MODEL", help="The three public tasks instead: `scripted`, or a model here.")
    parser.add_argument("--keep", metavar="RUN", help="Put the rows of --out into docs/held-out.json as this run.")
    parser.add_argument("--write", action="store_true", help="Write docs/briefs.md, and measure nothing.")
    given = parser.parse_args()
    kept = ROOT / "docs" / "briefs.json"
    out = given.out or ROOT / ".sameboat" / f"{given.folder.replace('_', '-')}.json"
    if given.keep:
        keep(given.keep, out, ROOT / "docs" / "held-out.json")
    if given.write:
        measured = json.loads((ROOT / "docs" / "held-out.json").read_text())
        text = page(measured["runs"], json.loads(kept.read_text()), measured["words"])
        write(ROOT / "docs" / "briefs.md", text)
    elif given.keep:
        pass
    elif given.tasks:
        tasks(given.tasks, kept, given.only)
    else:
        paths = [path for path in (HERE / given.folder).glob("*.json") if not given.only or path.stem in given.only]
        one_by_one(paths, given.held_out, given.at_once, given.minutes, out)


if __name__ == "__main__":
    main()
