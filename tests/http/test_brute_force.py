"""Protection against guessing: too many wrong secrets of an address are rejected without a comparison."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.http.brute_force import AT_ONCE, FailedAttempts, SecretThrottle

SECRET = {"authorization": "Bearer the-right-one"}


class Guarded:
    """An application that compares secrets, and how often it did."""

    def __init__(self) -> None:
        self.compared = 0
        inner = Starlette()
        inner.add_route("/{path:path}", self.compare, methods=["GET", "POST"])
        self.app = SecretThrottle(inner, attempts=FailedAttempts())

    async def compare(self, request: Request) -> Response:
        """403, or 401 as Git expects it."""
        self.compared += 1
        right = request.headers.get("authorization") == SECRET["authorization"]
        status = 200 if right else 401 if request.url.path.startswith("/git/") else 403
        return PlainTextResponse("", status)

    def ask(self, *requests: tuple[str, str, dict[str, str]], address: str = "10.0.0.1") -> list[httpx.Response]:
        """The answers to these, from one address."""

        async def asked() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return [await client.request(method, path, headers=headers) for method, path, headers in requests]

        return asyncio.run(asked())


WRONG = [
    ("POST", "/api-endpoint", {}),
    ("POST", "/builds", {}),
    ("GET", "/builds", {"authorization": "Bearer wrong"}),
    ("POST", "/builds/x/cancel", {"authorization": "Bearer wrong"}),
    ("GET", "/git/a.git/info/refs", {"authorization": "Basic d3Jvbmc="}),
]


def test_too_many_wrong_ones_are_refused_before_they_are_compared() -> None:
    """The limit is for all routes together. Then the right secret waits too, else guessing would go on."""
    guarded = Guarded()
    answers = guarded.ask(*(WRONG * AT_ONCE))
    assert [answer.status_code for answer in answers[-5:]] == [429] * 5
    assert AT_ONCE <= guarded.compared < 2 * AT_ONCE
    assert int(answers[-1].headers["retry-after"]) >= 1
    compared = guarded.compared
    assert guarded.ask(("GET", "/builds", SECRET))[0].status_code == 429
    assert guarded.compared == compared
    assert guarded.ask(("GET", "/builds", SECRET), address="10.0.0.2")[0].status_code == 200


def test_a_right_secret_or_none_is_not_counted() -> None:
    """A thousand briefs, and Git, which asks first without a password to hear whether one is needed."""
    guarded = Guarded()
    answers = guarded.ask(*[("POST", "/api-endpoint", SECRET), ("GET", "/git/a.git/info/refs", {})] * 100)
    assert {answer.status_code for answer in answers} == {200, 401}
    assert guarded.compared == 200
