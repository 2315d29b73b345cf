"""Repeats have seeds of their own and one declared rule. Minimums and graded scores take part in the verdict."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from service.engine.types import Request
from service.errors import EvaluationError, LockMismatch, PromptError
from service.evaluation import promote, recording
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import live, replay
from service.evaluation.verdict import decide
from service.prompts.file import load, loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests.scripted import ScriptedEngine

TEXT = """
name: coin
modelParameters: {temperature: 1, seed: 10}
messages:
  - {role: user, content: "Toss {{n}}"}
testDataFile: tosses.jsonl
repeats: 3
repeatsPass: majority
evaluators:
  - name: heads
    string: {equals: heads}
"""


def toss(request: Request) -> str:
    """Heads for the first `n` of the three seeds."""
    return "heads" if request.sampling.seed - 10 < int(request.messages[0].content.split()[1]) else "tails"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "prompts" / "coin"
    found.mkdir(parents=True)
    (found / "tosses.jsonl").write_text("".join(json.dumps({"id": f"t{n}", "n": str(n)}) + "\n" for n in range(4)))
    return found


def promoted(folder: Path, text: str = TEXT, **options: object) -> promote.Promotion:
    return asyncio.run(
        promote.promote(loads(text), PromotedFolder(folder), EvaluationContext(ScriptedEngine(toss)), **options)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("all", [False, False, False, True]),
        ("majority", [False, False, True, True]),
        ("any", [False, True, True, True]),
    ],
)
def test_each_rule_counts_three_answers_with_three_seeds(folder: Path, rule: str, passed: list[bool]) -> None:
    """Case tN gets heads with N of the seeds 10, 11, 12. The score is the share."""
    done = promoted(folder, TEXT.replace("majority", rule))
    assert [outcome.passed for outcome in done.outcomes] == passed
    assert [outcome.checks[0].score for outcome in done.outcomes] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len({record.fingerprint for outcome in done.outcomes for record in outcome.records}) == 12


def test_repeats_are_recorded_replayed_and_reproduced(folder: Path) -> None:
    """All twelve answers. A missing one is an error."""
    promoted(folder, minimum=0.5)
    prompt = load(folder / "coin.prompt.yml")
    assert len(recording.read(folder / "recording.jsonl")) == 12
    assert [each.passed for each in replay(prompt, PromotedFolder(folder))] == [False, False, True, True]
    asyncio.run(live(prompt, PromotedFolder(folder), EvaluationContext(ScriptedEngine(toss))))
    lines = (folder / "recording.jsonl").read_text().splitlines(keepends=True)
    (folder / "recording.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(EvaluationError, match=r"1 of 4 cases are not in the recording.*first t3"):
        replay(prompt, PromotedFolder(folder))


def test_the_lock_covers_a_case_file_of_any_name(folder: Path) -> None:
    """One changed byte in tosses.jsonl and the prompt is not served."""
    promoted(folder, minimum=0.5)
    library = Library(folder.parents[1])
    assert library["coin"].name == "coin"
    with (folder / "tosses.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(LockMismatch, match="cases_sha256"):
        Library(folder.parents[1])["coin"]


@pytest.mark.parametrize("name", ["../x.jsonl", "/etc/passwd", "a/../../b", "recording.jsonl", "./x", "a\\\\b"])
def test_a_case_file_stays_in_the_prompts_folder(name: str) -> None:
    with pytest.raises(PromptError, match="testDataFile must"):
        loads(TEXT.replace("tosses.jsonl", json.dumps(name)))


def test_a_minimum_that_is_missed_is_never_a_pass(folder: Path) -> None:
    """The check's own in the file, and one for all checks from the caller. Nothing is written."""
    done = promoted(folder, TEXT.replace("equals: heads}", "equals: heads}\n    minimum: 0.75"))
    assert (done.verdict.word, done.written) == ("BELOW MINIMUM", False)
    assert "heads: 2 of 4 pass (50.0 %), the minimum is 75 %" in done.text
    assert promoted(folder, minimum=0.6).verdict.word == "BELOW MINIMUM"
    assert promoted(folder, minimum=0.5).verdict.word == "PASS"


def test_graded_scores_that_fall_are_a_regression_before_any_case_fails() -> None:
    """All 60 cases pass before and now. Their scores fell by a tenth, and the sign-flip test shows it."""
    cases = [f"c{i}" for i in range(60)]
    passes = {"alike": dict.fromkeys(cases, True)}
    before = {"alike": {case: 0.9 + 0.001 * i for i, case in enumerate(cases)}}
    now = {"alike": {case: score - 0.1 for case, score in before["alike"].items()}}
    verdict = decide(passes, passes, scores=(now, before))
    assert verdict.word == "REGRESSION"
    assert "mean score -0.100" in verdict.reason
    assert decide(passes, passes, scores=(before, before)).word != "REGRESSION"
