"""The pull request's text: every prompt that a branch changes, judged against where it began, without a model."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service import cli
from service.engine.types import Request
from service.evaluation import promote, pull_request
from service.evaluation.context import EvaluationContext
from service.prompts.file import load, loads
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: {name}
messages:
  - {{role: user, content: "Colour of {{{{thing}}}}?"}}
testDataFile: cases.jsonl
evaluators:
  - name: label
    string: {{equals: red}}
    minimum: 0.5
"""


def reply(request: Request) -> str:
    """Red, but green to a polite question about the first thirty things."""
    said = request.messages[-1].content
    return "green" if "please" in said and int(said.split("thing ")[1].rstrip("?")) < 30 else "red"


def promoted(data: Path, name: str, text: str, **options: str) -> None:
    folder = data / "prompts" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"c{i:03}", "thing": f"thing {i}"} for i in range(120)]
    casefile.write(folder / "cases.jsonl", rows)
    asyncio.run(
        promote.promote(
            loads(text.format(name=name)), PromotedFolder(folder), EvaluationContext(ScriptedEngine(reply)), **options
        )
    )  # type: ignore[arg-type]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with three promoted prompts on main, and a branch."""
    data = tmp_path / "work" / "data"
    for name in ("one", "two", "three"):
        promoted(data, name, TEXT)
    git(tmp_path / "work", "init", "-q", "-b", "main")
    commit(tmp_path / "work")
    git(tmp_path / "work", "checkout", "-q", "-b", "branch")
    monkeypatch.setenv("SAMEBOAT_DATA_DIR", str(data))
    return tmp_path / "work"


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def reported(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.register(["prompt"]), ["prompt", "report", "--base", "main", *words])
    return done.exit_code, done.output


def test_every_changed_prompt_is_in_the_text_and_no_other(repository: Path) -> None:
    """One is accepted although it is worse, one is better by a comment, and the third is untouched."""
    polite = TEXT.replace("Colour of", "Colour, please, of")
    promoted(repository / "data", "one", polite, accept="politeness is wanted")
    promoted(repository / "data", "two", TEXT + "# a comment\n")
    commit(repository)
    code, text = reported()
    assert code == 0, text
    assert text.startswith(pull_request.MARKER)
    assert "### one" in text
    assert "**REGRESSION**: label: 30 lost, 0 gained of 120" in text
    assert "| `c000` | red | green |" in text
    assert "Accepted all the same: politeness is wanted" in text
    assert '-  - {role: user, content: "Colour of {{thing}}?"}' in text
    assert "### two" in text
    assert "**PASS**: it asks exactly what the promoted prompt asks, on all 120 cases" in text
    assert "### three" not in text


def test_a_draft_with_more_cases_is_compared_on_all_of_them_without_a_model(repository: Path) -> None:
    """The promoted prompt's answers to the new cases are in the diff."""
    folder = repository / "data" / "prompts" / "one"
    rows = [{"id": f"c{i:03}", "thing": f"thing {i}"} for i in range(150)]
    casefile.write(repository / "more.jsonl", rows)
    draft = repository / "one.prompt.yml"
    text = TEXT.replace("Colour of", "Which colour has").replace("cases.jsonl", "more.jsonl")
    draft.write_text(text.format(name="one"))
    done = asyncio.run(promote.promote(load(draft), PromotedFolder(folder), EvaluationContext(ScriptedEngine(reply))))
    assert (done.verdict.word, done.verdict.compared[0].n) == ("PASS", 150)
    commit(repository)
    assert "| label | 0 | 0 | 150 |" in reported()[1]
    PromotedFolder(folder).baseline_path.unlink()
    assert "| label | 0 | 0 | 120 |" in reported()[1]


def test_what_was_edited_and_not_promoted_stands_in_the_way(repository: Path) -> None:
    """Also when it is not committed yet."""
    path = repository / "data" / "prompts" / "one" / "one.prompt.yml"
    path.write_text(path.read_text() + "# edited\n")
    code, text = reported()
    assert code == 1
    assert "**NOT WHAT WAS PROMOTED**: prompt_sha256: locked" in text


def test_a_worse_prompt_that_nobody_accepted_stands_in_the_way(repository: Path) -> None:
    """A lock that was forged to hold a worse recording is seen all the same: the verdict is computed again."""
    promoted(repository / "data", "one", TEXT.replace("Colour of", "Colour, please, of"), accept="x")
    path = repository / "data" / "prompts" / "one" / "lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "accepted": ""}))
    code, text = reported()
    assert code == 1
    assert "not good to merge: one" in text


def test_new_and_removed_prompts_are_told_apart(repository: Path, tmp_path: Path) -> None:
    """Written to a file, as the workflow asks for it."""
    promoted(repository / "data", "four", TEXT)
    git(repository, "rm", "-q", "-r", "data/prompts/three")
    commit(repository)
    code, _ = reported("--out", str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text()
    assert code == 0
    assert "the first promotion" in text.split("### four")[1]
    assert "Removed." in text.split("### three")[1]


def test_a_text_that_is_too_long_names_what_it_leaves_out() -> None:
    """Whole sections only, so that no table or fence is cut."""
    found = [
        pull_request.PromptSection("a", "### a\n" + "x" * 300, True),
        pull_request.PromptSection("b", "### b\n" + "y" * 900, True),
    ]
    text = pull_request.markdown(found, limit=1000)
    assert "### a" in text
    assert "### b" not in text
    assert "Too long for a comment: b." in text
    assert "No promoted prompt changes here." in pull_request.markdown([])
