"""Finds errors that a public function raises and its docstring does not name.

In: the Python files below a folder. Out: one line per missing error, as `file:line: text`.
Not here: errors that come from a called function. Ruff's rule DOC501 reads `raise` statements only.

`python -m tests.raises` is a check of `make lint`. Ruff has no option that leaves private functions out, so this does.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.prose import ROOT, room_of

RULE = ("check", "--preview", "--select", "DOC501", "--exit-zero", "--no-cache", "--output-format", "json")

# Exit codes of the command line. A command's docstring is its help, which describes them in a sentence.
EXIT = re.compile("`(Exit|BadParameter)`")

# How many are open per room. A number may only fall. The end is an empty table.
OPEN = {
    "service": 7, "service/builds": 52, "service/engine": 9, "service/models": 10, "service/prompts": 11,
}  # fmt: skip


def missing(folder: Path) -> list[tuple[Path, str]]:
    """Each error that a public function below `folder` raises and its docstring does not name: file and message."""
    ruff = Path(sys.executable).parent / "ruff"
    done = subprocess.run([ruff, *RULE, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    messages = []
    for problem in json.loads(done.stdout):
        path, row = Path(problem["filename"]), problem["location"]["row"]
        if EXIT.search(problem["message"]) is None and _is_public(ast.parse(path.read_text(encoding="utf-8")), row):
            messages.append((path, f"{path.relative_to(ROOT)}:{row}: {problem['message']}"))
    return messages


def too_many(folder: Path) -> list[str]:
    """The messages of each room below `folder` that has more of them than `OPEN` allows."""
    messages = missing(folder)
    counts = Counter(room_of(path) for path, _ in messages)
    return [text for path, text in messages if counts[room_of(path)] > OPEN.get(room_of(path), 0)]


def _folder(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def _is_public(tree: ast.Module, row: int) -> bool:
    """Whether the function around this row is public: no name around it is private, and no function is around it."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node for node in ast.walk(tree) if isinstance(node, kinds) and node.lineno <= row <= (node.end_lineno or 0)
    ]
    functions = [node for node in around if not isinstance(node, ast.ClassDef)]
    return len(functions) == 1 and not any(node.name.startswith("_") for node in around)


if __name__ == "__main__":
    lines = too_many(ROOT / "service")
    print("\n".join(lines))
    sys.exit(bool(lines))
