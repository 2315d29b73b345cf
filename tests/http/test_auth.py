"""Authentication: with keys configured every route needs one, and every request has its caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request

from service import keys, settings
from service.http import paths
from service.http.auth import Caller
from tests.http.conftest import Make, ask, inside, looks
from tests.scripted import ScriptedEngine

KEY, OTHER = keys.new(), keys.new()
KEYS = f"{keys.line('ada', KEY)},{keys.line('bob', OTHER)}"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def guarded(make: Make) -> FastAPI:
    """A service with two keys."""
    return make(ScriptedEngine(lambda request: "Hello, Ada."), api_keys=KEYS)


def test_every_route_that_costs_or_tells_asks_for_the_key(guarded: FastAPI) -> None:
    """The routes are the application's own, so that one which is added later is asked here too."""
    free = {"/healthz", "/readyz", "/api-endpoint", "/assets/{name}", "/docs/assets/{name}"}
    routes = [
        (method, path)
        for path, methods in _routes(guarded).items()
        for method in methods
        if path not in free and not path.startswith("/builds")
    ]
    assert {"/", "/docs", "/openapi.json", "/metrics", "/version", "/prompts", "/v1/models"} <= {at for _, at in routes}

    async def asked() -> list[tuple[str, int, dict[str, str], Any]]:
        async with inside(guarded) as client:
            answers = [
                (path, await client.request(method, path.replace("{name}", "x"), headers=headers))
                for method, path in [*routes, ("GET", "/not-there")]
                for headers in ({}, {"authorization": f"Basic {KEY}"})
            ]
            return [(path, it.status_code, dict(it.headers), it.json()) for path, it in answers]

    for path, status, headers, body in asyncio.run(asked()):
        assert status == 401, path
        assert headers["www-authenticate"].startswith("Bearer"), path
        if paths.is_openai(path):
            assert body["error"]["code"] == "invalid_api_key", path
        else:
            assert headers["content-type"] == "application/problem+json", path
            assert body["title"] == "Unauthorized", path


def _routes(app: FastAPI) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, operations in app.openapi()["paths"].items():
        found[path] = {method.upper() for method in operations}
    return {**found, "/": {"GET"}, "/docs": {"GET"}, "/openapi.json": {"GET"}}


@pytest.mark.parametrize(
    "wrong",
    [keys.new(), KEY[:-1], KEY + "x", KEY.upper(), "x" * 100_000, KEYS, "none"],
    ids=["another", "cut", "longer", "upper case", "huge", "the whole line", "a word"],
)
def test_a_wrong_key_is_told_and_not_repeated(guarded: FastAPI, wrong: str) -> None:
    answer = ask(guarded, "GET", "/v1/models", headers=bearer(wrong))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == 'Bearer realm="sameboat", error="invalid_token"'
    assert wrong not in answer.text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_browser_gets_the_page_that_asks_for_the_key(guarded: FastAPI, path: str) -> None:
    """With status 401. A wrong key gets no page."""
    html = {"accept": "text/html,*/*;q=0.8"}
    answer = ask(guarded, "GET", path, headers=html)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (401, "text/html")
    assert ask(guarded, "GET", path, headers={**html, **bearer(keys.new())}).json()["title"] == "Unauthorized"
    assert ask(guarded, "GET", path, headers={**html, **bearer(KEY)}).status_code == 200


def test_probes_tell_a_stranger_no_more_than_alive_and_ready(guarded: FastAPI) -> None:

    async def asked() -> list[Any]:
        async with inside(guarded) as client:
            shown = [{}, bearer(keys.new()), bearer(KEY)]
            return [(await client.get("/readyz", headers=headers)).json() for headers in shown]

    none, wrong, right = asyncio.run(asked())
    assert none == wrong == {"state": "ready"}
    assert {"state", "engines", "threads", "memory_bytes"} == set(right)


def test_with_the_key_it_answers(guarded: FastAPI) -> None:
    answer = ask(guarded, "POST", "/prompts/greet", json={"inputs": {"name": "Ada"}}, headers=bearer(KEY))
    assert (answer.status_code, answer.json()["text"]) == (200, "Hello, Ada.")


def test_a_key_does_not_open_builds_nor_does_a_builds_secret_open_the_rest(guarded: FastAPI) -> None:
    """Builds are off here, and their routes say so to every caller. A key makes no difference."""
    assert [answer.status_code for answer in looks(guarded, "/builds", "/builds/x")] == [503, 503]
    assert [answer.status_code for answer in looks(guarded, "/builds", **bearer(KEY))] == [503]


def callers(make: Make, headers: list[dict[str, str]], **overrides: Any) -> list[Caller]:
    """The callers that the service sees for these headers."""
    app, found = make(ScriptedEngine(lambda request: "x"), **overrides), []

    async def tell(request: Request) -> dict[str, str]:
        found.append(request.state.caller)
        return {}

    app.router.add_api_route("/tell", tell)

    async def asked() -> None:
        async with inside(app) as client:
            for header in headers:
                assert (await client.get("/tell", headers=header)).status_code == 200

    asyncio.run(asked())
    return found


def test_a_caller_is_named_by_its_key_and_salted_for_itself(make: Make) -> None:
    """A key has the same salt at every start, and no other key has it."""
    first = callers(make, [bearer(KEY), bearer(OTHER)], api_keys=KEYS)
    again = callers(make, [bearer(KEY), bearer(OTHER)], api_keys=KEYS)
    assert [caller.name for caller in first] == ["ada", "bob"]
    assert first == again
    assert len({caller.cache_salt for caller in first} | {""}) == 3


def test_strangers_of_an_open_service_share_nothing(make: Make) -> None:
    found = callers(make, [{}, {}, bearer("none")], open=True, host="0.0.0.0")
    assert [caller.name for caller in found] == [None, None, None]
    assert len({caller.cache_salt for caller in found} | {""}) == 4


def test_the_only_user_on_loopback_shares_its_own_answers(make: Make) -> None:
    assert callers(make, [{}, bearer("none")]) == 2 * [Caller(None, "", trusted=True)]


def test_keys_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    path = tmp_path / "keys"
    path.write_text(KEYS.replace(",", "\n") + "\n")
    monkeypatch.setenv("SAMEBOAT_API_KEYS_FILE", str(path))
    held = settings.load().api_keys
    assert held is not None
    assert [key.name for key in keys.parse(held.get_secret_value())] == ["ada", "bob"]


def test_the_description_says_which_routes_take_the_key(guarded: FastAPI, make: Make) -> None:
    """Generated clients send the key. Without keys the document describes none."""
    document = guarded.openapi()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    taking = {path for path, methods in document["paths"].items() for it in methods.values() if "security" in it}
    assert {"/v1/chat/completions", "/prompts/greet", "/metrics"} <= taking
    assert not taking & {"/healthz", "/readyz", "/api-endpoint", "/builds"}
    assert "securitySchemes" not in make(ScriptedEngine(lambda request: "x")).openapi()["components"]
