"""Rows to docs/bench.json, docs/bench.svg and the measured part of docs/bench.md.

In: families of rows, each with the conditions of its run. Out: the three files.
Not here: the figures (`rows.py`), and the text of docs/bench.md around the two marks.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.rows import NO_PEERS, Row, best_peers, better, less_is_better

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WIDTH, LINE, LEFT, BAR = 900, 22, 470, 330
Families = Mapping[str, Mapping[str, Any]]
"""By name: `conditions` and `rows`."""


def read(path: Path) -> dict[str, Any]:
    """The families of an earlier run."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(folder: Path, families: Families) -> None:
    """All three files. A page without the marks is written anew."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(families, indent=1) + "\n", encoding="utf-8")
    rows = [row for family in families.values() for row in family["rows"]]
    (folder / "bench.svg").write_text(plot(best_peers(rows)), encoding="utf-8")
    page = folder / "bench.md"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Measured\n\n{BEGIN}\n{END}\n"
    head, rest = text.split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{measured(families)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def measured(families: Families) -> str:
    """The part of docs/bench.md between the marks."""
    rows = [row for family in families.values() for row in family["rows"]]
    parts = ["### Against the best peer", *_table(best_peers(rows)), "", "![ratios](bench.svg)", ""]
    others = [row for row in rows if row["peer_name"].startswith(NO_PEERS)]
    if others:
        parts += ["### Against a limit or itself", *_table(others), ""]
    parts += ["### Against every peer", *_table([row for row in rows if row not in others]), ""]
    parts += ["### Conditions", "", "| rows | conditions |", "|---|---|"]
    parts += [f"| {name} | {family['conditions']} |" for name, family in families.items()]
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["", "| workload | clients | model | ours | peer | | ratio | spread | physical limit |"]
    lines += ["|---|--:|---|--:|--:|---|--:|---|--:|"]
    for row in rows:
        low, high = row["spread"]
        arrow = " (less is better)" if less_is_better(row["workload"]) else ""
        limit = "" if row.get("limit") is None else f"{row['limit']:.4g}"
        lines.append(
            f"| {row['workload']}{arrow} | {row['n'] or ''} | {row['model']} | {row['ours']:.4g} | {row['peer']:.4g} "
            f"| {row['peer_name']} | **{row['ratio']:.2f}x** | {low:.2f} to {high:.2f} | {limit} |"
        )
    return lines


def plot(rows: Sequence[Row]) -> str:
    """docs/bench.svg: how many times better than the best peer, as bars around a line at 1x, with the spread."""
    scale = BAR / 5  # five times better fills the width, and more is cut and written as a figure
    height = LINE * (len(rows) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    ]
    for at, row in enumerate(rows, 1):
        y = LINE * at
        factors = [better(row, value) for value in (row["ratio"], *row["spread"])]
        name = f"{row['workload']}, {row['n']} clients" if row["n"] else row["workload"]
        small = "Qwen, " if row["model"].startswith("qwen") else ""
        label = html.escape(f"{small}{name} / {row['peer_name']}")
        colour = "#2a7" if factors[0] >= 1 else "#b54"
        width = min(factors[0], 5) * scale
        low, high = (min(max(value, 0), 5) * scale for value in sorted(factors[1:]))
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
            f'<rect x="{LEFT}" y="{y - 7}" width="{width:.1f}" height="14" fill="{colour}"/>'
            f'<line x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" y1="{y}" y2="{y}" stroke="#000" stroke-width="1"/>'
            f'<text x="{LEFT + max(width, high) + 6:.1f}" y="{y + 4}">{factors[0]:.2f}x</text>'
        )
    one = LEFT + scale
    parts.append(f'<line x1="{one}" x2="{one}" y1="8" y2="{height - 12}" stroke="#888" stroke-dasharray="3 3"/></svg>')
    return "\n".join(parts) + "\n"
