"""A recording keeps the date that its templates were given, so it holds on the next day."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.types import Request
from service.errors import EvaluationError, NotSupported
from service.evaluation import promote
from service.evaluation.context import EvaluationContext
from service.evaluation.replay import live, replay
from service.prompts import lock as locks
from service.prompts import run as prompts
from service.prompts.file import load, loads
from service.prompts.library import Library
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
      prompt: "Is this kind? {{completion}}"
      choices: [{choice: "no", score: 0}, {choice: "yes", score: 1}]
    minimum: 0.1
"""


def context(today: str | None) -> tuple[EvaluationContext, ScriptedEngine, ScriptedEngine]:
    """Engines with templates that read the date. None: they read none."""

    def engine(name: str) -> ScriptedEngine:
        made = ScriptedEngine(lambda request: "yes" if request.choices else f"On {request.template_date}", name=name)
        made._identity = replace(made.identity, template_date=today)
        return made

    writer, judge = engine("writer"), engine("judge")
    return EvaluationContext(writer, judges=lambda name: judge), writer, judge


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = casefile.things(tmp_path / "prompts" / "poem", 4)
    asyncio.run(promote.promote(loads(TEXT), PromotedFolder(made), context("2026-11-26")[0]))
    return made


def test_a_replay_and_a_live_run_on_another_day_use_the_recorded_date(folder: Path) -> None:
    prompt, promoted = load(folder / "poem.prompt.yml"), PromotedFolder(folder)
    assert promoted.lock().template_date == "2026-11-26"
    assert len(replay(prompt, promoted)) == 4
    tomorrow, writer, judge = context("2026-11-27")
    assert len(asyncio.run(live(prompt, promoted, tomorrow))) == 4
    assert {request.template_date for request in writer.asked + judge.asked} == {"2026-11-26"}
    assert len(writer.asked) == len(judge.asked) == 4


def test_a_draft_is_compared_on_the_recorded_date_and_nothing_is_asked_again(folder: Path) -> None:
    prompt, promoted = load(folder / "poem.prompt.yml"), PromotedFolder(folder)
    tomorrow, writer, judge = context("2026-11-27")
    asyncio.run(promote.evaluate(prompt, promoted, tomorrow))
    done = asyncio.run(promote.promote(prompt, promoted, tomorrow, accept="a test"))
    assert (writer.asked, judge.asked, done.written) == ([], [], True)
    assert promoted.lock().template_date == "2026-11-26"


def test_another_date_in_the_lock_is_another_request(folder: Path) -> None:
    path = folder / "lock.json"
    path.write_text(path.read_text().replace("2026-11-26", "2026-11-27"))
    with pytest.raises(EvaluationError, match="not in the recording"):
        replay(load(folder / "poem.prompt.yml"), PromotedFolder(folder))


def test_a_promoted_prompt_is_served_on_every_day_and_gets_the_date_of_the_day(folder: Path) -> None:
    library, (_, writer, _) = Library(folder.parent.parent), context("2026-11-30")
    library.verify("poem", writer.identity)
    request = prompts.build_request(library["poem"], {"thing": "x"})
    assert asyncio.run(prompts.run(request, writer)).text == "On 2026-11-30"
    fixed = replace(request, template_date="2024-02-29")
    assert asyncio.run(prompts.run(fixed, writer)).text == "On 2024-02-29"


def test_a_template_without_date_leaves_no_trace_of_one(tmp_path: Path) -> None:
    made = casefile.things(tmp_path / "poem", 2)
    undated, writer, _ = context(None)
    asyncio.run(promote.promote(loads(TEXT), PromotedFolder(made), undated))
    raw = json.loads((made / "lock.json").read_text())
    assert raw["template_date"] is None
    assert "template_date" not in raw["judges"]["judge"]
    assert writer.asked[0].template_date is None
    assert locks.read(made / "lock.json").identity == writer.identity


def test_a_date_for_an_engine_without_template_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(lambda request: "x")
    monkeypatch.setattr(ScriptedEngine, "abilities", replace(engine.abilities, template=False))
    with pytest.raises(NotSupported, match="gets a date"):
        asyncio.run(prompts.run(Request(text="x", template_date="2024-02-29"), engine))
