"""Every honoured parameter at its ends, through the real engine: no answer is missing, and nothing ends the worker."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.http import parameters
from service.http.bodies import BODIES
from service.http.generation_body import MAX_BIASES, MAX_STOPS
from service.http.openai_types import MAX_PROMPTS
from tests.http.conftest import GREET_INPUTS

pytestmark = pytest.mark.model

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
LEAST: dict[str, dict[str, Any]] = {  # the smallest request of each route
    parameters.CHAT: {"messages": [{"role": "user", "content": "Count to five."}], "max_tokens": 2},
    parameters.COMPLETIONS: {"prompt": "One, two, one, two,", "max_tokens": 2},
    "/prompts/greet": {"inputs": GREET_INPUTS},
}
SHAPE = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "boolean"}}}
LARK, GBNF = 'start: "yes" | "no"', 'root ::= "yes" | number\nnumber ::= [0-9]+'
ENDS: dict[str, tuple[list[Any], list[Any]]] = {
    "model": (["smollm2-135m-instruct"], [1, ["smollm2-135m-instruct"]]),
    "seed": ([-1, 0, 42.0, 2**32 - 2, 2**32 - 1, 2**63 - 1, -(2**63), 10**300], [1.5, "1", True]),
    "random_seed": ([-1, 0, 2**63 - 1], [1.5, "1"]),
    "stop": ([[], "a", ["🦜"] * MAX_STOPS, ["x" * 4000]], ["", [""], ["a"] * (MAX_STOPS + 1), 1, [1]]),
    "max_tokens": ([-1, 1, 10**300], [0, -2, 1.5, "1", True]),
    "max_new_tokens": ([2], [0, -1, 1.5, 3]),
    "max_completion_tokens": ([2, 1], [0, -1, 1.5]),
    "n_predict": ([-1, 2], [0, -2, 1.5]),
    "logit_bias": (
        [{}, {"0": -100}, {"49151": 100}, {str(number): 0.5 for number in range(MAX_BIASES)}],
        [{"49152": 1}, {str(2**40 + 1): 1}, {"-1": 1}, {"hello": 1}, {"1": 100.1}, {"1": "1"}, [], 1],
    ),
    "stream": ([False, True], [1, "true", []]),
    "stream_options": (
        [{}, {"include_usage": True}, {"include_usage": None, "include_obfuscation": False}],
        [{"include_usage": 1}, {"include_obfuscation": True}, {"include_usag": True}, []],
    ),
    "messages": ([[{"role": "user", "content": ""}], [{"role": "developer", "content": "x"}] * 40], [[], "x", {}, [1]]),
    "prompt": (
        ["", None, "a" * 900, ["a"] * MAX_PROMPTS, [0, 49_151], [[1]] * MAX_PROMPTS],
        [[], ["a"] * (MAX_PROMPTS + 1), 1, [1, -1], [49_152], [[]], [None], ["a", 1]],
    ),
    "suffix": ([""], ["x", 1]),  # the starter has no tokens to fill in the middle
    "response_format": (
        [{"type": "text"}, {"type": "json_object"}, SHAPE],
        [{"type": "xml"}, {"type": "json_schema"}, {}, "json_object"],
    ),
    "structured_outputs": (
        [
            {},
            {"json": {"type": "boolean"}},
            {"regex": "[0-9]"},
            {"choice": ["yes"]},
            {"json_object": True},
            {"grammar": LARK},
        ],
        [{"regex": "a", "choice": ["a"]}, {"structural_tag": "a"}, [], "json"],
    ),
    "guided_json": ([{"type": "null"}, '{"type": "null"}'], [{"type": "nil"}, "{", [], 1]),
    "json_schema": ([{"type": "null"}, '{"type": "null"}'], [{"type": "nil"}, "{", [], 1]),
    "guided_regex": (["", "a|b", "[0-9]{3}"], ["(", "(?=a)", 1]),
    "regex": (["", "a|b"], ["(", "(?=a)", 1]),
    "guided_choice": ([["yes", "no"], ["\n"]], [[], [""], "yes", [1], ["a"] * 1901]),
    "guided_grammar": (["", LARK, GBNF], [1, "x" * 65_537]),
    "grammar": (["", LARK, GBNF], ["root ::= nothing", "start: nothing", 1]),
    "ebnf": (["", GBNF], [1]),
    "tools": ([[], [TOOL]], [[{}], TOOL, "f"]),
    "tool_choice": (["none", "auto"], ["required", {"type": "function", "function": {"name": "f"}}, 1]),
    "chat_template_kwargs": ([{}], [[], "x", 1]),
    "documents": ([[]], [{}, "x", [1]]),
    "template_date": (["2026-11-26", "2024-02-29"], ["2026-02-29", "26-11-26", 1]),
    "cache_salt": (["a", "x" * 256], ["", "x" * 257, 1]),
    "parallel_tool_calls": ([True, False], [1, "true"]),
    "reasoning_format": (["auto", "deepseek", "none"], ["parsed", 1]),
}
"""Values that are taken, and such that are refused, where the type has no smallest and largest number."""
SOON = [" ", ",", "e", "o", "\n"]
BESIDE: dict[str, dict[str, Any]] = {
    "top_logprobs": {"logprobs": True},
    "seed": {"temperature": 1.5},
    "max_tokens": {"stop": SOON},
    "n_predict": {"stop": SOON, "max_tokens": None},
    "stream_options": {"stream": True},
    "continue_final_message": {
        "messages": [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two"}]
    },
}
"""What a parameter needs beside it to have an effect, or to end soon."""


def ends_of(name: str, known: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Values at both ends, and just outside: from the type, or from the table."""
    if name in ENDS:
        return ENDS[name]
    option = next(option for option in known.get("anyOf", [known]) if option["type"] != "null")
    if option["type"] == "boolean":
        return [True, False], [0, 1, "true"]
    assert option["type"] in ("integer", "number"), f"{name} needs its ends in ENDS"
    step = 1 if option["type"] == "integer" else 0.001
    wrong = ["1", True, [1], option["maximum"] + step]
    if "exclusiveMinimum" in option:
        return [option["exclusiveMinimum"] + step, option["maximum"]], [*wrong, option["exclusiveMinimum"]]
    return [option["minimum"], option["maximum"]], [*wrong, option["minimum"] - step]


CHATS = next(body for body in BODIES if body.route == parameters.CHAT).own_schema()["properties"]
OWN, SHARED = (
    [
        pytest.param(body.route, name, *ends_of(name, known), id=f"{body.__name__} {name}")
        for body in BODIES
        if body.route in LEAST
        for name, known in body.own_schema()["properties"].items()
        if (body.route == parameters.COMPLETIONS and CHATS.get(name) == known) is shared
    ]
    for shared in (False, True)
)
"""The parameters of chats, and those of completions that chats do not have. And those that both have alike."""
CASES = [
    *OWN,
    pytest.param("/prompts/greet", "seed", [-1, 0, 2**32 - 2, None], [-2, 2**32 - 1, 1.5, "1", True], id="prompt seed"),
    pytest.param("/prompts/greet", "stream", [True, False, None], [1, "true"], id="prompt stream"),
    pytest.param("/prompts/greet", "inputs", [{"name": ""}, {"name": "x" * 40}], [{"name": "x" * 41}, 1, None]),
]


@pytest.mark.parametrize(("route", "name", "good", "wrong"), CASES)
def test_a_parameter_at_its_ends(
    starter_service: httpx.Client, route: str, name: str, good: list[Any], wrong: list[Any]
) -> None:
    """Its limits and null are answered by the same worker. Values just outside are a 400 that names it."""
    answers_at_its_ends(starter_service, route, name, good, wrong)


@pytest.mark.parametrize(("route", "name", "good", "wrong"), SHARED)
def test_a_parameter_of_both_routes_at_its_ends_in_completions(
    starter_service: httpx.Client, route: str, name: str, good: list[Any], wrong: list[Any]
) -> None:
    answers_at_its_ends(starter_service, route, name, good, wrong)


def answers_at_its_ends(
    starter_service: httpx.Client, route: str, name: str, good: list[Any], wrong: list[Any]
) -> None:
    required = name in ("messages", "prompt", "inputs")
    beside = {} if route == "/prompts/greet" else BESIDE.get(name, {})
    for value in good if required else [*good, None]:
        answer = starter_service.post(route, json={**LEAST[route], **beside, name: value})
        assert answer.status_code == 200, (value, answer.text)
        assert "error" not in answer.text[-300:]
    for value in wrong:
        answer = starter_service.post(route, json={**LEAST[route], **beside, name: value})
        assert answer.status_code in (400, 422), (value, answer.text)
        assert name in answer.text
    ready = starter_service.get("/readyz").json()
    assert [engine["restarts"] for engine in ready["engines"].values()] == [0]


def text_of(client: httpx.Client, **body: Any) -> str:
    sent = {"prompt": "Red, green, red, green, red,", "max_tokens": 12, "temperature": 0, **body}
    answer = client.post("/v1/completions", json=sent, headers={"cache-control": "no-cache"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


@pytest.mark.parametrize(
    "body",
    [
        {"repeat_penalty": 2.0}, {"repetition_penalty": 2.0}, {"frequency_penalty": 2.0}, {"presence_penalty": 2.0},
        {"temperature": 2.0, "seed": 1}, {"stop": ["green"]}, {"max_tokens": 2}, {"max_new_tokens": 2},
        {"n_predict": 2}, {"max_completion_tokens": 2},
    ],
    ids=lambda body: next(iter(body)),
)  # fmt: skip
def test_a_parameter_changes_the_answer(starter_service: httpx.Client, body: dict[str, Any]) -> None:
    if next(iter(body)) in ("max_new_tokens", "n_predict", "max_completion_tokens"):
        body = {**body, "max_tokens": None}
    assert text_of(starter_service, **body) != text_of(starter_service)


def test_the_repeat_penalty_counts_the_prompt_and_the_others_do_not(starter_service: httpx.Client) -> None:
    """As elsewhere: the first token already is another one, or is not."""
    body = {"prompt": "left right left right left right left right left", "max_tokens": 1}
    plain = text_of(starter_service, **body)
    assert plain in (" left", " right")
    assert text_of(starter_service, **body, repeat_penalty=2.0) != plain
    assert text_of(starter_service, **body, frequency_penalty=2.0, presence_penalty=2.0) == plain


@pytest.mark.parametrize("body", [{"top_k": 1}, {"top_p": 0}, {"min_p": 1}])
def test_a_cut_to_one_token_is_the_greedy_answer(starter_service: httpx.Client, body: dict[str, Any]) -> None:
    assert text_of(starter_service, temperature=2, seed=3, **body) == text_of(starter_service)


def test_a_seed_of_minus_one_draws(starter_service: httpx.Client) -> None:
    drawn = {text_of(starter_service, temperature=2, seed=-1) for _ in range(4)}
    kept = {text_of(starter_service, temperature=2, seed=7) for _ in range(2)}
    assert len(drawn) > 1
    assert len(kept) == 1


def test_more_answers_than_the_queue_takes_are_refused_for_good(starter_service: httpx.Client) -> None:
    """16 prompts with 5 answers each would be refused on an idle service too: 429 would have the caller come again."""
    answer = starter_service.post("/v1/completions", json={"prompt": ["a"] * 16, "n": 5, "max_tokens": 1})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")
    assert "80 answers" in answer.json()["error"]["message"]
    assert "retry-after" not in answer.headers


def test_bytes_of_log_probabilities_are_the_text(starter_service: httpx.Client) -> None:
    """Tokens that are parts of characters: their bytes joined are the text, and each is told from the others."""
    body = {"messages": [{"role": "user", "content": "Repeat: 🦜🦜🦜🦜"}], "temperature": 0, "max_tokens": 12}
    answer = starter_service.post("/v1/chat/completions", json={**body, "logprobs": True, "top_logprobs": 5}).json()
    choice = answer["choices"][0]
    content = choice["logprobs"]["content"]
    assert "🦜" in choice["message"]["content"]
    joined = b"".join(bytes(token["bytes"]) for token in content)
    assert joined.decode(errors="replace") == choice["message"]["content"]
    for token in content:
        assert len({tuple(other["bytes"]) for other in token["top_logprobs"]}) == 5


@pytest.mark.parametrize("stream", [False, True])
def test_offsets_of_log_probabilities_lie_in_the_text(starter_service: httpx.Client, stream: bool) -> None:
    body = {"prompt": "🦜 🦜 🦜 🦜 🦜", "max_tokens": 9, "temperature": 0, "logprobs": 3, "stream": stream}
    answer = starter_service.post("/v1/completions", json=body)
    if stream:
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
        choices = [json.loads(line)["choices"][0] for line in lines]
    else:
        choices = answer.json()["choices"]
    text = "".join(choice["text"] for choice in choices)
    told = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    offsets = [offset for logprobs in told for offset in logprobs["text_offset"]]
    assert "🦜" in text
    assert len(offsets) == 9
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert offsets[-1] < len(text)
    for logprobs in told:
        for name, top in zip(logprobs["tokens"], logprobs["top_logprobs"], strict=True):
            assert len(top) == 3
            assert name in top
