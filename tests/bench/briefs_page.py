"""docs/briefs.md, from the measurements of `drill_briefs`: docs/held-out.json and docs/briefs.json.

In: for each run the rows of each maker, and the rows of the public tasks. Out: the text of the page.
Not here: measuring (`drill_briefs`).
"""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
# Where the reason begins in "code: reason", for code that holds colons too
REASON = re.compile(r": (?=it is |it does |the page |there is |[A-Z]\w*Error: )")
NAMES = {"plan": "starter, SmolLM2-135M (`SAMEBOAT_MAKER=plan`)", "auto": "Qwen2.5-Coder-1.5B (`auto`, the default)"}
HEAD = """# Briefs and the apps that are built of them

Made by `tests/bench/drill_briefs.py`: 2 CPUs of an x86_64 machine with AVX-512, two builds at a time. Nothing here is
asserted by a test.

## Held-out briefs

Each brief is posted to a started service with the default settings: the local forge and the models in this machine.
Its checks are `js` expressions in Chromium, and five or six checks are ours. A reference page passes all of them
(`tests/bench/test_held_out.py`). *First candidate* is the first version, *before repair* the best one before a repair.
A brief counts if every check passes. There are four sets, each of three levels of eight briefs:

* `tests/bench/held_out/`: written by two authors without sight of prompts, pieces and other briefs. Nothing was made
  with them before the last runs (*fourth set*).
* `tests/bench/once_held_out/`: the set of the first three runs, whose pieces had the same author, the set of the runs
  *fresh briefs*, and that of the runs *third set*. They are of development now, because work was done in sight of their
  failures or of their kinds.

"""
OTHERS = " The other rows are of a model in this machine\nthat writes itself."
PICTURES = """
![the pages of the last run with the default settings](held-out.webp)

*With Qwen.* {seen}

![the pages of the last run with the starter](held-out-starter.webp)

*With the starter.* {seen_starter}
"""
TASKS = """
## The three tasks of the public evaluation

*scripted*: a scripted model behind a real OpenAI-compatible HTTP server. It shows the steps and not the writing: the
brief arrives, data is fetched from a local server, files are written, checked, pushed, published and called back, and
round 2 edits the same repository.{others}

| model | task | round | files | checks passed | not judged | seconds |
|---|---|--:|--:|--:|---|--:|
"""


def page(
    runs: Mapping[str, Mapping[str, Mapping[str, Row]]], tasks: Mapping[str, list[Row]], words: Mapping[str, str]
) -> str:
    """The whole page. `words`: sentences of a person about the runs (`runs`) and the pages (`seen`)."""
    words = {key: textwrap.fill(value, 120, break_on_hyphens=False) for key, value in words.items()}
    text = HEAD + "| run | model | briefs | first candidate | before repair | published | median s | p95 s |\n"
    text += "|---|---|--:|--:|--:|--:|--:|--:|\n"
    for name, makers in runs.items():
        for maker, rows in makers.items():
            text += summary(name, maker, list(rows.values()))
    last: dict[str, Mapping[str, Row]] = {}
    for makers in runs.values():
        last |= makers  # of each maker its last run
    text += f"\n{words.get('runs', '')}\n\nThe last run of each:\n\n"
    text += "| brief | level | starter | s | Qwen | versions | tokens | s | failures |\n"
    text += "|---|--:|---|--:|---|--:|--:|--:|---|\n"
    rows, plans = last.get("auto", {}), last.get("plan", {})
    for brief in sorted({*rows, *plans}, key=lambda name: ((rows.get(name) or plans[name])["level"], name)):
        text += line(brief, plans.get(brief), rows.get(brief))
    text += PICTURES.format(seen=words.get("seen", ""), seen_starter=words.get("seen_starter", ""))
    text += TASKS.format(others=OTHERS if tasks.keys() - {"scripted"} else "")
    for model, done in tasks.items():
        for task in done:
            missing = len(task["not_judged"])
            text += f"| {model} | {task['task']} | {task['round']} | {task['files']} | {task['passed']} of "
            text += f"{task['passed'] + task['failed']} | {missing} | {task['seconds']:.0f} |\n"
    return f"{text}\n{words.get('tasks', '')}\n"


def summary(run: str, maker: str, rows: list[Row]) -> str:
    """One line: the briefs of which all checks pass, and the seconds."""
    seconds = sorted(row["seconds"] for row in rows)
    counts = (sum(good(row, key) for row in rows) for key in ("first_failed", "chosen_failed", "failed"))
    late = seconds[min(len(seconds) - 1, round(0.95 * len(seconds)))]
    passed = " | ".join(f"**{count}**" for count in counts)
    return f"| {run} | {NAMES[maker]} | {len(rows)} | {passed} | {statistics.median(seconds):.0f} | {late:.0f} |\n"


def line(brief: str, plan: Row | None, auto: Row | None) -> str:
    """One brief with both models."""
    first = f"{verdict(plan)} | {plan['seconds']:.0f}" if plan else "not measured | "
    if auto is None:
        return f"| {brief} | {plan['level'] if plan else ''} | {first} | not measured | | | | |\n"
    failed = "; ".join(REASON.split(sentence)[-1].replace("|", "\\|")[:90] for sentence in auto["failed"] or [])
    failed = f"`{failed.replace('`', chr(39))}`" if failed else ""
    numbers = f"{len(auto['versions'])} | {auto['tokens']} | {auto['seconds']:.0f}"
    return f"| {brief} | {auto['level']} | {first} | {verdict(auto)} | {numbers} | {failed} |\n"


def verdict(row: Row) -> str:
    """Whether it passes, by which maker."""
    return f"pass ({row['maker']})" if good(row, "failed") else f"{len(row['failed'] or [])} fail ({row['maker']})"


def good(row: Row, key: str) -> bool:
    """Whether no check failed."""
    return row["status"] == "done" and row[key] == []
