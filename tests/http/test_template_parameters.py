"""Parameters for the chat template under vLLM's names, and thoughts in a field of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from service.engine.thinking import ThinkingSplitter
from service.engine.types import Thinking
from tests.http.conftest import Make, serving
from tests.scripted import ScriptedEngine

SAY = [{"role": "user", "content": "2 + 2?"}]
THINKS = Thinking("<think>", "</think>")
ANSWERS = [
    ("<think>\n2 and 2\nis 4\n</think>\n\nIt is 4.", False, "2 and 2\nis 4", "It is 4."),
    ("2 and 2 </think> It is 4.", True, "2 and 2", "It is 4."),
    ("<think>2 and 2</think>It is 4.", True, "2 and 2", "It is 4."),
    ("It is <think>4</think>.", False, "", "It is <think>4</think>."),
    ("<think>2 and </thi", False, "2 and </thi", ""),
    ("<thi", False, "", "<thi"),
    ("2 and", True, "2 and", ""),
]


@pytest.mark.parametrize(("answer", "begun", "thoughts", "said"), ANSWERS)
def test_pieces_of_any_size_give_the_same_thoughts_and_text(answer: str, begun: bool, thoughts: str, said: str) -> None:
    for size in (1, 2, 3, len(answer)):
        splitter = ThinkingSplitter(Thinking("<think>", "</think>", begun))
        pieces = [splitter.add(answer[at : at + size]) for at in range(0, len(answer), size)] + [splitter.end()]
        assert ("".join(piece[0] for piece in pieces), "".join(piece[1] for piece in pieces)) == (thoughts, said)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda request: ANSWERS[0][0])


@pytest.fixture
def client(make: Make, engine: ScriptedEngine) -> Iterator[httpx.Client]:
    with serving(make(engine)) as url, httpx.Client(base_url=url) as it:
        yield it


def ask(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/chat/completions", json={"messages": SAY, **fields})


def test_what_the_template_gets_reaches_the_engine(client: httpx.Client, engine: ScriptedEngine) -> None:
    said = [*SAY, {"role": "assistant", "content": "It is", "reasoning_content": "hm"}]
    given = {"chat_template_kwargs": {"enable_thinking": False}, "documents": [{"text": "x"}]}
    assert ask(client, messages=said, continue_final_message=True, **given).status_code == 200
    asked = engine.asked[0]
    assert (dict(asked.template.values), asked.template.documents) == ({"enable_thinking": False}, ({"text": "x"},))
    assert (asked.template.continue_final_message, asked.template.add_generation_prompt) == (True, False)
    assert asked.messages[1].reasoning == "hm"


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
        ({"template_date": "2026-02-30"}, "template_date"),
        ({"template_date": "today"}, "template_date"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"documents": ["x"]}, "documents"),
        ({"enable_thinking": True}, "enable_thinking"),
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
    ],
)
def test_a_wrong_one_is_refused_by_its_name(client: httpx.Client, fields: dict[str, object], key: str) -> None:
    response = ask(client, **fields)
    assert response.status_code == 400
    assert key in response.json()["error"]["param"]


def test_thoughts_have_a_field_of_their_own(client: httpx.Client, engine: ScriptedEngine) -> None:
    engine.thinks = THINKS
    message = ask(client).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("2 and 2\nis 4", "It is 4.")
    deltas = [
        json.loads(line[6:])["choices"][0]["delta"]
        for line in ask(client, stream=True).text.splitlines()
        if line.startswith("data: {") and json.loads(line[6:])["choices"]
    ]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "2 and 2\nis 4"
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is 4."


def test_an_answer_without_marks_in_the_template_stays_whole(client: httpx.Client) -> None:
    message = ask(client).json()["choices"][0]["message"]
    assert message["content"] == ANSWERS[0][0]
    assert "reasoning_content" not in message
