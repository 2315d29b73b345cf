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
from pathlib import Path

from tests.prose import ROOT

RULE = ("check", "--preview", "--select", "DOC501", "--exit-zero", "--no-cache", "--output-format", "json")

# Exit codes of the command line. A command's docstring is its help, which describes them in a sentence.
EXIT = re.compile("`(Exit|BadParameter)`")

# A function that makes the error, as in `raise too_long(...)`. Ruff takes its name for the error's.
MADE = re.compile("exception `[a-z_]+`")


def missing(folder: Path) -> list[str]:
    """Each error that a public function below `folder` raises and its docstring does not name."""
    ruff = Path(sys.executable).parent / "ruff"
    done = subprocess.run([ruff, *RULE, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    messages = []
    for problem in json.loads(done.stdout):
        path, row = Path(problem["filename"]), problem["location"]["row"]
        named = EXIT.search(problem["message"]) or MADE.search(problem["message"])
        if not named and _is_public(ast.parse(path.read_text(encoding="utf-8")), row):
            messages.append(f"{path.relative_to(ROOT)}:{row}: {problem['message']}")
    return messages


def _is_public(tree: ast.Module, row: int) -> bool:
    """Whether the function around this row is public: no name around it is private, and no function is around it."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node for node in ast.walk(tree) if isinstance(node, kinds) and node.lineno <= row <= (node.end_lineno or 0)
    ]
    functions = [node for node in around if not isinstance(node, ast.ClassDef)]
    return len(functions) == 1 and not any(node.name.startswith("_") for node in around)


if __name__ == "__main__":
    lines = missing(ROOT / "service")
    print("\n".join(lines))
    sys.exit(bool(lines))
