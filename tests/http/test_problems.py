"""Every error has one status and one shape, and never repeats values of the request."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from service import errors
from service.http import problems
from service.json_pointer import pointer
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

SECRET = "hunter2-do-not-repeat"
EVERY: list[tuple[errors.SameboatError, int, str]] = [
    (errors.InputsError("i", [("/a", "is missing")]), 422, "inputs-wrong"),
    (errors.SchemaUnsupported("s", pointer="/not", keyword="not"), 400, "schema-unsupported"),
    (errors.PromptTooLong("p", limit=10, count=20), 400, "prompt-too-long"),
    (errors.NotSupported("n", key="tools"), 400, "not-supported"),
    (errors.RequestError("r", key="/seed"), 400, "request-wrong"),
    (errors.UnknownPrompt("u", key="name"), 404, "unknown-prompt"),
    (errors.UnknownModel("u", key="model"), 404, "unknown-model"),
    (errors.ModelMissing("m"), 503, "model-unusable"),
    (errors.ModelDoesNotFit("m"), 503, "model-unusable"),
    (errors.LockMismatch("l", key="lock"), 503, "not-what-was-promoted"),
    (errors.EngineBusy("b", retry_after_s=1.2), 429, "busy"),
    (errors.EngineUnavailable("b", retry_after_s=5), 503, "engine-unavailable"),
    (errors.DeadlineExceeded("d"), 504, "deadline-exceeded"),
    (errors.RequestFailed("r", id="0a1b"), 500, "request-failed"),
    (errors.RemoteError("r", status=500), 502, "remote-engine"),
    (errors.AnswerUnusable("a"), 502, "answer-unusable"),
    (errors.BuildError("b"), 409, "build"),
    (errors.PromptError("p"), 503, "not-what-was-promoted"),
    (errors.EvaluationError("e"), 500, "internal"),
    (errors.SettingsError("s"), 500, "internal"),
]


def raising(error: Exception) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/here")
    @app.get("/v1/here")
    async def here() -> None:
        raise error

    return app


@pytest.mark.parametrize(("error", "status", "kind"), EVERY, ids=lambda value: getattr(type(value), "__name__", None))
def test_an_error_is_a_problem_and_under_v1_an_openai_error(
    error: errors.SameboatError, status: int, kind: str
) -> None:
    response = ask(raising(error), "GET", "/here")
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:sameboat:{kind}"
    assert {"title", "detail"} <= set(body)
    for found in body.get("errors", []):
        assert found["pointer"] == "" or found["pointer"].startswith("/"), "not a JSON pointer"
    after = getattr(error, "retry_after_s", None)
    assert ("retry-after" in response.headers) == (after is not None)
    if after is not None:
        assert int(response.headers["retry-after"]) >= after

    response = ask(raising(error), "GET", "/v1/here")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_an_unexpected_error_tells_no_details() -> None:
    for path in ("/here", "/v1/here"):
        response = ask(raising(ValueError(SECRET)), "GET", path)
        assert response.status_code == 500
        assert SECRET not in response.text


def test_a_problem_carries_the_numbers_of_its_error() -> None:
    body = ask(raising(errors.PromptTooLong("p", limit=10, count=20)), "GET", "/here").json()
    assert (body["limit"], body["count"]) == (10, 20)
    body = ask(raising(errors.SchemaUnsupported("s", pointer="/not", keyword="not")), "GET", "/here").json()
    assert body["keyword"] == "not"
    assert body["errors"][0]["pointer"] == "/not"


def test_pointers_escape_as_rfc_6901_says() -> None:
    assert pointer(["a/b", "~", 0]) == "/a~1b/~0/0"


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": SECRET},
        {"messages": [{"role": SECRET, "content": "x"}]},
        {"messages": [{"role": "user", "content": "x"}], "temperature": SECRET},
        {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": SECRET}},
        {"messages": [{"role": "user", "content": "x"}], "logit_bias": {SECRET: 1}},
        {"messages": [{"role": "user", "content": "x"}], "functions": [SECRET]},
    ],
)
def test_the_openai_routes_refuse_with_400_and_repeat_nothing(make: Make, body: dict[str, object]) -> None:
    response = ask(make(ScriptedEngine(lambda request: "x")), "POST", "/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"]
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"inputs": {}}, {"/inputs/name"}),
        ({"inputs": {"name": SECRET * 9}}, {"/inputs/name"}),
        ({"inputs": {"name": 1, "nmae": SECRET}}, {"/inputs/name", "/inputs/nmae"}),
        ({"inputs": [SECRET]}, {"/inputs"}),
        ({"inputs": {"name": "x"}, "seed": SECRET}, {"/seed"}),
        ({"inputs": {"name": "x"}, "stream": SECRET}, {"/stream"}),
        ({"inputs": {"name": "x"}, "a/b": SECRET}, {"/a~1b"}),
    ],
)
def test_prompt_routes_point_into_the_body_and_repeat_nothing(
    make: Make, body: dict[str, object], pointers: set[str]
) -> None:
    engine = ScriptedEngine(lambda request: "x")
    response = ask(make(engine), "POST", "/prompts/greet", json=body)
    assert response.status_code in (400, 422)
    assert {error["pointer"] for error in response.json()["errors"]} == pointers
    assert SECRET not in response.text
    assert engine.asked == []


@pytest.mark.parametrize(
    "sent", [b"{", b'"text"', b"[" * 100_000, b'{"inputs": {"name": NaN}}', b'{"inputs": {"name": "\\ud800"}}', b"\xff"]
)
def test_bytes_that_are_no_json_object_are_refused_before_anything_is_asked(make: Make, sent: bytes) -> None:
    engine = ScriptedEngine(lambda request: "x")
    for path in ("/prompts/greet", "/v1/chat/completions"):
        response = ask(make(engine), "POST", path, content=sent, headers={"content-type": "application/json"})
        assert response.status_code == 400, (path, response.text)
    assert engine.asked == []


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_a_body_of_another_content_type_is_told_which_one_is_wanted(make: Make, kind: str | None) -> None:
    """On every route that takes a body: `curl -d` sends a form. It stays refused even where it holds JSON, because any
    website may have a browser send these types."""
    app = make(ScriptedEngine(lambda request: "x"))
    paths = app.openapi()["paths"]
    routes = [path for path, operations in paths.items() if "requestBody" in operations.get("post", {})]
    assert {"/api-endpoint", "/builds", "/prompts/greet", "/v1/chat/completions", "/v1/embeddings"} <= set(routes)
    for route in routes:
        headers = {} if kind is None else {"content-type": kind}
        response = ask(
            app, "POST", route.replace("{name}", "greet"), content=f'{{"inputs": "{SECRET}"}}', headers=headers
        )
        assert response.status_code == 400, route
        assert "Send JSON with Content-Type: application/json (curl --json)." in response.text, route
        assert SECRET not in response.text


def test_unknown_words_in_headers_are_refused(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    for header in ("X-Sameboat-Mode", "X-Sameboat-Priority"):
        response = ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "x"}}, headers={header: SECRET})
        assert response.status_code == 400
        assert response.json()["key"] == header
        assert SECRET not in response.text


@pytest.mark.parametrize("said", ["soon", "0", "-1", "nan", "1e9", ""])
def test_a_deadline_is_a_number_of_seconds(make: Make, said: str) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    response = ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "x"}}, headers={"X-Sameboat-Deadline": said})
    assert (response.status_code, response.json()["key"]) == (400, "X-Sameboat-Deadline")


def test_a_deadline_reaches_the_engine_and_passing_it_is_a_504(make: Make) -> None:
    late = errors.DeadlineExceeded("No answer within the 2 s that the request allows.")
    engine = ScriptedEngine(lambda request: late if request.deadline_s == 2 else "x")
    app = make(engine)
    for path, body in (
        ("/prompts/greet", {"inputs": {"name": "x"}}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
    ):
        assert ask(app, "POST", path, json=body, headers={"X-Sameboat-Deadline": "2.0"}).status_code == 504
        assert ask(app, "POST", path, json=body).status_code == 200
    assert [request.deadline_s for request in engine.asked] == [2.0, 600.0, 2.0, 600.0]


def test_an_unknown_route_is_a_problem_too(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    response = ask(app, "GET", f"/nothing-{SECRET}")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert SECRET not in response.text
    assert ask(app, "GET", "/v1/nothing").json()["error"]["code"] == "http"
    assert ask(app, "DELETE", "/prompts").status_code == 405


@pytest.mark.parametrize(
    ("place", "missing", "expected"),
    [
        (("checks", 0, "constrained-str"), False, "/checks/0"),
        (("checks", 1, "constrained-str"), False, "/checks/1"),
        (("checks", 1, "JsCheck", "js"), False, "/checks/1/js"),
        (("checks", 2, "JsCheck", "js"), True, "/checks/2/js"),
        (("input", "list[str]", 0), False, "/input/0"),
        (("input", "str"), False, "/input"),
        (("absent",), True, "/absent"),
    ],
)
def test_a_pointer_names_a_place_in_the_body(place: tuple[str | int, ...], missing: bool, expected: str) -> None:
    """The alternatives of a union that pydantic tried are no places in the body."""
    body = {"checks": [3, {"js": ""}, {}], "input": [1]}
    assert pointer(problems.place_in_body(body, place, missing=missing)) == expected
