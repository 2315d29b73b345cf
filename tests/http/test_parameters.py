"""Every parameter is honoured, mapped, ignored or refused by name. None is dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import input_token_count_params, response_create_params

from service.http import parameters
from service.http.bodies import BODIES
from service.http.generation_body import MAX_BIASES, seed_of
from service.http.parameters_page import page
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

ROOT = Path(__file__).resolve().parents[2]
SAY = [{"role": "user", "content": "x"}]
LEAST: dict[str, dict[str, Any]] = {
    parameters.CHAT: {"messages": SAY},
    parameters.COMPLETIONS: {"prompt": "x"},
    parameters.EMBEDDINGS: {"input": "x"},
    parameters.RESPONSES: {"input": "x"},
    parameters.INPUT_TOKENS: {"input": "x"},
    parameters.TOKENIZE: {"prompt": "x"},
    parameters.DETOKENIZE: {"tokens": [120]},
}
OPENAI = {
    parameters.CHAT: chat_create_params.CompletionCreateParamsStreaming,
    parameters.COMPLETIONS: completion_create_params.CompletionCreateParamsStreaming,
    parameters.EMBEDDINGS: embedding_create_params.EmbeddingCreateParams,
    parameters.RESPONSES: response_create_params.ResponseCreateParamsStreaming,
    parameters.INPUT_TOKENS: input_token_count_params.InputTokenCountParams,
}
ROUTES = [body.route for body in BODIES]
FIELDS = {body.route: set(body.model_fields) for body in BODIES}


def said(make: Make, route: str, /, **body: Any) -> tuple[int, dict[str, Any], ScriptedEngine]:
    engine = ScriptedEngine(lambda request: "good day")
    response = ask(make(engine), "POST", route, json={**LEAST[route], **body})
    return response.status_code, response.json().get("error", {}), engine


def read(route: str, /, **body: Any) -> dict[str, Any]:
    return parameters.read(route, FIELDS[route], body)


@pytest.mark.parametrize("route", OPENAI)
def test_every_parameter_of_openais_own_types_is_known(route: str) -> None:
    known = FIELDS[route] | set(parameters.of_route(parameters.IGNORED, route))
    known |= set(parameters.of_route(parameters.REFUSED, route))
    assert set(OPENAI[route].__annotations__) <= known


@pytest.mark.parametrize("route", ROUTES)
def test_a_parameter_has_one_place(route: str) -> None:
    places = [*FIELDS[route]]
    for group in (*parameters.IGNORED, *parameters.REFUSED):
        places += group.names if route in group.routes else ()
    assert len(places) == len(set(places))


@pytest.mark.parametrize("route", ROUTES[:2])
def test_explicit_nulls_are_defaults(make: Make, route: str) -> None:
    """All optional parameters at once, refused ones included."""
    names = FIELDS[route] | set(parameters.of_route(parameters.REFUSED, route)) - {"messages", "prompt"}
    nulls = dict.fromkeys(names - set(LEAST[route]))
    status, error, engine = said(make, route, **nulls)
    assert status == 200, error
    plain = said(make, route)[2]
    assert engine.asked[0].messages == plain.asked[0].messages
    for request in (engine.asked[0], plain.asked[0]):
        assert (request.sampling.temperature, request.logprobs) == (1.0, None)


def test_a_null_prompt_is_the_empty_text(make: Make) -> None:
    status, _, engine = said(make, parameters.COMPLETIONS, prompt=None)
    assert (status, engine.asked[0].text) == (200, "")


@pytest.mark.parametrize("route", ROUTES)
def test_a_refused_parameter_is_named_and_its_neutral_values_are_taken(route: str) -> None:
    for name, (why, neutral) in parameters.of_route(parameters.REFUSED, route).items():
        for value in (*neutral, None):
            assert name not in read(route, **{name: value})
        with pytest.raises(parameters.NotSupported) as refused:
            read(route, **{name: ["something", 0.123]})
        assert refused.value.key == name
        assert str(refused.value).startswith(f"{name} is not supported here. {why}")


def test_a_boolean_is_no_number_also_among_neutral_values() -> None:
    with pytest.raises(parameters.NotSupported):
        read(parameters.CHAT, best_of=True)
    with pytest.raises(parameters.NotSupported):
        read(parameters.CHAT, store=0)


def test_best_of_as_large_as_n_asks_for_nothing_more() -> None:
    assert read(parameters.COMPLETIONS, prompt="x", n=3, best_of=3) == {"prompt": "x", "n": 3}
    with pytest.raises(parameters.NotSupported, match="best_of"):
        read(parameters.COMPLETIONS, prompt="x", n=2, best_of=3)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("modl", "model"), ("temprature", "temperature"), ("max_token", "max_tokens"), ("quux", None), ("x" * 5000, None)],
    ids=lambda value: str(value)[:20],
)
def test_an_unknown_parameter_is_refused_with_the_one_that_was_meant(
    make: Make, route: str, wrong: str, meant: str | None
) -> None:
    status, error, engine = said(make, route, **{wrong: "canary"})
    assert (status, error["param"]) == (400, wrong[:80])
    assert f"Unknown parameter '{wrong[:80]}'" in error["message"]
    if meant in FIELDS[route]:
        assert f"did you mean '{meant}'?" in error["message"]
    assert "canary" not in error["message"]
    assert engine.asked == []


def test_many_unknown_parameters_give_a_short_error(make: Make) -> None:
    status, error, _ = said(make, parameters.CHAT, **{f"unknown_{number}": 1 for number in range(5000)})
    assert status == 400
    assert error["message"].count("Unknown parameter") == parameters.MAX_REPORTED


def test_prompts_refuse_parameters_that_the_promoted_prompt_decides(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    for name, expected in (("sed", "did you mean 'seed'?"), ("temperature", "The promoted prompt decides it.")):
        response = ask(make(engine), "POST", "/prompts/greet", json={"inputs": {"name": "Ada"}, name: 1})
        assert response.status_code == 400
        assert expected in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == f"/{name}"
    nulls = {"inputs": {"name": "Ada"}, "seed": None, "stream": None}
    assert ask(make(engine), "POST", "/prompts/greet", json=nulls).status_code == 200


@pytest.mark.parametrize("route", ["/prompts/greet", parameters.CHAT])
def test_a_misspelt_header_of_ours_is_refused(make: Make, route: str) -> None:
    engine = ScriptedEngine(lambda request: "x")
    body = {"inputs": {"name": "Ada"}} if route == "/prompts/greet" else LEAST[route]
    response = ask(make(engine), "POST", route, json=body, headers={"X-Sameboat-Mod": "exact"})
    assert response.status_code == 400
    assert "X-Sameboat-Mode" in response.text
    assert engine.asked == []


@pytest.mark.parametrize(
    ("bias", "status"),
    [
        ({"0": -100, "7": 100}, 200),
        ({str(number): 1 for number in range(MAX_BIASES)}, 200),
        ({str(number): 1 for number in range(MAX_BIASES + 1)}, 400),
        ({"hello": 1}, 400),
        ({"-1": 1}, 400),
        ({" 1": 1}, 400),
        ({"1_0": 1}, 400),
        ({"\u0661": 1}, 400),
        ({"1": 100.5}, 400),
        ({"1": -101}, 400),
        ({"1": "2"}, 400),
        ({"1": None}, 400),
        ({"9" * 5000: 1}, 400),
        ([1, 2], 400),
    ],
)
def test_a_bias_is_a_finite_number_for_a_token_id(make: Make, bias: Any, status: int) -> None:
    code, error, engine = said(make, parameters.CHAT, logit_bias=bias)
    assert code == status
    assert len(engine.asked) == (status == 200)
    if status == 400:
        assert error["param"].startswith("logit_bias")
        assert len(error["message"]) < 300


def test_token_ids_in_place_of_texts_are_told_in_words(make: Make) -> None:
    for ids in ([1, 2], [[1, 2], [3]]):
        status, error, _ = said(make, parameters.EMBEDDINGS, input=ids)
        assert (status, error["param"]) == (400, "input")
        assert error["message"] == "input takes text and no token ids. Send a text, or a list of texts."


def test_minus_one_and_none_draw_a_seed_and_others_are_kept() -> None:
    assert len({seed_of(-1) for _ in range(20)} | {seed_of(None) for _ in range(20)}) > 30
    assert [seed_of(seed) for seed in (0, 5, 2**32 - 2)] == [0, 5, 2**32 - 2]


def test_another_servers_name_is_the_same_parameter(make: Make) -> None:
    other = {"repetition_penalty": 1.5, "random_seed": 7, "max_new_tokens": 3}
    ours = {"repeat_penalty": 1.5, "seed": 7, "max_tokens": 3}
    for route in ROUTES[:2]:
        assert said(make, route, **other)[2].asked[0].sampling == said(make, route, **ours)[2].asked[0].sampling
        assert said(make, route, **other, **ours)[0] == 200
        status, error, _ = said(make, route, max_tokens=4, max_new_tokens=3)
        assert (status, error["param"]) == (400, "max_new_tokens")


def test_a_whole_number_may_be_written_with_a_fraction(make: Make) -> None:
    """Lua, R and others write all numbers so, and for JSON Schema they are integers. 16.5 is still refused."""
    sampling = said(make, parameters.CHAT, max_tokens=16.0, seed=42.0, top_k=40.0)[2].asked[0].sampling
    assert (sampling.max_tokens, sampling.seed, sampling.top_k) == (16, 42, 40)
    assert said(make, parameters.CHAT, max_tokens=16.5)[0] == said(make, parameters.CHAT, seed=1e300)[0] == 400
    engine = ScriptedEngine(lambda request: "x")
    assert ask(make(engine), "POST", "/prompts/greet", json={"inputs": {"name": "A"}, "seed": 7.0}).status_code == 200
    assert engine.asked[0].sampling.seed == 7


def test_of_two_limits_the_smaller_one_holds(make: Make) -> None:
    for given in ({"max_tokens": 3, "max_completion_tokens": 9}, {"max_tokens": 9, "max_completion_tokens": 3}):
        assert said(make, parameters.CHAT, **given)[2].asked[0].sampling.max_tokens == 3


def test_a_key_of_a_message_that_would_change_the_answer_is_not_dropped(make: Make) -> None:
    """Clients send back messages of earlier answers. Their further keys are ignored."""
    for more in ({"contnet": "x"}, {"function_call": {"name": "f"}}, {"audio": {"id": "1"}}, {"prefix": True}):
        status, error, _ = said(make, parameters.CHAT, messages=[{**SAY[0], **more}])
        assert (status, error["param"]) == (400, "messages"), more
    kept = {"refusal": None, "audio": None, "function_call": None, "annotations": [], "reasoning_content": "hm"}
    assert said(make, parameters.CHAT, messages=[{**SAY[0], **kept}])[0] == 200


def test_the_page_of_parameters_is_current() -> None:
    assert (ROOT / "docs" / "openai-parameters.md").read_text(encoding="utf-8") == page()


def test_the_description_equals_the_routes(make: Make) -> None:
    """/openapi.json has null, other servers' names, and neutral values, and nothing else."""
    document = ask(make(ScriptedEngine(lambda request: "x")), "GET", "/openapi.json").json()
    schema = document["components"]["schemas"]["ChatBody"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["best_of"]["enum"] == [1, None]
    assert schema["properties"]["user"] == {"description": "Has no effect. Names the end user or the request."}
    assert {"type": "null"} in schema["properties"]["n"]["anyOf"]
    assert {"type": "null"} not in schema["properties"]["messages"].get("anyOf", [])
    assert json.dumps(schema["properties"]["logit_bias"]).count("propertyNames") == 1
