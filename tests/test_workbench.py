"""The notebook's bench: plain calls inside a running event loop, displays that survive hostile answers."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from service import workbench as bench
from service.engine.types import Request
from service.errors import EngineUnavailable
from tests.scripted import ScriptedEngine

TEXT = """
name: colour
messages:
  - {role: user, content: "Colour of {{thing}}?"}
inputs:
  type: object
  properties: {thing: {type: string}}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""


def reply(request: Request) -> str:
    said = request.messages[-1].content
    return "<script>alert(1)</script>" if "thing 7?" in said else "green" if "please" in said else "red"


class Scripted:
    """In place of the engines of this machine."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine(reply)

    def get(self, model: str | None) -> ScriptedEngine:
        return self.engine

    async def stop(self, grace_s: float) -> None:
        await self.engine.stop(grace_s)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bench of its own, on a data directory with 30 cases of which all but one get the right answer."""
    folder = tmp_path / "data" / "prompts" / "colour"
    folder.mkdir(parents=True)
    rows = [{"id": f"c{i}", "thing": f"thing {i}", "expected": "red", "slice": f"s{i % 2}"} for i in range(30)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(bench, "_benches", [])
    monkeypatch.setattr(bench, "Engines", lambda settings: Scripted())
    yield tmp_path / "data"
    bench.close()


def test_a_draft_is_promoted_tried_compared_and_replayed(data: Path) -> None:
    """The walk of notebooks 2 and 3, each display with its facts."""
    done = bench.promote(bench.draft(TEXT))
    assert done.written
    assert "no baseline" in done._repr_markdown_() == str(done)
    cases = bench.cases("colour")
    results = bench.try_(bench.promoted("colour"), cases)
    assert results.rate.startswith("96.7 %")
    assert results.rows()[0][0] == "c7", "failures come first"
    other = bench.draft(TEXT.replace("Colour of", "Colour, please, of"))
    compared = bench.compare(other, "colour", cases)
    assert compared.verdict.word == "REGRESSION"
    assert ("c0", "lost", "red", "green") in compared.changed()
    assert bench.promote(other).written is False
    assert bench.replay("colour").rate == results.rate
    assert bench.run("colour", thing="x").text == "red"


def test_a_cell_of_a_running_event_loop_can_call_it(data: Path) -> None:
    """A notebook's kernel runs a loop of its own; the bench has another."""

    async def cell() -> str:
        return bench.ask("hello").text

    assert asyncio.run(cell()) == "red"


def test_displays_escape_what_a_model_says_and_fall_back_to_text(data: Path) -> None:
    """No answer becomes markup; a terminal gets the same facts without any."""
    bench.promote(bench.draft(TEXT))
    results = bench.try_(bench.promoted("colour"), bench.cases("colour"))
    page = results._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "and 18 more" in page
    assert "<script>" not in results._repr_markdown_()
    assert repr(results).splitlines()[0].startswith("colour: 96.7 %")
    assert "<table" not in repr(results)
    compared = bench.compare(bench.draft(TEXT.replace("Colour", "Please")), "colour", bench.cases("colour"))
    assert "<script>" not in compared._repr_html_()
    assert repr(compared).startswith(compared.verdict.word)


def test_a_plot_is_a_static_picture_with_an_interval_per_slice(data: Path) -> None:
    """It renders without a display and names both slices."""
    bench.promote(bench.draft(TEXT))
    figure = bench.replay("colour").plot().figure
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["s0", "s1"]
    picture = io.BytesIO()
    figure.savefig(picture, format="svg")
    assert picture.getvalue().startswith(b"<?xml")


def test_answers_given_before_are_not_asked_again_and_errors_reach_the_cell(data: Path) -> None:
    """The journal serves the second try; an engine that fails raises its own error, not a group."""
    bench.promote(bench.draft(TEXT))
    other, cases = bench.draft(TEXT.replace("Colour", "Hue")), bench.cases("colour", 10)
    engine = bench._bench().engines.engine
    bench.try_(other, cases)
    asked = len(engine.asked)
    bench.try_(other, cases)
    assert len(engine.asked) == asked
    engine.reply = lambda request: EngineUnavailable("it crashed")
    with pytest.raises(EngineUnavailable, match="it crashed"):
        bench.try_(bench.draft(TEXT.replace("Colour", "Shade")), cases)


def test_a_bar_is_drawn_under_its_cell_and_leaves_nothing_in_the_saved_notebook(tmp_path: Path) -> None:
    """In a real kernel: one display, which was updated while it ran and is empty at the end; also in HTML."""
    notebook = nbformat.v4.new_notebook()
    source = """
import asyncio
from service import workbench as bench

async def slow(bar):
    for done in range(4):
        bar.seen(done, 3)
        await asyncio.sleep(0.3)

bar = bench._Bar("colour")
bench._bench().wait(slow(bar), bar)
bench.close()
print("drawn", bar.handle is not None)
"""
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown, said = notebook.cells[0].outputs
    assert said.text == "drawn True\n"
    assert shown.data["text/html"] == ""
    assert "progress" not in str(notebook.cells[0].outputs)
