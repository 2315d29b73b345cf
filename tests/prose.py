"""Two figures of the prose in a file: question words and semicolons per 1,000 words.

In: a Python file, a Markdown page or a notebook. Out: its docstrings, comments or text, without code, and its figures.
Not here: the test of the limits (`test_house.py`).

`python -m tests.prose [FOLDER ...]` prints the figures of every tracked file, the worst first.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION_WORDS = re.compile(r"\b(?:who|what|whose|whoever)\b", re.I)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
CODE = re.compile(r"^(```|~~~).*?^\1|``.+?``|`[^`\n]+`|<!--.*?-->|&#?\w+;", re.S | re.M)
SUFFIXES = {".py", ".md", ".ipynb"}
MAX_QUESTION_WORDS = 5  # per 1,000 words, so a file with fewer than 200 words has none
MAX_SEMICOLONS = 4  # per 1,000 words


@dataclass(frozen=True)
class Prose:
    """The counts of one text."""

    words: int
    question_words: int
    semicolons: int

    def per_thousand(self, count: int) -> float:
        """`count` for each 1,000 words of this text."""
        return 1000 * count / max(self.words, 1)

    @property
    def is_plain(self) -> bool:
        """Whether both figures keep their limits."""
        return (
            self.per_thousand(self.question_words) <= MAX_QUESTION_WORDS
            and self.per_thousand(self.semicolons) <= MAX_SEMICOLONS
        )


def prose_of(path: Path) -> str:
    """The text of a file that people read as sentences, without code."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        source = "\n".join([*_docstrings(source), *_comments(source)])
    elif path.suffix == ".ipynb":
        cells = json.loads(source)["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return CODE.sub(" ", source)


def count(text: str) -> Prose:
    """The figures of a text."""
    return Prose(len(WORD.findall(text)), len(QUESTION_WORDS.findall(text)), text.count(";"))


def tracked(*folders: str) -> list[Path]:
    """Every file with prose that git knows below these folders of the repository."""
    names = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [ROOT / name for name in names if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]


def _docstrings(source: str) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [text for node in nodes if (text := ast.get_docstring(node))]


def _comments(source: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]


def main(folders: list[str]) -> None:
    """Print each file's words, question words and semicolons, the worst first, and the sum."""
    counts = {path: count(prose_of(path)) for path in tracked(*folders)}
    for path, prose in sorted(counts.items(), key=lambda item: -item[1].question_words - item[1].semicolons):
        if prose.question_words or prose.semicolons:
            print(f"{prose.words:6} {prose.question_words:4} {prose.semicolons:4}  {path.relative_to(ROOT)}")
    total = Prose(*(sum(getattr(prose, name) for prose in counts.values()) for name in Prose.__dataclass_fields__))
    print(
        f"{len(counts)} files, {total.words} words, per 1,000: "
        f"{total.per_thousand(total.question_words):.1f} question words, "
        f"{total.per_thousand(total.semicolons):.1f} semicolons"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
