"""Case files as tests write them: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the rows, and make the folder. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def things(folder: Path, n: int) -> Path:
    """The folder with a cases.jsonl of `n` things: `{"id": "p0", "thing": "thing 0"}` and on."""
    write(folder / "cases.jsonl", [{"id": f"p{i}", "thing": f"thing {i}"} for i in range(n)])
    return folder
