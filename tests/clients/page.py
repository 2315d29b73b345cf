"""docs/clients.md: which version of each client passed which cells of the matrix.

In: docs/clients.json, which `pytest tests/clients --clients-path=docs/clients.json` writes. Out: the page.
`make clients` does both. Not here: the cells (`matrix.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.matrix import CLIENTS, KINDS, Client

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE, PAGE = DOCS / "clients.json", DOCS / "clients.md"
REAL = "real model"
Results = dict[str, dict[str, Any]]


class ClientResults:
    """A pytest plugin that collects outcomes of cells, and writes them beside those of earlier runs."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: Results = {}
        if path is not None and path.exists():
            self.results = json.loads(path.read_text(encoding="utf-8"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A cell passed if its call did. It failed if any phase of it did."""
        properties = dict(report.user_properties)
        if "client" not in properties or (report.when != "call" and report.passed):
            return
        result = self.results.setdefault(properties["client"], {"versions": {}, "cells": {}})
        result["versions"] |= properties.get("versions", {})
        result["cells"][properties["cell"]] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write the file, if one was asked for."""
        if self.path is not None:
            ordered = {name: self.results[name] for name in CLIENTS if name in self.results}
            self.path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def count(client: Client, cells: dict[str, str], kind: str) -> str:
    """One cell of the table: how many of its ways passed."""
    ways = [f"{kind}:{way}" for way in client.cells.get(kind, [])]
    passed = sum(cells.get(way) == "passed" for way in ways)
    if not ways:
        return ""
    return str(passed) if passed == len(ways) else f"{passed} of {len(ways)}"


def table(results: Results) -> str:
    """A line for each client."""
    columns = [*KINDS, "other", REAL]
    lines = [f"| client | version | {' | '.join(columns)} |", "|---|---|" + "--:|" * len(columns)]
    for name, client in CLIENTS.items():
        result = results[name]
        versions = "<br>".join(f"{package} {version}" for package, version in result["versions"].items())
        cells = [count(client, result["cells"], kind) for kind in KINDS]
        others = [f"{count(client, result['cells'], kind)} {kind}" for kind in client.cells if kind not in KINDS]
        outcome = result["cells"].get(REAL, "not run") if client.real else ""
        real = {"passed": "yes", "failed": "no", "skipped": "not run"}.get(outcome, outcome)
        lines.append(f"| {client.title} | {versions} | {' | '.join([*cells, '<br>'.join(others), real])} |")
    return "\n".join(lines)


def ways() -> str:
    """The names of all cells."""
    lines = []
    for client in CLIENTS.values():
        kinds = (f"{kind}: {' / '.join(names)}" for kind, names in client.cells.items())
        lines.append(f"- **{client.title}**: {'. '.join(kinds)}.")
    return "\n".join(lines)


def page(text: str, results: Results) -> str:
    """The page with its two parts made again."""
    for name, part in (("table", table(results)), ("ways", ways())):
        before, _, rest = text.partition(f"<!-- {name}: made by make clients -->\n")
        _, _, after = rest.partition("<!-- end -->")
        text = f"{before}<!-- {name}: made by make clients -->\n{part}\n<!-- end -->{after}"
    return text


if __name__ == "__main__":
    made = page(PAGE.read_text(encoding="utf-8"), json.loads(TABLE.read_text(encoding="utf-8")))
    PAGE.write_text(made, encoding="utf-8")
