"""Which names are answered to, and which sites may send requests: DNS rebinding and cross-site requests end here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service import exposure, settings
from service.builds.forge.local import LocalForge
from service.errors import SettingsError
from service.http import builds_lifespan, hosts
from service.http.server import greeting
from tests.http.conftest import Make, ask, inside, looks
from tests.scripted import ScriptedEngine

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
FOREIGN = ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost",
           "app.localhost", "192.0.2.7", "10.0.0.1:7860", "[2001:db8::1]", "0x7f.1", "2130706433", "", "a@127.0.0.1",
           "boat.example.evil.example", "0.0.0.0", "localhost:@evil.example", "[::1]evil.example", "[localhost]",
           "[::1", "localhost:80/evil.example", "127.0.0.1, evil.example", "localhost evil.example"]  # fmt: skip
OURS = ["localhost", "LOCALHOST:7860", "localhost.", "127.0.0.1", "127.8.8.8:1", "[::1]:7860", "boat.example",
        "Boat.Example:443", "api:7860", "eu.boats.example"]  # fmt: skip


@pytest.fixture
def app(make: Make) -> FastAPI:
    """A service with names and an origin of its own, on loopback and without keys."""
    return make(
        ScriptedEngine(lambda request: "Hello."),
        public_url="https://boat.example",
        allowed_hosts="api, *.boats.example",
        cors_origins="https://app.example, chrome-extension://abc",
    )


def asked(app: FastAPI, headers: list[dict[str, str]], *, method: str = "POST") -> list[Any]:
    async def work() -> list[Any]:
        async with inside(app) as client:
            return [
                await client.request(
                    method, "/v1/chat/completions", headers=header, json=CHAT if method == "POST" else None
                )
                for header in headers
            ]

    return asyncio.run(work())


def test_a_foreign_name_is_answered_nothing(app: FastAPI) -> None:
    """With DNS rebinding a web site has the same origin as this service. Only its name shows the difference."""
    for host, answer in zip(FOREIGN, asked(app, [{"host": host} for host in FOREIGN]), strict=True):
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host"), host
        assert "evil" not in answer.text
    assert [answer.status_code for answer in asked(app, [{"host": host} for host in OURS])] == [200] * len(OURS)


def test_no_route_answers_to_a_foreign_name_but_probes(app: FastAPI) -> None:
    """An orchestrator asks by address. It is told nothing but alive and ready."""
    paths = ("/", "/docs", "/prompts", "/metrics", "/version", "/builds", "/openapi.json", "/assets/app.js", "/no")
    *refused, alive, ready = looks(app, *paths, "/healthz", "/readyz", host="evil.example")
    assert [answer.status_code for answer in refused] == [421] * len(paths)
    assert (alive.json(), ready.json()) == ({"status": "alive"}, {"state": "ready"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:7861"}, 403),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"origin": "https://boat.example"}, 200),
        ({"origin": "https://app.example", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "chrome-extension://abc", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "https://app.example.evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://app.example", "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_only_pages_of_named_origins_may_send_requests(app: FastAPI, headers: dict[str, str], status: int) -> None:
    assert asked(app, [headers])[0].status_code == status


def test_a_link_on_another_site_may_be_followed_but_not_framed(app: FastAPI) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ask(app, "GET", "/", headers=link).status_code == 200
    assert ask(app, "GET", "/", headers={**link, "sec-fetch-dest": "iframe"}).status_code == 403


def test_a_named_origin_reads_answers_and_no_other_one_does(app: FastAPI) -> None:
    """Its preflight is answered without a key, which browsers never send with one."""
    wish = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-os",
    }
    preflight = asked(app, [wish], method="OPTIONS")[0]
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = asked(app, [{"origin": "https://app.example"}])[0]
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    refused = asked(app, [{**wish, "origin": "https://evil.example"}], method="OPTIONS")[0]
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


def test_a_named_origin_can_read_why_it_was_refused(make: Make) -> None:
    app = make(
        ScriptedEngine(lambda request: "x"),
        cors_origins="https://app.example",
        api_keys="ada:sha256:" + "0" * 64,  # pragma: allowlist secret
    )
    answer = asked(app, [{"origin": "https://app.example"}])[0]
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "https://app.example")


@pytest.mark.parametrize("wrong", ["*", "app.example", "https://app.example/", "https://*.example", "https://a, *"])
def test_an_origin_that_is_none_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="SAMEBOAT_CORS_ORIGINS is unusable"):
        settings.load(cors_origins=wrong)


def test_the_sites_answer_to_a_name_for_each_site() -> None:
    """They have an origin each: NAME.localhost, or names below SAMEBOAT_PAGES_URL's."""
    names = exposure.of(settings.load(pages_url="https://sites.example")).site_hosts
    good = ["a-1.localhost:7861", "127.0.0.1:7861", "sites.example", "a-1.sites.example"]
    assert [hosts.is_allowed(names, host) for host in good] == [True] * 4
    assert not any(
        hosts.is_allowed(names, host) for host in ("evil.example", "localhost.evil.example", "asites.example")
    )


def test_the_sites_port_refuses_foreign_names_too(tmp_path: Path) -> None:
    """Through the real listener: a site's own name is answered (there is no such page), a rebound one is not."""

    async def asked() -> list[int]:
        sites = builds_lifespan.SiteServer(LocalForge(tmp_path, "", ""), settings.load(pages_port=0))
        await sites.start()
        try:
            port = sites._server.servers[0].sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                names = ("127.0.0.1", "a-1.localhost", "evil.example", "localhost.evil.example")
                return [(await client.get("/a/", headers={"host": name})).status_code for name in names]
        finally:
            await sites.stop()

    assert asyncio.run(asked()) == [404, 404, 421, 421]


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:7"), ("::", "http://127.0.0.1:7"), ("::1", "http://[::1]:7"), ("a", "http://a:7")],
)
def test_a_service_on_all_addresses_is_asked_by_one_that_it_answers_to(host: str, url: str) -> None:
    """0.0.0.0 is no address to ask: a browser takes it for this machine, so as a name it is foreign."""
    assert exposure.url_of(host, 7) == url


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"host": "0.0.0.0", "open": True}, "SAMEBOAT_OPEN=true: everybody with access to this address may use it."),
        ({"api_keys": "ada:sha256:" + "0" * 64}, "A key is needed. Keys: ada."),  # pragma: allowlist secret
        ({}, ""),
    ],
)
def test_the_greeting_names_the_callers_that_may_use_it(overrides: dict[str, Any], said: str) -> None:
    told = greeting(settings.load(**overrides), 7860, "ready", 1.0, ["sender"])
    assert told.endswith(f"Ready after 1.0 s: ready\n{said}".rstrip("\n"))
    assert ("Authorization: Bearer KEY" in told) == ("api_keys" in overrides)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "boat.example"])
def test_beyond_loopback_a_service_without_a_key_does_not_start(make: Make, host: str) -> None:
    """The error names the remedy. With a key or SAMEBOAT_OPEN it starts. A worker answers probes only."""
    engine = ScriptedEngine(lambda request: "x")
    with pytest.raises(SettingsError) as refused:
        make(engine, host=host)
    for remedy in ("sameboat key new", "SAMEBOAT_API_KEYS", "SAMEBOAT_HOST=127.0.0.1", "SAMEBOAT_OPEN=true"):
        assert remedy in str(refused.value)
    make(engine, host=host, open=True)
    make(engine, host=host, api_keys="ada:sha256:" + "0" * 64)  # pragma: allowlist secret
    worker = make(engine, host=host, role="worker")
    paths = ("/healthz", "/readyz", "/version", "/metrics", "/", "/v1/models")
    answers = looks(worker, *paths)
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 401, 401]
    assert answers[1].json() == {"state": "ready"}
