"""`evaluate` and `promote` in a terminal: output, files and exit codes for scripts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service import cli, settings
from service.cli import evaluate as evaluating
from service.engine.types import Request
from service.prompts.file import loads
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: colour
messages:
  - {role: user, content: "Colour of {{thing}}?"}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {equals: red}
    minimum: 0.5
"""


def reply(request: Request) -> str:
    """Red, but green for thing 7, and up to thing 29 for a request with "please"."""
    said = request.messages[-1].content
    number = int(said.split("thing ")[1].rstrip("?"))
    return "green" if number == 7 or ("please" in said and number < 30) else "red"


class Scripted:
    """In place of the engines of this machine."""

    engine = ScriptedEngine(reply)

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def get(self, model: str | None = None) -> ScriptedEngine:
        return self.engine

    async def stop(self, grace_s: float) -> None:
        return None


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory in which `colour` is promoted, on 120 cases of which one fails."""
    folder = tmp_path / "data" / "prompts" / "colour"
    folder.mkdir(parents=True)
    rows = [{"id": f"c{i:03}", "thing": f"thing {i}"} for i in range(120)]
    casefile.write(folder / "cases.jsonl", rows)
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(evaluating, "Engines", Scripted)
    monkeypatch.chdir(tmp_path)
    assert run("promote", draft(tmp_path, "first", TEXT)).exit_code == 0
    Scripted.engine.asked.clear()
    return tmp_path


def draft(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.prompt.yml"
    path.write_text(text)
    return str(path)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.register([words[0]]), list(words))


POLITE = TEXT.replace("Colour of", "Colour, please, of")


def test_a_promoted_prompt_is_replayed_evaluated_and_asked_again(data: Path) -> None:
    """Each exits with 0. The first two ask nothing, since every answer is recorded."""
    for words in (("--replay",), ()):
        done = run("evaluate", "colour", *words)
        assert done.exit_code == 0, done.output
        assert "| all | label | 119 | 120 | 99.2 %" in done.output
        assert Scripted.engine.asked == []
    assert run("evaluate", "colour", "--live").exit_code == 0
    assert len(Scripted.engine.asked) == 120
    assert not any(request.reuse for request in Scripted.engine.asked)


def test_a_live_run_on_other_kernels_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted.engine, "_identity", replace(Scripted.engine.identity, kernels="native riscv64: RVV"))
    done = run("evaluate", "colour", "--live")
    assert done.exit_code == 0
    assert "sameboat: The recording was computed by kernels that its lock does not name, and here is" in done.stderr


def test_results_are_one_json_object_a_line(data: Path) -> None:
    """On standard output with --json, in a file with --out: everything a script would want of an answer."""
    printed = run("evaluate", "colour", "--replay", "--json", "--out", str(data / "out" / "results.jsonl")).output
    written = (data / "out" / "results.jsonl").read_text()
    assert printed == written
    rows = [json.loads(line) for line in written.splitlines()]
    assert len(rows) == 120
    assert rows[7]["checks"]["label"] == {"passed": False, "score": 0.0, "reason": "expected 'red', got 'green'"}
    assert rows[0]["tokens"] == {"prompt": 4, "completion": 3}


def test_a_draft_is_compared_without_being_written(data: Path) -> None:
    """1 for a REGRESSION, with the case by name. The promoted files stay."""
    before = (data / "data/prompts/colour/colour.prompt.yml").read_bytes()
    done = run("evaluate", draft(data, "worse", POLITE))
    assert done.exit_code == 1
    assert "**REGRESSION**: label: 29 lost, 0 gained of 120" in done.output
    assert "| `c000` | red | green |" in done.output
    better = run("evaluate", draft(data, "same", TEXT + "# a comment\n"))
    assert (better.exit_code, "**PASS**" in better.output) == (0, True)
    assert (data / "data/prompts/colour/colour.prompt.yml").read_bytes() == before


def test_a_missed_minimum_exits_with_1(data: Path) -> None:
    """Also in a replay, which CI runs."""
    assert run("evaluate", "colour", "--replay", "--fail-under", "0.99").exit_code == 0
    done = run("evaluate", "colour", "--replay", "--fail-under", "0.995")
    assert done.exit_code == 1
    assert "119 of 120 pass (99.2 %), the minimum is 99.5 %" in done.output


def test_promote_exits_with_0_1_and_2(data: Path) -> None:
    """PASS writes, REGRESSION and NOT ENOUGH EVIDENCE do not, and --accept does with its reason."""
    folder = data / "data" / "prompts" / "colour"
    done = run("promote", draft(data, "worse", POLITE))
    assert (done.exit_code, "written:" in done.output) == (1, False)
    lines = (folder / "cases.jsonl").read_text().splitlines(keepends=True)
    (data / "few").mkdir()
    (data / "few" / "cases.jsonl").write_text("".join(lines[:12]))
    done = run("promote", draft(data / "few", "few", TEXT + "# few\n"))
    assert (done.exit_code, "NOT ENOUGH EVIDENCE" in done.output) == (2, True)
    done = run("promote", draft(data, "worse", POLITE), "--accept", "politeness")
    assert (done.exit_code, "written:" in done.output) == (0, True)
    assert json.loads((folder / "lock.json").read_text())["accepted"] == "politeness"
    assert json.loads((folder / "lock.json").read_text())["recorded_with"]["parallel"] == 8
    diff = run("promote", draft(data, "back", TEXT)).output
    assert '+  - {role: user, content: "Colour of {{thing}}?"}' in diff


def test_nothing_to_evaluate_is_an_error(data: Path) -> None:
    """A draft with an empty case file of its own: no cases, no pass."""
    (data / "empty").mkdir()
    (data / "empty" / "cases.jsonl").write_text("\n")
    done = run("evaluate", draft(data / "empty", "x", TEXT.replace("name: colour", "name: other")))
    assert done.exit_code == 1
    assert "no cases" in done.stderr


def test_a_file_without_checks_shows_its_answers(data: Path) -> None:
    """The answers come before the first check. A minimum without checks is not met, and a promotion needs one."""
    bare = draft(data, "bare", "name: bare\nmessages: [{role: user, content: 'Colour of {{thing}}?'}]\n"
                 "testData: [{id: a, thing: thing 1}, {id: b, thing: thing 7}]\n")  # fmt: skip
    done = run("evaluate", bare)
    assert done.exit_code == 0
    assert "2 of 2 cases are judged by no check" in done.output
    assert "green" in done.output
    assert run("evaluate", bare, "--fail-under", "0.5").exit_code == 2
    rows = [json.loads(line) for line in run("evaluate", bare, "--json").stdout.splitlines()]
    assert [(row["id"], row["text"], row["passed"]) for row in rows] == [("a", "red", None), ("b", "green", None)]
    assert run("promote", bare).exit_code == 1


def test_an_interrupted_run_says_how_far_it_came(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def interrupted() -> None:
        async with evaluating.evaluation_context(settings.load(), loads(TEXT)) as context:
            context.progress(3, 10)
            raise asyncio.CancelledError  # as asyncio.run does after Ctrl-C

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert "interrupted after 3 of 10 answers. They are kept" in capsys.readouterr().err


def test_bad_rows_are_told_on_standard_error_and_may_end_the_run(data: Path) -> None:
    """By id, before anything is asked. With --stop-after the run ends with 1."""
    rows = [{"id": "a", "thing": "thing 1", "label": "red"}, {"id": "b", "thing": "thing 2"}]
    casefile.write(data / "own" / "cases.jsonl", rows)
    text = TEXT.replace("equals: red", 'equals: "{{label}}"').replace("name: colour", "name: own")
    path = draft(data / "own", "own", text)
    done = run("evaluate", path)
    assert "sameboat: 1 of 2 cases cannot be asked or judged, and fails: b. No value for 'label'" in done.stderr
    assert "| all | label | 1 | 2 |" in done.output
    done = run("evaluate", path, "--stop-after", "1")
    assert (done.exit_code, "stopped after 1 cases" in done.stderr) == (1, True)


def test_a_new_draft_from_a_spreadsheet_validates_and_is_not_overwritten(data: Path) -> None:
    lines = [f"{i},thing {i},{'red' if i % 2 else 'green'}" for i in range(8)]
    (data / "things.csv").write_text("\n".join(["id,thing,label", *lines]) + "\n")
    done = run("prompt", "new", "hue", "--from", str(data / "things.csv"))
    assert done.exit_code == 0, done.output
    assert "8 cases: id, thing, label\n2 classes of label: 'green' 4 (50.0 %), 'red' 4 (50.0 %)" in done.output
    assert "enforced: one of 2 choices" in done.output
    assert "| all | label | 3 | 8 |" in run("evaluate", str(data / "hue.prompt.yml")).output
    done = run("prompt", "new", "hue", "--from", str(data / "things.csv"))
    assert (done.exit_code, "is there already" in done.stderr) == (1, True)
    done = run("prompt", "new", "other", "--from", str(data / "things.csv"), "--expected", "colour")
    assert "There is no column 'colour'. Name it with --expected." in done.stderr


def test_parquet_without_pyarrow_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")

    def missing(*given: object, **named: object) -> None:
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pandas.DataFrame, "to_parquet", missing)
    result = run("evaluate", "colour", "--replay", "--out", str(data / "a.parquet"))
    assert result.exit_code == 1
    assert "needs pyarrow" in result.stderr


def test_answers_are_written_as_csv_parquet_and_a_page(data: Path) -> None:
    """With the inputs. --rows prints more cases, and a failure is listed with its input."""
    pytest.importorskip("pyarrow", reason="the lowest versions are tried without it")
    for name in ("a.csv", "a.parquet"):
        assert run("evaluate", "colour", "--replay", "--out", str(data / name)).exit_code == 0
    lines = (data / "a.csv").read_text().splitlines()
    assert len(lines) == 121
    assert lines[8].startswith("c007,0,all,thing 7,red,green,false,")
    assert len(pd.read_parquet(data / "a.parquet")) == 120
    done = run("evaluate", "colour", "--replay", "--html", str(data / "out" / "page.html"), "--rows", "2")
    assert "Input: thing 7" in done.output
    assert "And 118 more." in done.output
    assert (data / "out" / "page.html").read_text().count("<tr data-state=") == 120
    worse = run("evaluate", draft(data, "worse", POLITE), "--html", str(data / "page.html"))
    assert worse.exit_code == 1
    assert (data / "page.html").read_text().count('data-change="lost"') == 29
