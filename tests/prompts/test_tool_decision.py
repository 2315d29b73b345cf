"""The question whether an answer needs a tool, with scripted models."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.engine import toolcalls
from service.engine.types import Message, Request, Sampling, TemplateInputs
from service.errors import PromptTooLong
from service.prompts import run as prompts
from service.prompts import tool_decision
from tests.scripted import ScriptedEngine

NOW = {"type": "function", "function": {"name": "now", "description": "The time."}}
ROLL = {"type": "function", "function": {"name": "roll", "description": "Roll a dice."}}
ASKED = Request(messages=(Message("user", "What time is it?"),), tools=(NOW, ROLL), deadline_s=60.0)


class Deciding(ScriptedEngine):
    """Needs a tool if `label` is yes."""

    def __init__(self, label: str, threshold: float | None = 0.56) -> None:
        super().__init__(lambda request: label if request.choices else "Hello there")
        self.tools_threshold = threshold


def run(engine: ScriptedEngine, request: Request = ASKED) -> prompts.Result:
    return asyncio.run(prompts.run(request, engine))


LISTED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NOW]}}
FLAT = {"type": "allowed_tools", "mode": "auto", "tools": [NOW]}


@pytest.mark.parametrize("choice", ["auto", LISTED, FLAT])
@pytest.mark.parametrize("label", ["yes", "no"])
def test_the_answer_must_call_or_sees_no_tools(label: str, choice: Any) -> None:
    engine = Deciding(label)
    run(engine, replace(ASKED, tool_choice=choice))
    question, answer = engine.asked
    assert question.choices == ("yes", "no")
    assert not question.tools
    assert answer.messages == ASKED.messages  # nothing is added to the conversation
    assert answer.tools == ((NOW, ROLL) if label == "yes" else ())
    if label == "yes":
        functions, must = toolcalls.allowed(answer.tools, answer.tool_choice)
        assert must
        assert list(functions) == (["now", "roll"] if choice == "auto" else ["now"])


@pytest.mark.parametrize(
    "request_",
    [
        replace(ASKED, tools=()),
        replace(ASKED, tool_choice="required"),
        replace(ASKED, tool_choice={"type": "function", "function": {"name": "now"}}),
        replace(ASKED, template=TemplateInputs(continue_final_message=True)),
    ],
)
def test_only_an_answer_that_may_call_and_need_not_is_asked_about(request_: Request) -> None:
    engine = Deciding("no")
    run(engine, request_)
    assert [asked.tools for asked in engine.asked] == [request_.tools]


def test_an_engine_without_a_threshold_is_not_asked() -> None:
    """Remote engines have none."""
    engine = Deciding("no", threshold=None)
    run(engine)
    assert [asked.tools for asked in engine.asked] == [(NOW, ROLL)]


@pytest.mark.parametrize(("threshold", "calls"), [(0.09, True), (0.11, False)])
def test_the_threshold_decides(threshold: float, calls: bool) -> None:
    """The scripted engine gives the other label a tenth."""
    engine = Deciding("no", threshold)
    run(engine)
    assert bool(engine.asked[-1].tools) == calls


def test_the_question_shows_the_allowed_functions_and_the_conversation() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": '{"city": "Oslo"}'}}
    messages = (
        Message("system", "Be brief."),
        Message("user", "Time in Oslo?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "14:25"),
    )
    engine = Deciding("yes")
    run(engine, replace(ASKED, messages=messages, tool_choice=LISTED))
    assert engine.asked[0].messages[-1].content == (
        "Functions:\n- now: The time.\n\nConversation:\nSystem: Be brief.\nUser: Time in Oslo?\n"
        'Assistant called now({"city": "Oslo"})\nResult: 14:25\n\nDoes the assistant need a function now?'
    )


def test_a_long_conversation_has_a_short_question() -> None:
    """Its first system message and its end are shown, and of each message the beginning."""
    messages = (Message("system", "Be brief."), *(Message("user", f"{number} " + "x" * 9_000) for number in range(300)))
    request = replace(ASKED, messages=messages)
    text = tool_decision.question(request, {"now": NOW["function"]}).messages[-1].content  # type: ignore[dict-item]
    assert len(text) < 10_000
    assert "System: Be brief." in text
    assert "User: 299 xxx" in text
    assert "User: 100 xxx" not in text


def test_a_question_that_does_not_fit_leaves_the_decision_to_the_answer() -> None:
    too_long = PromptTooLong("too long", limit=1, count=2)
    engine = ScriptedEngine(lambda request: too_long if request.choices else "Hello")
    engine.tools_threshold = 0.5
    run(engine)
    assert [bool(asked.tools) for asked in engine.asked] == [False, True]


def test_the_question_has_the_conditions_of_the_answer_and_is_greedy() -> None:
    """Mode, salt, priority and reuse are the request's, so exact answers stay exact and nobody sees another's cache."""
    request = replace(
        ASKED, mode="exact", cache_salt="a", priority="background", reuse=False, template_date="2026-01-02",
        sampling=Sampling(temperature=1.0, seed=7),
    )  # fmt: skip
    engine = Deciding("yes")
    run(engine, request)
    question = engine.asked[0]
    assert (question.mode, question.cache_salt, question.priority, question.reuse) == (
        "exact",
        "a",
        "background",
        False,
    )
    assert (question.template_date, question.sampling) == ("2026-01-02", Sampling())


def test_question_and_answers_have_fingerprints_of_their_own() -> None:
    """So the decision is kept too, and an answer is kept as if the caller had made the choice."""
    needs, needs_none = Deciding("yes"), Deciding("no")
    marks = {run(needs).fingerprint, run(needs_none).fingerprint, needs.asked[0].fingerprint}
    assert len(marks) == 3
    assert None not in marks
    assert needs.asked[0].fingerprint == needs_none.asked[0].fingerprint
    assert run(needs).fingerprint == run(needs, replace(ASKED, tool_choice="required")).fingerprint
    assert run(needs_none).fingerprint == run(needs_none, replace(ASKED, tools=())).fingerprint


def test_warmed_questions_share_all_that_is_fixed() -> None:
    texts = [tool_decision.question(ASKED, {"now": {}}), *tool_decision.variants()]
    assert len({request.messages[:-1] for request in texts}) == 1
    assert all(request.messages[-1].content.startswith("Functions:\n- ") for request in texts)
