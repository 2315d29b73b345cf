"""The doctor finds answers that depend on history or load, and reports the guarantee of `exact`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Engine, Request
from service.errors import EvaluationError
from service.evaluation import determinism
from service.evaluation.cases import Case
from service.evaluation.determinism import AnswerSources
from service.prompts.file import loads
from tests.scripted import ScriptedEngine

PROMPT = loads("name: echo\nmodelParameters: {maxTokens: 8}\nmessages: [{role: user, content: 'Say {{word}}.'}]\n")
CASES = [Case(f"c{i}", {"word": f"word {i}"}) for i in range(6)]


def examined(reply, **options: object) -> determinism.DeterminismReport:  # type: ignore[no-untyped-def]
    async def fresh() -> Engine:
        return ScriptedEngine(reply)

    return asyncio.run(determinism.examine(PROMPT, CASES, AnswerSources(fresh, **options)))  # type: ignore[arg-type]


def test_an_engine_that_always_says_the_same_holds() -> None:
    """In five ways and two modes, with the cost of `exact`. No cached answer is taken."""
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return request.messages[0].content

    report = examined(reply)
    assert [way.same for way in report.ways] == [6] * 10
    assert report.holds("exact")
    assert report.holds("fast")
    assert not any(request.reuse for request in asked)
    assert "bit-identical in both modes, on these cases; only `exact` guarantees it. It takes" in report.markdown()


def test_an_answer_that_depends_on_how_many_came_before_is_found() -> None:
    """In `fast` only: then `exact` guarantees it, and its cost is told."""
    count = 0

    def reply(request: Request) -> str:
        nonlocal count
        count += 1
        return "same" if request.mode == "exact" else f"{count}"

    report = examined(reply)
    assert report.holds("exact")
    assert not report.holds("fast")
    assert "`exact` is bit-identical in every way, `fast` is not. It takes" in report.conclusion()


def test_a_broken_promise_is_named_with_its_way_and_cases() -> None:
    """Over HTTP one case differs in its tokens only. Equal text does not hide it."""

    async def http(inputs, mode):  # type: ignore[no-untyped-def]
        text = f"Say {inputs['word']}."
        return text, tuple(text.encode()) if "3" not in text else (1, 2), ()

    report = examined(lambda request: request.messages[0].content, over_http=http)
    assert not report.holds("exact")
    assert "NOT bit-identical, although `exact` promises it: over HTTP, full batch" in report.markdown()
    assert next(way for way in report.ways if "HTTP" in way.name).differ == ("c3",)


def test_an_engine_without_an_exact_mode_is_told_so() -> None:
    """There is nothing to hold a remote engine to."""

    class Remote(ScriptedEngine):
        @property
        def abilities(self):  # type: ignore[no-untyped-def]
            return replace(super().abilities, exact=False)

    async def fresh() -> Engine:
        return Remote(lambda request: "x")

    with pytest.raises(EvaluationError, match="no mode of it guarantees"):
        asyncio.run(determinism.examine(PROMPT, CASES, AnswerSources(fresh)))


@pytest.mark.model
def test_the_starter_model_is_bit_identical_in_exact_mode(starter: Path) -> None:
    """The real engine, in a fresh process per mode: cold, warm, shuffled, in a batch."""

    async def fresh() -> Engine:
        engine = Engines(settings_module.load()).get(None)
        await engine.ready()
        return engine

    report = asyncio.run(determinism.examine(PROMPT, CASES, AnswerSources(fresh)))
    assert report.holds("exact"), report.markdown()
