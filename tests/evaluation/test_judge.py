"""A judge's reply is one of its choices or an error. It is recorded, so a replay needs no judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from service.engine.types import Request
from service.errors import EvaluationError
from service.evaluation import cases as case_files
from service.evaluation import judge, promote, recording
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import replay
from service.prompts import lock as locks
from service.prompts.file import Prompt, load, loads
from service.prompts.promoted import PromotedFolder
from tests import casefile
from tests.scripted import ScriptedEngine

TEXT = """
name: poem
messages:
  - {role: user, content: "A line about {{thing}}."}
testDataFile: cases.jsonl
evaluators:
  - name: kind
    llm:
      modelId: judge
      systemPrompt: You judge lines about {{thing}}.
      prompt: "Is this kind? {{completion}}"
      choices: [{choice: "no", score: 0}, {choice: a bit, score: 0.5}, {choice: "yes", score: 1}]
      threshold: 0.6
"""


def writer(request: Request) -> str:
    return f"O {request.messages[-1].content}"


def verdicts(request: Request) -> str:
    assert request.choices == ("no", "a bit", "yes"), "the reply is constrained to the choices"
    return "no" if "thing 3" in request.messages[0].content else "yes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return casefile.things(tmp_path / "poem", 8)


def promoted(folder: Path, judge_: ScriptedEngine, text: str = TEXT) -> promote.Promotion:
    context = EvaluationContext(ScriptedEngine(writer), judges=lambda name: judge_)
    return asyncio.run(promote.promote(loads(text), PromotedFolder(folder), context, accept="a test"))


def test_a_judge_scores_and_its_choice_is_recorded_for_replay(folder: Path) -> None:
    """One of eight is not kind. A replay gives the same without any engine. A changed question is an error."""
    engine = ScriptedEngine(verdicts, name="judge")
    done = promoted(folder, engine)
    assert [outcome.passed for outcome in done.outcomes] == [i != 3 for i in range(8)]
    assert engine.asked[0].messages[1].content.startswith("Is this kind? O A line about thing")
    prompt = load(folder / "poem.prompt.yml")
    again = replay(prompt, PromotedFolder(folder))
    assert [each.checks for each in again] == [outcome.checks for outcome in done.outcomes]
    assert "judge" in locks.read(folder / "lock.json").judges
    other = loads(TEXT.replace("Is this kind?", "Is it kind?"))
    with pytest.raises(EvaluationError, match="not in the recording as they are asked now"):
        replay(other, PromotedFolder(folder))


def test_a_changed_judge_is_asked_again_and_the_answers_are_not(folder: Path) -> None:
    """Only the judgements are computed again."""
    engine = ScriptedEngine(verdicts, name="judge")
    promoted(folder, engine)
    writer_ = ScriptedEngine(writer)
    other = loads(TEXT.replace("Is this kind?", "Is it kind?"))
    asyncio.run(promote.promote(other, PromotedFolder(folder), EvaluationContext(writer_, judges=lambda name: engine)))
    assert writer_.asked == []
    assert len(engine.asked) == 8 + 8 + 8, "of the promotion; then old answers for the baseline, and new ones"


def test_a_reply_outside_the_choices_fails_its_case(folder: Path) -> None:
    """A judge that is not constrained says more than a choice."""
    chatty = ScriptedEngine(lambda request: "yes, because step 1 ...", name="judge")
    done = promoted(folder, chatty)
    assert all(outcome.broken and not outcome.passed for outcome in done.outcomes)
    assert "kind: the judge's reply 'yes, because" in done.outcomes[0].checks[0].reason


def test_without_an_engine_for_the_judge_it_is_an_error(folder: Path) -> None:
    with pytest.raises(EvaluationError, match=r"a judge \(judge\) is needed"):
        asyncio.run(promote.promote(loads(TEXT), PromotedFolder(folder), EvaluationContext(ScriptedEngine(writer))))


def test_a_judge_at_a_url_gets_the_choices_as_a_schema(folder: Path) -> None:
    """A remote engine cannot score labels. An enforced enum gives the same certainty."""
    prompt: Prompt = loads(TEXT)
    case = case_files.load(prompt, folder)[0]
    remote = ScriptedEngine(verdicts).identity.__class__("remote", "1", "m", None, None)
    asked = judge.judge_request(prompt.spec.evaluators[0], case, "text", remote)
    assert json.loads(asked.schema or "") == {"enum": ["no", "a bit", "yes"]}
    assert asked.choices == ()


def test_judgements_survive_the_recording(tmp_path: Path) -> None:
    record = recording.Record(
        "a", "f" * 64, "x", (1,), "stop", judgements=(("k", recording.Judgement("yes", "e" * 64)),)
    )
    recording.write(tmp_path / "r.jsonl", [record])
    assert recording.read(tmp_path / "r.jsonl") == {"a": record}
