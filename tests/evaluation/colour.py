"""The prompt `colour` and its cases, for tests of promotions.

In: a folder, a number of cases. Out: a data directory with the cases, where nothing is promoted yet.
Not here: models (`tests.scripted`).
"""

from __future__ import annotations

from pathlib import Path

from service.engine.types import Request
from service.prompts.promoted import PromotedFolder
from tests import casefile

TEXT = """
# its purpose
name: colour
responseFormat: choice
choices: [red, green]
messages:
  - {role: user, content: "Colour of {{thing}}?"}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""
POLITE = TEXT.replace("Colour of", "Colour, please, of")
FREE = TEXT.replace("responseFormat: choice\nchoices: [red, green]\n", "")


def number(request: Request) -> int:
    """The number of the thing that a request asks about."""
    return int(request.messages[-1].content.split("thing ")[1].rstrip("?"))


def label(thing: int, green_every: int = 2) -> str:
    """Green for every second thing, or every `green_every`-th one, and red for the others."""
    return "red" if thing % green_every else "green"


def rows(n: int, green_every: int = 2) -> list[dict[str, str]]:
    """The cases c000, c001, ..."""
    return [{"id": f"c{i:03}", "thing": f"thing {i}", "expected": label(i, green_every)} for i in range(n)]


def folder(tmp_path: Path, n: int, green_every: int = 2) -> PromotedFolder:
    """The folder of `colour` in the data directory `tmp_path / "data"`. It holds the cases."""
    path = tmp_path / "data" / "prompts" / "colour"
    path.mkdir(parents=True)
    casefile.write(path / "cases.jsonl", rows(n, green_every))
    return PromotedFolder(path)
