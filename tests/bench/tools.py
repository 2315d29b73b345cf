"""Measures tool calls under `tool_choice: auto` on requests of our own.

In: `tool_requests.jsonl`. Its first line is the toolbox. The other lines are requests: 40 that need a call, 30 that
need none although tools are offered. A request names the tools that it offers. `call` has for each argument the values
that are right, and null for a missing one. `half` is "tuning" for the requests that forms and prompts were tried on,
and "unseen" for those that were written before and asked once, at the end.
Out: a table in Markdown, and exit code 1 below the goal. `make bench-tools` runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service import settings as settings_module
from service.engine.pool import Engines
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.http.conftest import serving, until

REQUESTS = Path(__file__).with_name("tool_requests.jsonl")
MODEL = "qwen2.5-coder-1.5b-instruct"
MAX_TOKENS = 80
GOAL_CALLS, GOAL_NONE = 0.9, 0.9  # 9 of 10 that need a call, 9 of 10 that need none


def requests(path: Path = REQUESTS) -> list[dict[str, Any]]:
    """The requests, with the tools' definitions in place of their names."""
    first, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tools = {tool["function"]["name"]: tool for tool in first["toolbox"]}
    return [{**row, "tools": [tools[name] for name in row["tools"]]} for row in rows]


def judge(row: dict[str, Any], choice: dict[str, Any]) -> str:
    """Empty if the answer is right, else the fault in a few words."""
    calls = choice["message"].get("tool_calls") or []
    if "call" not in row:
        return f"called {calls[0]['function']['name']}" if calls else ""
    if len(calls) != 1:
        return "no call" if not calls else f"{len(calls)} calls"
    function, expected = calls[0]["function"], row["call"]
    if function["name"] != expected["name"]:
        return f"called {function['name']}"
    arguments = json.loads(function["arguments"])
    wrong = [name for name in {*arguments, *expected["arguments"]} if not _right(name, arguments, expected)]
    return f"wrong {', '.join(sorted(wrong))}" if wrong else ""


def _right(name: str, arguments: dict[str, Any], expected: dict[str, Any]) -> bool:
    options = expected["arguments"].get(name, [])
    return _plain(arguments.get(name)) in [_plain(option) for option in options]


def _plain(value: Any) -> Any:
    """The value with texts in small letters, because a capital is no fault."""
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


@contextmanager
def service(model: str, folder: Path) -> Iterator[str]:
    """The base URL of a service with this model."""
    settings = settings_module.load(port=0, context=2048, parallel=1, model=model)
    app = create_app(
        settings, engines=Engines(settings, Catalog.load(settings.data_dir / "models.toml")), library=Library(folder)
    )
    with serving(app) as url:
        until(lambda: httpx.get(f"{url}/readyz", timeout=60).status_code == 200, "the model is ready")
        yield url


def ask(url: str, model: str, row: dict[str, Any]) -> dict[str, Any]:
    """The choice that answers a request. It is greedy."""
    body = {
        "model": model, "messages": row["messages"], "tools": row["tools"], "tool_choice": "auto", "temperature": 0,
        "max_tokens": MAX_TOKENS,
    }  # fmt: skip
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=600)
    response.raise_for_status()
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


def table(results: list[tuple[dict[str, Any], dict[str, Any], str]]) -> str:
    """The figures by half, and a line per request."""
    lines = ["| | needs a call: right | needs none: no call |", "|---|---|---|"]
    for half in sorted({row["half"] for row, _, _ in results}):
        counts = []
        for needs in (True, False):
            faults = [fault for row, _, fault in results if row["half"] == half and ("call" in row) == needs]
            counts.append(f"{sum(not fault for fault in faults)} of {len(faults)}")
        lines.append(f"| {half} | {counts[0]} | {counts[1]} |")
    lines += ["", "| request | language | last message | answer | fault |", "|---|---|---|---|---|"]
    for row, choice, fault in results:
        message = choice["message"]
        calls = [call["function"] for call in message.get("tool_calls") or []]
        answer = " ".join(f"`{call['name']}({call['arguments']})`" for call in calls) or message["content"][:60]
        asked = row["messages"][-1]["content"]
        cells = [f"{row['id']} ({row['half']})", row["language"], asked, answer, fault]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table. Exits with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--half", choices=["tuning", "unseen"], help="only these requests")
    parser.add_argument("--library", type=Path, default=Path(".sameboat/bench-tools"), help="an empty folder")
    options = parser.parse_args()
    rows = [row for row in requests() if options.half in (None, row["half"])]
    options.library.mkdir(parents=True, exist_ok=True)
    with service(options.model, options.library) as url:
        choices = [ask(url, options.model, row) for row in rows]
    results = [(row, choice, judge(row, choice)) for row, choice in zip(rows, choices, strict=True)]
    print(table(results))
    shares = []
    for needs in (True, False):
        faults = [fault for row, _, fault in results if ("call" in row) == needs]
        shares.append(sum(not fault for fault in faults) / len(faults))
    sys.exit(0 if shares[0] >= GOAL_CALLS and shares[1] >= GOAL_NONE else 1)


if __name__ == "__main__":
    main()
