"""The result of an external check is recorded with the answer. A replay needs no browser, and a live run must agree."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.types import Request
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import promote, recording, runner
from service.evaluation.check_code import code_of
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import live, replay
from service.evaluation.runner import CaseOutcome
from service.prompts.file import load, loads
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: shop
messages:
  - {role: user, content: "A price for {{thing}}."}
testDataFile: cases.jsonl
evaluators:
  - {name: said, string: {contains: "price"}, minimum: 0.1}
  - {name: is open, python: "shopkeeper:is_open"}
"""
MODULE = '''
from service.prompts.external_check import external_check

LOOKED = []
OPEN = {"open": True}


@external_check("a shop")
def is_open(values, text, value):
    """Whether the shop is open for the thing."""
    LOOKED.append(values["thing"])
    return OPEN["open"] and values["thing"] != "thing 3"
'''


def writer(request: Request) -> str:
    return f"The price: {request.messages[-1].content}"


@pytest.fixture
def shopkeeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module with a check that observes: how often it looked is in LOOKED."""
    (tmp_path / "shopkeeper.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import shopkeeper  # type: ignore[import-not-found]

    yield shopkeeper
    del sys.modules["shopkeeper"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return casefile.things(tmp_path / "shop", 6)


def promoted(folder: Path) -> promote.Promotion:
    return asyncio.run(promote.promote(loads(TEXT), PromotedFolder(folder), EvaluationContext(ScriptedEngine(writer))))


def lived(folder: Path) -> list[CaseOutcome]:
    return asyncio.run(
        live(load(folder / "shop.prompt.yml"), PromotedFolder(folder), EvaluationContext(ScriptedEngine(writer)))
    )


def test_a_replay_takes_what_was_seen_and_does_not_look(folder: Path, shopkeeper: Any) -> None:
    """One of six is closed. The replay gives the same while the shop cannot be reached."""
    done = promoted(folder)
    assert sorted(shopkeeper.LOOKED) == [f"thing {i}" for i in range(6)]
    assert [outcome.passed for outcome in done.outcomes] == [i != 3 for i in range(6)]
    shopkeeper.OPEN.clear()
    again = replay(load(folder / "shop.prompt.yml"), PromotedFolder(folder))
    assert [each.checks for each in again] == [outcome.checks for outcome in done.outcomes]
    assert len(shopkeeper.LOOKED) == 6
    assert "in a shop" in again[3].checks[1].reason


def test_a_changed_check_or_case_is_a_miss(folder: Path, shopkeeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed value of the case or changed code of the check makes the recording old."""
    promoted(folder)
    prompt = load(folder / "shop.prompt.yml")
    source = "service.evaluation.check_code.inspect.getsource"
    with monkeypatch.context() as patched:
        patched.setattr(source, lambda module: MODULE.replace("thing 3", "thing 4"))
        with pytest.raises(EvaluationError, match="6 of 6 cases are not in the recording"):
            replay(prompt, PromotedFolder(folder))
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    rows[2]["note"] = "no input of the prompt, and the check may read it"
    casefile.write(folder / "cases.jsonl", rows)
    with pytest.raises(EvaluationError, match="1 of 6 cases are not in the recording as they are asked now, first p2"):
        replay(prompt, PromotedFolder(folder))


def test_a_live_run_looks_again_and_names_the_check_that_saw_something_else(folder: Path, shopkeeper: Any) -> None:
    """The same tokens are not enough."""
    promoted(folder)
    assert len(lived(folder)) == 6
    assert len(shopkeeper.LOOKED) == 12
    shopkeeper.OPEN["open"] = False
    with pytest.raises(EvaluationError, match=r"The tokens are the same; .* differs: 'is open'") as error:
        lived(folder)
    assert "5 of 6" in str(error.value)


def test_what_was_not_seen_is_never_a_pass(folder: Path, shopkeeper: Any) -> None:
    """A recording without the observation is told to be recorded again, and a check cannot be asked without it."""
    promoted(folder)
    path = folder / "recording.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        assert row.pop("judgements")["is open"]["choice"] == ("0.0" if row["id"] == "p3" else "1.0")
    casefile.write(path, rows)
    with pytest.raises(EvaluationError, match="6 of 6 cases"):
        replay(load(folder / "shop.prompt.yml"), PromotedFolder(folder))
    prompt, record = load(folder / "shop.prompt.yml"), recording.read(path)["p0"]
    with pytest.raises(EvaluationError, match="nothing is recorded of a shop"):
        runner.apply_checks(prompt, case_files.load(prompt, folder)[0], [record])


def test_prose_and_place_of_a_check_are_not_part_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docstring, a comment, another module or an unused neighbour changes nothing. Code that it uses does."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_of(module(tmp_path, "one", MODULE).is_open)
    prose = MODULE.replace("Whether the shop", "A comment says that the shop").replace(
        "LOOKED.append", "# why\n    LOOKED.append"
    )
    assert prose != MODULE
    assert code_of(module(tmp_path, "two", prose + "\n\nUNUSED = 1\n").is_open) == before
    for number, (old, new) in enumerate([('"thing 3"', '"thing 4"'), ('{"open": True}', '{"open": 1}')]):
        assert code_of(module(tmp_path, f"changed{number}", MODULE.replace(old, new)).is_open) != before


def module(folder: Path, name: str, source: str) -> Any:
    (folder / f"{name}.py").write_text(source)
    return importlib.import_module(name)
