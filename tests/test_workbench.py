"""The notebook's bench: plain calls inside a running event loop, displays that survive hostile answers."""

from __future__ import annotations

import asyncio
import html
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from service import workbench as bench
from service.engine.types import Request
from service.errors import EngineUnavailable, EvaluationError, LockMismatch, PromptError, UnknownPrompt
from service.evaluation import promoted_engines
from service.evaluation.context import EvaluationContext
from service.evaluation.side_by_side import side_by_side
from service.prompts.promoted import PromotedFolder
from service.settings import Settings
from tests import casefile
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
    minimum: 0
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
    casefile.write(folder / "cases.jsonl", rows)
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(bench, "_benches", [])
    monkeypatch.setattr(bench, "Engines", lambda settings: Scripted())
    yield tmp_path / "data"
    bench.close()


def test_parity_compares_the_remote_engine_with_a_recording(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first recording, or that of a further engine. One answer of the remote engine is another one."""
    bench.promote(bench.draft(TEXT))
    folder = PromotedFolder(data / "prompts" / "colour")
    further = ScriptedEngine(lambda request: reply(request).replace("red", "green"), name="green")
    further._identity = replace(further.identity, version="2")
    added = asyncio.run(promoted_engines.promote_on(folder, EvaluationContext(further), accept="a test"))
    remote = ScriptedEngine(lambda request: "blue" if "thing 3?" in request.messages[-1].content else reply(request))
    asked: list[str] = []

    class Remote(Scripted):
        async def start(self, model: str | None) -> ScriptedEngine:
            return remote

    def engines(settings: Settings) -> Scripted:
        asked.append(settings.engine)
        return Remote()

    monkeypatch.setattr(bench, "Engines", engines)
    result = bench.parity("colour")
    assert (result.answers, result.texts, result.verdict.lost) == (30, 29, ("c3",))
    assert asked == ["remote"]
    assert "| equal texts | 29 of 30 |" in result._repr_markdown_()
    other = bench.parity("colour", against=added.engine)
    assert (other.texts, len(other.verdict.gained)) == (1, 28)
    with pytest.raises(LockMismatch, match="no further engine"):
        bench.parity("colour", against="vllm-none")


def test_a_draft_is_promoted_tried_compared_and_replayed(data: Path) -> None:
    """The walk of notebooks 2 and 3, each display with its facts."""
    done = bench.promote(bench.draft(TEXT))
    assert done.written
    assert "the first promotion" in done._repr_markdown_() == str(done)
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


def test_a_draft_is_improved_and_judged_on_deciding_cases(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples of dev cases go into the draft. The display has the cost, the evidence, the diff, and a picture."""

    def learns(request: Request) -> str:
        """Always red, unless an example is green. Then green for even numbers."""
        even = int(request.messages[-1].content.rpartition("g")[2].strip(".?! ")) % 2 == 0
        shown = [message.content for message in request.messages if message.role == "assistant"]
        return "green" if "green" in shown and even else "red"

    monkeypatch.setattr(Scripted, "get", lambda self, model: ScriptedEngine(learns))
    text = TEXT.replace("messages:", "responseFormat: choice\nchoices: [red, green]\nmessages:", 1)
    rows = [{"id": f"g{i}", "thing": f"g{i}", "expected": "red" if i % 2 else "green"} for i in range(60)]
    dev, deciding = bench.split(bench.cases(rows), dev=0.5)
    better = bench.improve(bench.draft(text), dev, deciding=deciding, budget=260)
    assert better.search.after.passed == better.search.after.n < 30, "examples are left out"
    assert better.deciding is not None
    assert (better.deciding.before.passed, better.deciding.after.passed, better.deciding.gained) == (15, 30, 15)
    assert bench.try_(better.draft, deciding).passed == 30
    for shown in (repr(better), better._repr_html_()):
        assert "deciding cases: 15 of 30" in shown
        assert "content: green" in shown
    assert "after 30 answers: +0.000" in repr(better.plot())
    assert better.plot()._repr_png_().startswith(b"\x89PNG")
    judged_again = bench.improve(bench.draft(text), dev, deciding=dev, budget=260)
    assert "are dev cases, with which this draft was made" in repr(judged_again)


def test_a_cell_of_a_running_event_loop_can_call_it(data: Path) -> None:
    """A notebook's kernel runs its own loop. The workbench has another."""

    async def cell() -> str:
        return bench.ask("hello").text

    assert asyncio.run(cell()) == "red"


def test_displays_escape_what_a_model_says_and_fall_back_to_text(data: Path) -> None:
    """No answer becomes markup. A terminal gets the same facts as plain text."""
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


def test_a_plot_is_a_static_picture_with_an_interval_per_check_and_slice(data: Path) -> None:
    """It renders without a display, names both slices and all, and says the same in words."""
    bench.promote(bench.draft(TEXT))
    plot = bench.replay("colour").plot()
    names = [label.get_text() for label in plot.figure.axes[0].get_yticklabels()]
    assert names == ["label, s0", "label, s1", "label, all"]
    assert "label, s1: 0.933 (0.702 to 0.988)" in repr(plot)
    picture = io.BytesIO()
    plot.figure.savefig(picture, format="svg")
    assert picture.getvalue().startswith(b"<?xml")
    assert plot._repr_png_().startswith(b"\x89PNG")


def test_costs_are_histograms_of_tokens_and_of_the_seconds_that_were_spent(data: Path) -> None:
    """Only answers that were computed here have seconds. A recording in git has none, so its picture has one part."""
    bench.promote(bench.draft(TEXT))
    fresh = bench.try_(bench.draft(TEXT.replace("Colour", "Hue")), bench.cases("colour"))
    assert len(fresh.costs().figure.axes) == 2
    assert "tokens of an answer: median 3" in repr(fresh.costs())
    assert len(bench.replay("colour").costs().figure.axes) == 1


def test_a_comparison_shows_both_scores_and_each_changed_answer_word_by_word(data: Path) -> None:
    """Removed words are struck, new ones are marked, and lost cases come first. The plot has both series."""
    bench.promote(bench.draft(TEXT))
    compared = bench.compare(
        bench.draft(TEXT.replace("Colour of", "Colour, please, of")), "colour", bench.cases("colour")
    )
    assert compared.checks() == [("label", "96.7 % (83.3 to 99.4)", "0.0 % (0.0 to 11.4)", "29", "0")]
    page = compared._repr_html_()
    assert "<del style='background:#ffe3e0'>red</del>" in page
    assert "<ins style='background:#dff5e3'>green</ins>" in page
    assert page.index("lost") < page.index("and 17 more")
    assert "promoted label, all: 0.967" in repr(compared.plot())


def test_two_drafts_are_compared_before_anything_is_promoted(data: Path) -> None:
    """The first one's checks judge both. Both answers are shown side by side."""
    first = bench.draft(TEXT)
    cases = list(bench.case_files.load(first, data / "prompts" / "colour"))
    compared = bench.compare(bench.draft(TEXT.replace("Colour of", "Colour, please, of")), first, cases)
    assert compared.verdict.word == "REGRESSION"
    assert compared.checks() == [("label", "96.7 % (83.3 to 99.4)", "0.0 % (0.0 to 11.4)", "29", "0")]
    assert "before label, all: 0.967" in repr(compared.plot())
    assert bench.compare(first, first, cases).verdict.word == "PASS"


def test_a_rehearsal_changes_a_copy_and_the_cases_are_those_that_the_prompt_names(data: Path, tmp_path: Path) -> None:
    """Notebook 3 promotes as often as it runs, with cases of its own beside the draft, and `data/` stays as it was."""
    before = sorted(path.name for path in data.rglob("*"))
    first, copy = bench.rehearse(), bench.rehearse()
    assert not first.exists()
    (tmp_path / "mine.jsonl").write_text('{"id": "one", "thing": "sky", "expected": "red"}\n')
    text = TEXT.replace("name: colour", "name: mine").replace("cases.jsonl", "mine.jsonl")
    draft = bench.save(bench.draft(text), tmp_path / "mine.prompt.yml")
    assert [case.id for case in bench.cases(draft)] == ["one"]
    assert bench.promote(draft).written
    assert [case.id for case in bench.cases("mine")] == ["one"]
    assert len(bench.cases(bench.save(bench.draft(TEXT), tmp_path / "colour.prompt.yml"))) == 30, "those of its name"
    assert (copy / "prompts" / "mine" / "mine.jsonl").exists()
    bench.close()
    assert not copy.exists()
    assert sorted(path.name for path in data.rglob("*")) == before


def test_a_spreadsheet_becomes_a_draft_that_was_made_with_dev_cases(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases show what they hold, are divided, and are written for the draft's own folder."""
    rows = [f"{i},thing {i},{'red' if i % 3 else 'green'}" for i in range(30)]
    (tmp_path / "things.csv").write_text("\n".join(["number,thing,colour", *rows, ",,", "30,thing 30,Red"]) + "\n")
    cases = bench.cases(str(tmp_path / "things.csv"), id="number", expected="colour")
    assert repr(cases).splitlines()[0] == "31 cases: thing, expected, id"
    assert "'Red' differs from 'red' in case or blanks only, in 1: 30." in repr(cases)
    assert "1 empty row was left out" in cases._repr_html_()
    assert repr(cases[:2]).startswith("2 cases")
    dev, deciding = bench.split(cases, 0.4, seed=3)
    assert (len(dev), len(deciding)) == (12, 19)
    deciding.save(tmp_path / "deciding.jsonl")
    draft = bench.with_(bench.new("hue", cases, file="deciding.jsonl"), description="Colours of things")
    assert draft.spec.choices == ("red", "green")
    assert draft.spec.description == "Colours of things"
    with pytest.raises(PromptError, match="abstain"):
        bench.with_(draft, abstain={"below": 2, "answer": "unsure"})
    bench.save(draft, tmp_path / "hue.prompt.yml", dev=dev)
    again = bench.open(tmp_path / "hue.prompt.yml")
    assert len(again.spec.devCases) == 12
    assert [case.id for case in bench.cases(again)] == [case.id for case in deciding]
    assert bench.dev_cases.used(again, bench.cases(again)) == []
    assert len(bench.dev_cases.used(again, dev)) == 12
    with pytest.raises(EvaluationError, match=r"no column 'color'. Did you mean 'colour'"):
        bench.cases(tmp_path / "things.csv", expected="color")
    (tmp_path / "colour").write_text('{"thing": "a file"}')
    monkeypatch.chdir(tmp_path)
    for name in ("What is this? " * 30, "colour"):
        with pytest.raises(UnknownPrompt):
            bench.cases(name)
    assert bench.cases(str(tmp_path / "hue.prompt.yml"))[0].id == deciding[0].id
    frame = pd.DataFrame([{"thing": "sky", "label": "red"}])
    mapped = bench.cases(frame, inputs={"object": "thing"}, expected="label")
    assert mapped[0].values == {"object": "sky", "expected": "red"}


PETS = """
name: pets
responseFormat: choice
choices: [red, green]
messages: [{role: user, content: "{{thing}}?"}]
evaluators: [{name: label, string: {equals: "{{expected}}"}}]
"""


def test_results_show_classes_probabilities_and_every_row(data: Path, tmp_path: Path) -> None:
    """As tables and plots with the same numbers in words, and as a frame for CSV and Parquet."""
    rows = [{"thing": f"thing {i}", "expected": "green" if i % 3 == 0 else "red"} for i in range(30)]
    results = bench.try_(bench.draft(PETS), bench.cases(rows))
    matrix = results.confusion()
    assert repr(matrix).splitlines()[1].split() == ["red", "19", "1"]
    assert "Macro F1" in matrix._repr_html_()
    assert len(matrix.plot()._repr_png_()) > 1000
    assert results.classes().rows[0][:3] == ("red", "20", "29")
    assert repr(results.reliability()).startswith("expected calibration error 0.267")
    assert "from 0.900: 96.7 % answered, 65.5 % of them right" in repr(results.coverage())
    with pytest.raises(EvaluationError, match=r"No threshold reaches 95 %. The best is below: 0.1 answers 30 of 30"):
        bench.threshold(results)
    assert bench.threshold(results, 0.6).answered == 30
    frame = results.frame()
    assert frame["p.red"].max() == 0.9
    frame.to_parquet(tmp_path / "answers.parquet")
    assert pd.read_parquet(tmp_path / "answers.parquet")["expected"].tolist() == frame["expected"].tolist()
    assert "and 18 more" in repr(results)
    assert "and 25 more" in repr(results.show(5))
    assert "more" not in repr(results.show())
    with pytest.raises(EvaluationError, match="no json check"):
        results.fields()
    assert bench.cases(tmp_path / "answers.parquet", inputs={"thing": "input.thing"}, expected="expected", id="id")[
        0
    ].id


def test_drafts_and_models_are_one_table_the_best_first(data: Path) -> None:
    cases = bench.cases([{"thing": f"thing {i}", "expected": "red"} for i in range(20)])
    worse = bench.draft(PETS.replace("name: pets", "name: polite").replace("{{thing}}?", "{{thing}}, please?"))
    table = bench.table([worse, bench.draft(PETS)], cases, models=["a", "b"])
    assert [row[:2] for row in table.rows] == [("pets", "a"), ("pets", "b"), ("polite", "a"), ("polite", "b")]
    assert table.results["polite", "a"].passed == 0
    assert "passes every check" in repr(table)
    assert "<table" in table._repr_html_()


def test_a_draft_without_checks_shows_its_answers_and_passes_nothing(data: Path) -> None:
    """A person looks at answers before writing a check."""
    results = bench.try_(bench.draft(PETS.split("evaluators")[0]), bench.cases([{"thing": "sky"}, {"thing": "grass"}]))
    assert [row[1:3] for row in results.rows()] == [("not judged", "red"), ("not judged", "red")]
    assert results.rate == "not judged, because there are no checks"
    with pytest.raises(EvaluationError, match="no evaluators"):
        bench.promote(bench.draft(PETS.split("evaluators")[0] + "testData: [{thing: sky}]\n"))


@pytest.mark.model
def test_every_call_takes_the_data_that_cases_takes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A frame, rows, a file or a prompt's name. A text without a name is `draft`, and notes are told."""
    rows = "testData: [{thing: 1.10, expected: red}]"
    draft = bench.draft(TEXT.replace("name: colour\n", "").replace("testDataFile: cases.jsonl", rows))
    assert draft.name == "draft"
    told = capsys.readouterr().out
    assert "the text has no name, and is called 'draft'" in told
    assert "is read as 1.1" in told
    assert "line 1: the text has no name" in bench.try_(draft, [{"thing": "a", "expected": "red"}])._repr_markdown_()
    frame = pd.DataFrame({"thing": ["thing 1", "thing 7"], "expected": ["red", "red"]})
    for rows in (frame, frame.to_dict("records"), bench.cases(frame), list(bench.cases(frame))):
        assert bench.try_(draft, rows).rate.startswith("50.0 %")
    assert len(bench.table([draft], frame).results["draft", "default"].outcomes) == 2
    assert bench.compare(draft, draft, frame).verdict.n == 2
    assert [len(side) for side in bench.split(frame, 0.5)] == [1, 1]
    assert bench.new("made", frame).name == "made"
    file = data.parent / "colour.prompt.yml"
    bench.save(bench.draft(TEXT), file)
    bench.promote(str(file))
    assert bench.try_("colour", "colour").passed == bench.try_(file, "colour").passed == 29
    assert bench.compare(file, str(file), frame).verdict.n == 2
    with pytest.raises(EvaluationError, match="needs a draft and a model"):
        bench.table([], frame)


def test_an_interrupted_cell_says_how_far_it_came(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted(bench.ProgressBar):
        def draw(self) -> None:
            raise KeyboardInterrupt

    async def forever() -> None:
        bar.update(3, 10)
        await asyncio.sleep(60)

    bar = Interrupted("colour")
    with pytest.raises(KeyboardInterrupt):
        bench._bench().wait(forever(), bar)
    assert "interrupted after 3 of 10 answers. They are kept" in capsys.readouterr().out


def test_a_program_that_ends_stops_its_engine_without_a_word(starter: Path) -> None:
    """No `close` is needed, and nothing of asyncio's is printed at the end."""
    program = "from service import workbench as bench; print(bench.engine().health().state, bench.engine().pid)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    state, worker = done.stdout.split()
    assert state == "ready"
    assert not Path(f"/proc/{worker}").exists()


def test_side_by_side_keeps_every_character_and_no_markup() -> None:
    """Without the marks the two sides are the two texts, escaped."""
    before, now = "a <b> c & d", "a <b> x & d e"
    left, right = side_by_side(before, now)
    for side, text in ((left, before), (right, now)):
        bare = re.sub(r"</?(del|ins)[^>]*>", "", side)
        assert html.unescape(bare) == text
        assert "<b>" not in side


def test_answers_given_before_are_not_asked_again_and_errors_reach_the_cell(data: Path) -> None:
    """The journal serves the second try. A failing engine raises its own error, not a group."""
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
    """In a real kernel: one display that is updated during the run and empty at the end, also in HTML."""
    notebook = nbformat.v4.new_notebook()
    source = """
import asyncio
from service import workbench as bench

async def slow(bar):
    for done in range(4):
        bar.update(done, 3)
        await asyncio.sleep(0.3)

bar = bench.ProgressBar("colour")
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


def test_a_draft_expects_the_columns_that_the_cases_were_told() -> None:
    """Also after a split."""
    rows = [{"text": f"t{number}", "total": number, "paid": number % 2 == 0} for number in range(8)]
    dev, _ = bench.split(bench.cases(rows, expected=["total", "paid"]), by=None)
    draft = bench.new("bill", dev[:3])
    assert (draft.variables, draft.spec.responseFormat) == (("text",), "json_schema")


def test_a_table_and_a_comparison_tell_each_bad_row_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Although every draft runs on the same cases."""
    rows = [{"id": "a", "thing": "x", "expected": "red"}, {"id": "b", "thing": "y"}]
    drafts = [bench.draft(TEXT), bench.draft(TEXT.replace("Colour of", "Colour, please, of"))]
    capsys.readouterr()
    bench.table(drafts, rows)
    bench.compare(*drafts, rows)
    bench.try_(drafts[0], rows)
    told = "1 of 2 cases cannot be asked or judged, and fails: b. No value for 'expected', which a check compares with."
    assert capsys.readouterr().out.splitlines() == [told] * 3
