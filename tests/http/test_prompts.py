"""Promoted prompts have typed operations in the OpenAPI document. Drafts have none."""

from __future__ import annotations

import asyncio
import json
import shutil

import httpx
import pytest

from service.engine.types import Alternative, Answer, Logprob, Timings, Usage
from service.errors import EngineBusy, EngineUnavailable, LockMismatch
from tests.http.conftest import GREET, Make, ask, events, inside, promote
from tests.scripted import ScriptedEngine


def test_each_promoted_prompt_is_typed_in_the_openapi_document(make: Make) -> None:
    document = ask(make(ScriptedEngine(lambda request: "x")), "GET", "/openapi.json").json()
    route = document["paths"]["/prompts/person"]["post"]
    body = route["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["inputs"]["required"] == ["text"]
    answer = route["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["value"]["properties"]["age"] == {"type": "integer"}
    assert document["paths"]["/prompts/greet"]["post"]["summary"] == "Greets somebody"
    assert "/prompts/draft" not in document["paths"]


def test_an_example_comes_from_the_first_case_and_is_in_the_description(make: Make) -> None:
    """`/docs` and the page have an example to send. A first case that does not fit the schema is no example."""
    app = make(ScriptedEngine(lambda request: "x"))
    assert ask(app, "GET", "/prompts/greet").json()["example"] == {"name": "Ada"}
    assert ask(app, "GET", "/prompts/person").json()["example"] is None
    route = ask(app, "GET", "/openapi.json").json()["paths"]["/prompts/greet"]["post"]
    assert route["requestBody"]["content"]["application/json"]["example"] == {"inputs": {"name": "Ada"}}


def test_an_answer_says_where_it_came_from(make: Make) -> None:
    engine = ScriptedEngine(lambda request: '{"first": "Ada", "age": 36}')
    response = ask(make(engine), "POST", "/prompts/person", json={"inputs": {"text": "Ada, 36"}})
    assert response.status_code == 200
    body = response.json()
    assert body["value"] == {"first": "Ada", "age": 36}
    assert body["model"] == {"name": "scripted", "sha256": "0" * 64}
    assert body["constrained"] is True
    assert response.headers["x-sameboat-fingerprint"] == body["fingerprint"] == engine.asked[0].fingerprint


def test_an_answer_that_cannot_be_used_is_never_a_success(make: Make) -> None:
    cut = Answer('{"first": "A', (1,), "length", Usage(1, 1), Timings(0, 0, 0))
    response = ask(make(ScriptedEngine(lambda request: cut)), "POST", "/prompts/person", json={"inputs": {"text": "x"}})
    assert response.status_code == 502
    assert response.json()["type"] == "urn:sameboat:answer-unusable"


def test_headers_decide_mode_priority_and_reuse(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    headers = {"X-Sameboat-Mode": "exact", "X-Sameboat-Priority": "background", "Cache-Control": "no-cache"}
    assert ask(make(engine), "POST", "/prompts/greet", json={"inputs": {"name": "x"}}, headers=headers).is_success
    assert (engine.asked[0].mode, engine.asked[0].priority, engine.asked[0].reuse) == ("exact", "background", False)


def test_a_stream_is_chunks_and_then_the_whole_answer(make: Make) -> None:
    response = ask(
        make(ScriptedEngine(lambda request: "good day Ada")),
        "POST",
        "/prompts/greet",
        json={"inputs": {"name": "Ada"}, "stream": True},
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    *chunks, (last, data) = events(response.text)
    assert {kind for kind, _ in chunks} == {"chunk"}
    assert "".join(json.loads(each)["text"] for _, each in chunks) == "good day Ada"
    assert last == "answer"
    assert json.loads(data)["text"] == "good day Ada"
    assert json.loads(data)["problem"] is None


def test_an_early_refusal_of_a_stream_is_still_a_status(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: EngineBusy("many wait", retry_after_s=3)))
    response = ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "x"}, "stream": True})
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


class Breaks(ScriptedEngine):
    async def stream(self, request):  # type: ignore[no-untyped-def]
        async for item in super().stream(request):
            yield item
            raise EngineUnavailable("the worker crashed", retry_after_s=1)


def test_a_late_error_is_the_streams_last_event(make: Make) -> None:
    app = make(Breaks(lambda request: "good day"))
    ours = ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "x"}, "stream": True})
    kind, data = events(ours.text)[-1]
    assert (kind, json.loads(data)["type"]) == ("error", "urn:sameboat:engine-unavailable")
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    theirs = ask(make(Breaks(lambda request: "good day")), "POST", "/v1/chat/completions", json=body)
    assert json.loads(events(theirs.text)[-1][1])["error"]["type"] == "server_error"
    assert "[DONE]" not in theirs.text


def test_names_that_nobody_promoted_are_unknown(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    assert [each["name"] for each in ask(app, "GET", "/prompts").json()] == ["greet", "person"]
    response = ask(app, "POST", "/prompts/gret", json={"inputs": {}})
    assert response.status_code == 404
    assert "'greet'" in response.json()["detail"]
    assert ask(app, "POST", "/prompts/draft", json={"inputs": {}}).status_code == 404
    assert ask(app, "GET", "/prompts/greet").json()["inputs"]["required"] == ["name"]


def test_the_service_does_not_start_with_a_prompt_that_was_changed(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    app = make(engine)
    path = app.state.service.library.folder("greet") / "greet.prompt.yml"
    path.write_text(path.read_text() + "# later\n")
    with pytest.raises(LockMismatch, match="greet is not what was promoted"):
        make(engine)


def test_a_prompt_that_was_promoted_a_moment_ago_is_answered_and_described(make: Make) -> None:
    """Also a new version of one that was there: no restart."""
    engine = ScriptedEngine(lambda request: "good day")
    app = make(engine)
    data = app.state.service.library.root.parent
    assert "/prompts/late" not in ask(app, "GET", "/openapi.json").json()["paths"]
    promote(data, engine, GREET.replace("name: greet", "name: late"), "late")
    assert ask(app, "POST", "/prompts/late", json={"inputs": {"name": "Ada"}}).json()["text"] == "good day"
    shutil.rmtree(data / "prompts" / "greet")
    promote(data, engine, GREET.replace("maxLength: 40", "maxLength: 4"), "greet")
    assert ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "Grace"}}).status_code == 422
    paths = ask(app, "GET", "/openapi.json").json()["paths"]

    def longest(name: str) -> int:
        body = paths[f"/prompts/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return int(body["properties"]["inputs"]["properties"]["name"]["maxLength"])

    assert (longest("late"), longest("greet")) == (40, 4)


def test_a_seed_of_minus_one_is_drawn(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    app = make(engine)
    for _ in range(4):
        assert ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "Ada"}, "seed": -1}).status_code == 200
    assert len({request.sampling.seed for request in engine.asked}) > 1


@pytest.mark.parametrize("name", ["greet.prompt.yml", "cases.jsonl", "lock.json"])
@pytest.mark.parametrize("text", [None, "", "[", "name: other\n"], ids=["gone", "empty", "broken", "another"])
def test_a_prompt_whose_files_change_while_serving_is_refused_alone(make: Make, name: str, text: str | None) -> None:
    """The others are listed and answer. The list has the reason for the refused one."""
    app = make(ScriptedEngine(lambda request: '{"first": "Ada", "age": 36}'))
    file = app.state.service.library.folder("greet") / name

    async def asked() -> list[httpx.Response]:
        async with inside(app) as client:
            if text is None and name == "lock.json":
                file.write_text("null")  # without a lock it is a draft, which nobody serves
            elif text is None:
                file.unlink()
            else:
                file.write_text(text)
            bodies = {"greet": {"inputs": {"name": "Ada"}}, "person": {"inputs": {"text": "Ada, 36"}}}
            return [
                await client.get("/prompts"),
                await client.get("/version"),
                *[await client.post(f"/prompts/{each}", json=body) for each, body in bodies.items()],
            ]

    listed, version, refused, served = asyncio.run(asked())
    assert [listed.status_code, version.status_code, refused.status_code, served.status_code] == [200, 200, 503, 200]
    rows = {row["name"]: row for row in listed.json()}
    assert (rows["person"]["refused"], rows["person"]["model"]) == (None, None)
    assert rows["greet"]["refused"]
    assert set(version.json()["prompts"]["person"]) == {"prompt", "lock"}
    assert version.json()["prompts"]["greet"] == {"refused": rows["greet"]["refused"]}


def test_a_rendered_prompt_has_its_messages_and_tokens_and_nothing_is_asked(make: Make) -> None:
    """The tokens are those of the request that an answer would be made of."""
    engine = ScriptedEngine(lambda request: "x")
    response = ask(make(engine), "POST", "/prompts/greet/tokens", json={"inputs": {"name": "Ada"}})
    body = response.json()
    assert body["messages"] == [{"role": "user", "content": "Greet Ada."}]
    assert body["count"] == len(body["tokens"]) == len(body["token_strs"])
    assert "".join(body["token_strs"]).endswith("Greet Ada.")
    assert engine.asked == []
    refused = ask(make(engine), "POST", "/prompts/greet/tokens", json={"inputs": {}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/inputs/name")


def test_log_probabilities_come_with_the_tokens_and_their_alternatives(make: Make) -> None:
    """A token without an alternative was forced by the grammar."""
    drawn = Logprob(7, "Hello", -0.1, (Alternative(7, "Hello", -0.1), Alternative(8, "Hi", -2.5)))
    answer = Answer("Hello,", (7, 9), "stop", Usage(1, 2), Timings(0, 0, 0), logprobs=(drawn, Logprob(9, ",", 0.0, ())))
    engine = ScriptedEngine(lambda request: answer)
    engine.can_logprobs = True
    body = {"inputs": {"name": "Ada"}, "logprobs": True}
    first, second = ask(make(engine), "POST", "/prompts/greet", json=body).json()["logprobs"]
    assert first["top"] == [{"text": "Hello", "logprob": -0.1}, {"text": "Hi", "logprob": -2.5}]
    assert (second["text"], second["top"]) == (",", [])
    wrong = ask(make(engine), "POST", "/prompts/greet", json={**body, "logprobs": 3})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/logprobs")
    assert ask(make(ScriptedEngine(lambda request: "x")), "POST", "/prompts/greet", json=body).status_code == 400


@pytest.mark.model
def test_tokens_of_a_prompt_have_their_probabilities_if_they_are_asked_for(starter_service: httpx.Client) -> None:
    """They are those that /v1/completions tells for the same tokens. The first token follows nothing."""
    body = {"inputs": {"name": "Ada"}}
    plain = starter_service.post("/prompts/greet/tokens", json=body).json()
    assert plain["logprobs"] is None
    read = starter_service.post("/prompts/greet/tokens", json={**body, "logprobs": True}).json()
    assert read["tokens"] == plain["tokens"]
    assert read["logprobs"][0] is None
    assert all(logprob <= 0 for logprob in read["logprobs"][1:])
    echoed = {"model": "smollm2-135m-instruct", "prompt": read["tokens"], "echo": True, "logprobs": 0, "max_tokens": 0}
    told = starter_service.post("/v1/completions", json=echoed).json()["choices"][0]["logprobs"]["token_logprobs"]
    assert read["logprobs"][1:] == pytest.approx(told[1:], abs=1e-3)
