"""`improve` in a terminal: the draft that it writes, the cases that it uses, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service import cli
from service.cli import evaluate as evaluating
from service.engine.types import Request
from service.errors import UnknownModel
from service.evaluation import dev_cases
from service.evaluation.cases import Case
from service.prompts.file import load
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: colour
responseFormat: choice
choices: [red, green]
messages:
  - {role: system, content: Which colour?}
  - {role: user, content: "{{thing}}"}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {equals: "{{expected}}"}
"""


def copies(request: Request) -> str:
    """The answer of the examples, or of a system message that says it, else red."""
    shown = [message.content for message in request.messages if message.role == "assistant"]
    return shown[0] if shown else "green" if "green" in request.messages[0].content else "red"


class Scripted:
    """In place of the engines of this machine."""

    def __init__(self, settings: object) -> None:
        self.engine = ScriptedEngine(copies)

    def get(self, model: str | None = None) -> ScriptedEngine:
        return self.engine

    async def stop(self, grace_s: float) -> None:
        return None


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A draft with 60 cases, all of them green."""
    rows = [{"id": f"c{i}", "thing": f"thing {i}", "expected": "green"} for i in range(60)]
    casefile.write(tmp_path / "cases.jsonl", rows)
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(evaluating, "Engines", Scripted)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "colour.prompt.yml"
    path.write_text(TEXT)
    return path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.register(["improve"]), ["improve", *words])


def test_a_draft_is_improved_with_a_part_of_its_cases_and_judged_by_the_others(draft: Path) -> None:
    done = run(str(draft), "--budget", "150")
    assert done.exit_code == 0, done.output
    assert "deciding cases: 0 of 42 (0.0 %, 0.0 to 8.4) before, 42 of 42" in done.output
    assert "+  content: green" in done.output
    better = load(draft.with_name("colour-improved.prompt.yml"))
    assert len(better.spec.devCases) == 18
    assert any(message.content == "green" for message in better.spec.messages)
    assert draft.read_text() == TEXT


def test_a_file_of_dev_cases_and_one_of_wordings(draft: Path) -> None:
    """Dev cases that are among the draft's own do not judge it."""
    rows = [{"id": f"d{i}", "thing": f"thing {i}", "expected": "green"} for i in range(40, 80)]
    casefile.write(draft.parent / "more" / "dev.jsonl", rows)
    (draft.parent / "wordings.txt").write_text("Say green.\n\n")
    words = ("--dev", "more/dev.jsonl", "--wordings", "wordings.txt", "--examples", "0", "--out", "b.prompt.yml")
    done = run(str(draft), *words)
    assert done.exit_code == 0, done.output
    assert "deciding cases: 0 of 40" in done.output
    better = load(draft.with_name("b.prompt.yml"))
    assert [message.content for message in better.spec.messages] == ["Say green.", "{{thing}}"]
    assert dev_cases.used(better, [Case("x", {"thing": "thing 79", "expected": "green"})]) == ["x"]


def test_a_name_that_is_neither_a_file_nor_a_model_is_refused(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(self: Scripted, model: str | None = None) -> ScriptedEngine:
        raise UnknownModel("No model is called so.", key="model")

    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(Path(__file__).parents[2] / "data"))
    monkeypatch.setattr(Scripted, "get", unknown)
    done = run(str(draft), "--wordings", "nobody")
    assert done.exit_code == 1
    assert "There is no file and no model 'nobody'." in done.output


def test_a_model_proposes_wordings(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def proposes(request: Request) -> str:
        if "Message now: Which colour?" in request.messages[-1].content:
            return json.dumps({"wording": "It is red, or it is green."})
        return copies(request)

    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(Path(__file__).parents[2] / "data"))
    monkeypatch.setattr(Scripted, "get", lambda self, model=None: ScriptedEngine(proposes))
    done = run(str(draft), "--wordings", "some-model-2.5b", "--examples", "0", "--budget", "150")
    assert done.exit_code == 0, done.output
    assert "1 of 6 wordings that scripted proposes are usable and new." in done.output
    assert "+  content: It is red, or it is green." in done.output


def test_a_draft_that_stays_writes_nothing(draft: Path) -> None:
    draft.write_text(TEXT.replace("Which colour?", "It is green."))
    done = run(str(draft), "--budget", "150")
    assert done.exit_code == 0, done.output
    assert "stays as it is" in done.output
    assert not draft.with_name("colour-improved.prompt.yml").exists()


def test_a_budget_that_is_too_small_names_a_larger_one(draft: Path) -> None:
    done = run(str(draft), "--budget", "20")
    assert done.exit_code == 1
    assert "budget" in done.output
    assert "Give at least 36 answers" in done.output
