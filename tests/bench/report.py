"""Rows to docs/bench.json, docs/bench.md and docs/bench.svg. The README and others read the rows."""

from __future__ import annotations

import html
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
WIDTH, LINE, LEFT, BAR = 900, 22, 430, 360


def row(workload: str, n: int, model: str, ours: Sequence[float], theirs: Sequence[float], peer: str) -> Row:
    """One line: medians, and the ratio ours / theirs of the same round as median and [smallest, largest]."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "workload": workload,
        "n": n,
        "model": model,
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(theirs), 4),
        "peer_name": peer,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """The old rows, those measured again in their new form, and behind them the new rows."""
    found = {_key(each): each for each in (*old, *new)}
    return list(found.values())


def _key(each: Row) -> tuple[Any, ...]:
    return each["workload"], each["n"], each["model"], each["peer_name"]


def less_is_better(workload: str) -> bool:
    """Seconds, milliseconds and memory. Everything else is a rate."""
    return workload.endswith((" s", " ms", "MiB"))


def table(rows: Sequence[Row], note: str) -> str:
    """docs/bench.md."""
    lines = ["# Measured", "", note, "", "![ratios](bench.svg)", ""]
    lines += ["| workload | clients | model | ours | peer | | ratio | spread |", "|---|--:|---|--:|--:|---|--:|---|"]
    for each in rows:
        low, high = each["spread"]
        arrow = " (less is better)" if less_is_better(each["workload"]) else ""
        lines.append(
            f"| {each['workload']}{arrow} | {each['n'] or ''} | {each['model']} | {each['ours']:.4g} "
            f"| {each['peer']:.4g} | {each['peer_name']} | **{each['ratio']:.2f}x** | {low:.2f} to {high:.2f} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row]) -> str:
    """docs/bench.svg: how many times better than the peer, as bars around a line at 1x, with the spread."""
    shown = [each for each in rows if "limit" not in each["peer_name"]]
    scale = BAR / 5  # five times better fills the width, and more is cut and written as a figure
    height = LINE * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    ]
    for at, each in enumerate(shown, 1):
        y = LINE * at
        better = [_better(each, value) for value in (each["ratio"], *each["spread"])]
        name = f"{each['workload']}, {each['n']} clients" if each["n"] else each["workload"]
        label = html.escape(f"{name} / {each['peer_name']}")
        colour = "#2a7" if better[0] >= 1 else "#b54"
        width = min(better[0], 5) * scale
        low, high = (min(max(value, 0), 5) * scale for value in sorted(better[1:]))
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
            f'<rect x="{LEFT}" y="{y - 7}" width="{width:.1f}" height="14" fill="{colour}"/>'
            f'<line x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" y1="{y}" y2="{y}" stroke="#000" stroke-width="1"/>'
            f'<text x="{LEFT + max(width, high) + 6:.1f}" y="{y + 4}">{better[0]:.2f}x</text>'
        )
    one = LEFT + scale
    parts.append(f'<line x1="{one}" x2="{one}" y1="8" y2="{height - 12}" stroke="#888" stroke-dasharray="3 3"/></svg>')
    return "\n".join(parts) + "\n"


def _better(each: Row, ratio: float) -> float:
    """How many times better, whatever better means here."""
    if not less_is_better(each["workload"]):
        return ratio
    return 1 / ratio if ratio else 0.0


def write(folder: Path, rows: Sequence[Row], note: str) -> None:
    """All three files."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(list(rows), indent=1) + "\n", encoding="utf-8")
    (folder / "bench.md").write_text(table(rows, note), encoding="utf-8")
    (folder / "bench.svg").write_text(plot(rows), encoding="utf-8")
