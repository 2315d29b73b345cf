"""Prompts as token ids, echoed prompts, and the routes about tokens, around a scripted engine with a token per byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from service.engine.types import Alternative, Answer, Chunk, Logprob, Request, Timings, Usage
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

CHAT = [{"role": "user", "content": "x"}]
PROMPT = tuple(Logprob(ord(sign), sign, -at / 2, (Alternative(1, "b", -0.25),)) for at, sign in enumerate("ab"))
ANSWER = Answer(
    "c", (99,), "length", Usage(2, 1), Timings(0, 0, 0), logprobs=(Logprob(99, "c", -2.0),), prompt_logprobs=PROMPT
)


class Echoing(ScriptedEngine):
    """Sends the prompt's log-probabilities in two chunks, as the local engine does for a long prompt."""

    async def stream(self, request: Request) -> Any:
        self.asked.append(request)
        wants = request.logprobs is not None
        for entry in PROMPT if wants else ():
            yield Chunk("", (), (), (entry,))
        yield Chunk("c", (99,), ANSWER.logprobs or () if wants else ())
        yield ANSWER if wants else replace(ANSWER, logprobs=None, prompt_logprobs=())


@pytest.fixture
def engine() -> Echoing:
    echoing = Echoing(lambda request: ANSWER)
    echoing.can_logprobs = True
    return echoing


def completion(make: Make, engine: ScriptedEngine, **body: Any) -> Any:
    response = ask(make(engine), "POST", "/v1/completions", json=body)
    assert response.status_code == 200, response.text
    if not body.get("stream"):
        return response.json()
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("prompt", ["ab", [97, 98]], ids=["text", "ids"])
def test_an_echoed_prompt_comes_with_its_log_probabilities(make: Make, engine: Echoing, prompt: Any) -> None:
    body = {"prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": 1}
    [choice] = completion(make, engine, **body)["choices"]
    assert choice["text"] == "abc"
    assert choice["logprobs"] == {
        "tokens": ["a", "b", "c"],
        "token_logprobs": [None, -0.5, -2.0],
        "top_logprobs": [None, {"b": -0.25}, {}],
        "text_offset": [0, 1, 2],
    }
    assert engine.asked[0].echo
    assert (engine.asked[0].text, engine.asked[0].tokens) == (("ab", None) if prompt == "ab" else (None, (97, 98)))


def test_a_streamed_echo_is_the_same_in_pieces(make: Make, engine: Echoing) -> None:
    body = {"prompt": ["ab", "xy"], "echo": True, "logprobs": 1, "max_tokens": 1}
    whole = completion(make, engine, **body)["choices"]
    pieces = [chunk["choices"][0] for chunk in completion(make, engine, **body, stream=True)]
    for number, choice in enumerate(whole):
        own = [piece for piece in pieces if piece["index"] == number]
        assert "".join(piece["text"] for piece in own) == choice["text"] == ("abc", "xyc")[number]
        for name, values in choice["logprobs"].items():
            assert [value for piece in own if piece["logprobs"] for value in piece["logprobs"][name]] == values


def test_an_echo_without_log_probabilities_is_text(make: Make, engine: Echoing) -> None:
    for stream in (False, True):
        answer = completion(make, engine, prompt=[[97, 98], [120]], echo=True, n=2, stream=stream)
        chunks = answer if stream else [answer]
        texts = ["", "", "", ""]
        for choice in (choice for chunk in chunks for choice in chunk["choices"]):
            assert choice["logprobs"] is None
            texts[choice["index"]] += choice["text"]
        assert texts == ["abc", "abc", "xc", "xc"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": [1], "suffix": "x"}, "suffix"),
        ({"prompt": "x", "suffix": "x", "echo": True}, "suffix"),
        ({"prompt": [1], "parse_special": True}, "parse_special"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_contradictions_are_refused_by_name(make: Make, engine: Echoing, body: dict[str, Any], param: str) -> None:
    response = ask(make(engine), "POST", "/v1/completions", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert engine.asked == []


def test_max_tokens_zero_suffix_and_special_texts_reach_the_engine(make: Make, engine: Echoing) -> None:
    completion(make, engine, prompt="x", echo=True, max_tokens=0)
    completion(make, engine, prompt="x", suffix="y", parse_special=True)
    completion(make, engine, prompt="x", suffix="")
    first, second, third = engine.asked
    assert (first.sampling.max_tokens, first.echo) == (0, True)
    assert (second.suffix, second.parse_special, third.suffix) == ("y", True, None)


def test_tokens_are_counted_listed_and_turned_back(make: Make, engine: Echoing) -> None:
    app = make(engine)
    counted = ask(app, "POST", "/tokenize", json={"prompt": "hé", "return_token_strs": True}).json()
    assert counted == {
        "count": 4, "max_model_len": 2048, "tokens": [0, 104, 195, 169], "token_strs": ["\0", "h", "Ã", "©"],
    }  # fmt: skip
    bare = ask(app, "POST", "/tokenize", json={"prompt": "hé", "add_special_tokens": False}).json()
    assert (bare["count"], bare["tokens"], bare["token_strs"]) == (3, [104, 195, 169], None)
    assert ask(app, "POST", "/detokenize", json={"tokens": bare["tokens"]}).json() == {"prompt": "hé"}
    chat = ask(app, "POST", "/tokenize", json={"messages": [{"role": "user", "content": "hi"}]}).json()
    assert chat["tokens"] == [0, 104, 105]
    known = ask(app, "GET", "/tokenizer_info", params={"model": "smollm2-135m-instruct"}).json()
    assert (known["eos_token"], known["bos_token"], known["model_max_length"]) == ("</s>", None, 2048)


@pytest.mark.parametrize(
    ("route", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": CHAT}, "prompt"),
        ("/tokenize", {"prompt": "x", "tools": [{}]}, "tools"),
        ("/tokenize", {"messages": CHAT, "add_special_tokens": True}, "add_special_tokens"),
        ("/tokenize", {"promt": "x"}, "promt"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": ["x"]}, "tokens.0"),
    ],
)  # fmt: skip
def test_errors_about_tokens_have_openais_form(
    make: Make, engine: Echoing, route: str, body: dict[str, Any], param: str
) -> None:
    response = ask(make(engine), "POST", route, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
