"""The frame of a client's program: it runs every cell and prints each client object as a JSON line.

In: one JSON argument with the URLs and models. Out: lines such as `{"cell": "chat:create", "value": {...}}`.
Not here: expectations. This folder imports nothing of Sameboat, because it runs in the clients' environments.
"""

import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, Field

GIVEN: dict[str, str] = json.loads(sys.argv[1])
STARTER, SCRIPTED, EMBEDDING = GIVEN["starter"], GIVEN["scripted"], GIVEN.get("embedding")
MODEL, EMBEDDING_MODEL = GIVEN["model"], GIVEN.get("embedding_model")
KEY = "none"
ASK = "Name a colour."
TIME = "What time is it in Bern?"
HELLO = "Say hello."
TEXTS = ["A boat is rowed across the river.", "The invoice was paid."]
MESSAGES = [{"role": "user", "content": ASK}]
TOKENS = 40


class Pick(BaseModel):
    """A colour and a number."""

    colour: Literal["red", "green", "blue"]
    count: int = Field(ge=0, le=99)


Town = Literal["Bern", "Oslo", "Lima"]


class Clock(BaseModel):
    """The time in a town."""

    town: Town


def clock(town: Town) -> str:
    """The time in a town."""
    CALLED.append(town)
    return "12:34"


CALLED: list[str] = []
TOOL = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time in a town.",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string", "enum": ["Bern", "Oslo", "Lima"]}},
            "required": ["town"],
            "additionalProperties": False,
        },
    },
}
Cell = Callable[[], Any]
CELLS: dict[str, Cell] = {}


def cell(name: str, *, needs: str | None = "") -> Callable[[Cell], Cell]:
    """Add a cell. It is left out if its `needs` is None."""

    def add(work: Cell) -> Cell:
        if needs is not None:
            assert name not in CELLS, name
            CELLS[name] = work
        return work

    return add


def told(line: dict[str, Any]) -> None:
    print(json.dumps(line, default=str), flush=True)


def main(*packages: str) -> None:
    """Run every cell. An error is the cell's result, with the client's own class and words."""
    told({"versions": {package: importlib.metadata.version(package) for package in packages}})
    for name, work in CELLS.items():
        if GIVEN.get("only") not in (None, name):
            continue
        CALLED.clear()
        try:
            told({"cell": name, "value": work()})
        except Exception as error:  # noqa: BLE001  the test fails with these words
            told({"cell": name, "error": f"{type(error).__name__}: {error}"[:800]})


def usage(prompt: int | None, completion: int | None) -> dict[str, Any]:
    """The client's two counts of tokens."""
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def picked(value: Any) -> dict[str, Any]:
    """A parsed answer, with the class that the client made of it."""
    return {"type": type(value).__name__, "value": value.model_dump() if isinstance(value, BaseModel) else value}


def executed(text: str) -> dict[str, Any]:
    """The final text of a client that calls functions itself, and the towns for which it called ours."""
    return {"towns": list(CALLED), "text": text}


def calls(*made: tuple[str, Any]) -> dict[str, Any]:
    """Tool calls by name and arguments. Arguments are an object, or its JSON text."""
    return {"calls": [[name, json.loads(given) if isinstance(given, str) else given] for name, given in made]}
