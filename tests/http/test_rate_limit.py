"""Limits per caller and minute, and how guessing is slowed. The clock is the test's own."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from service import keys
from service.http import token_bucket
from service.http.rate_limit import Quota
from service.http.token_bucket import PerAddress, TokenBucket, client_address
from tests.http.conftest import Make, ask, inside
from tests.scripted import ScriptedEngine

KEY, FREE = keys.new(), keys.new()
HELLO = {"inputs": {"name": "Ada"}}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_refilled_evenly_and_holds_no_more_than_its_size() -> None:
    clock = Clock()
    bucket = TokenBucket(60, 60, clock)
    bucket.take(75)
    assert (bucket.left(), bucket.wait_s(1)) == (-15, 16)
    clock.now += 16
    assert bucket.wait_s(1) == 0
    clock.now += 1e6
    assert bucket.left() == 60


def test_a_quota_gives_the_rest_and_the_seconds_to_wait() -> None:
    """Tokens are counted afterwards, so the balance may be negative. Then the wait is longer."""
    clock = Clock()
    quota = Quota(requests=6, tokens=600, clock=clock)
    quota.take("requests", 1)
    quota.take("tokens", 620)
    told = quota.headers()
    assert told["ratelimit-policy"] == '"requests";q=6;w=60, "tokens";q=600;w=60'
    assert told["ratelimit"] == '"requests";r=5;t=10, "tokens";r=0;t=62'
    assert told["x-ratelimit-remaining-requests"] == "5"
    assert quota.wait_s() == 3  # 21 tokens, ten a second
    clock.now += 3
    assert quota.wait_s() == 0
    assert Quota(requests=0, tokens=0).headers() == {}


def test_addresses_are_remembered_in_bounded_memory() -> None:
    known = PerAddress(lambda: TokenBucket(1, 1))
    first = known["first"]
    for number in range(2 * token_bucket.ADDRESSES):
        known["first"]
        known[f"a-{number}"]
    assert known["first"] is first
    assert len(known) == token_bucket.ADDRESSES


def test_an_ipv6_subscriber_is_one_address() -> None:
    found = [
        client_address({"client": (host, 1)})
        for host in ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1", "10.0.0.1")
    ]
    assert found[0] == found[1] != found[2]
    assert found[3] == "10.0.0.1"
    assert client_address({"client": None}) == ""


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_key_that_asked_too_much_is_told_when_to_come_again(make: Make) -> None:
    """The key's own limit of requests. A key without limits is not affected, and gets no headers."""
    held = f"{keys.line('ada', KEY, requests=2)},{keys.line('free', FREE, requests=0, tokens=0)}"
    app = make(ScriptedEngine(lambda request: "Hello."), api_keys=held)

    async def asked() -> list[httpx.Response]:
        async with inside(app) as client:
            return [
                await client.post("/v1/completions", json={"prompt": "x"}, headers=bearer(key))
                for key in (KEY, KEY, KEY, FREE)
            ]

    first, second, third, free = asyncio.run(asked())
    assert [it.status_code for it in (first, second, third, free)] == [200, 200, 429, 200]
    assert '"requests";r=1;t=' in first.headers["ratelimit"]
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(third.headers["retry-after"]) <= 30
    assert '"requests";q=2;w=60' in third.headers["ratelimit-policy"]
    assert "ratelimit" not in free.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ["/prompts/greet", "/v1/chat/completions"])
def test_tokens_are_charged_when_they_are_made(make: Make, route: str, stream: bool) -> None:
    """Also those of a streamed answer. The charge equals the usage in the answer."""
    app = make(ScriptedEngine(lambda request: "Hello."), api_keys=keys.line("ada", KEY), tokens_per_minute=1000)
    body = HELLO if route.startswith("/prompts") else {"messages": [{"role": "user", "content": "x"}]}

    async def asked() -> tuple[str, str]:
        async with inside(app) as client:
            whole = (await client.post(route, json=body, headers=bearer(KEY))).json()
            used = whole["usage"]
            total = used.get("total_tokens") or used["prompt"] + used["completion"]
            await client.post(route, json={**body, "stream": stream}, headers=bearer(KEY))
            last = await client.get("/v1/models", headers=bearer(KEY))
            return last.headers["x-ratelimit-remaining-tokens"], str(1000 - 2 * total)

    left, expected = asyncio.run(asked())
    assert abs(int(left) - int(expected)) <= 200  # the bucket refills meanwhile on a slow machine
    assert int(left) < 1000


def test_the_only_user_on_loopback_is_not_counted(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "Hello."), requests_per_minute=1, tokens_per_minute=1)

    async def asked() -> list[int]:
        async with inside(app) as client:
            return [(await client.post("/prompts/greet", json=HELLO)).status_code for _ in range(3)]

    assert asyncio.run(asked()) == [200, 200, 200]


def test_strangers_of_an_open_service_are_counted_by_address(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "Hello."), open=True, requests_per_minute=2)

    async def asked() -> list[int]:
        found = []
        async with app.router.lifespan_context(app):
            for address in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"):
                transport = httpx.ASGITransport(app=app, client=(address, 1))
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                    found.append((await client.get("/prompts")).status_code)
        return found

    assert asyncio.run(asked()) == [200, 200, 429, 200]


def test_guessing_keys_is_slowed_and_shuts_nobody_out(make: Make) -> None:
    """Many wrong keys from an address get 429. The right key is always admitted."""
    app = make(ScriptedEngine(lambda request: "Hello."), api_keys=keys.line("ada", KEY))

    async def asked() -> tuple[list[int], int, int]:
        async with inside(app) as client:
            wrong = [(await client.get("/v1/models", headers=bearer(keys.new()))).status_code for _ in range(60)]
            none = (await client.get("/v1/models")).status_code
            right = (await client.get("/v1/models", headers=bearer(KEY))).status_code
            return wrong, none, right

    wrong, none, right = asyncio.run(asked())
    assert wrong[0] == 401
    assert wrong[-1] == 429
    assert (none, right) == (401, 200)


def test_a_probe_is_not_counted(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"), api_keys=keys.line("ada", KEY), requests_per_minute=1)
    answer = ask(app, "GET", "/healthz", headers=bearer(KEY))
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers
