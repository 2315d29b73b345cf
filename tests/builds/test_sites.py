"""Published sites: each has a host name of its own where that is possible, and older URLs lead there."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from service import exposure
from service import settings as settings_module
from service.builds.forge.local import LocalForge
from service.builds.forge.serve import pages_app
from service.builds.forge.sites import SiteAddresses, label, pattern_of, reached
from service.errors import SettingsError
from service.http.quiet_server import QuietServer
from tests.builds.harness import until
from tests.builds.test_local_forge import publish
from tests.ports import free_port

LONG = "a" * 60 + "-01234567"


@contextlib.contextmanager
def served(forge: LocalForge, port: int) -> Iterator[None]:
    server = QuietServer(
        uvicorn.Config(pages_app(forge), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        thread.join()


def test_only_the_named_origins_may_frame_a_site(tmp_path: Path) -> None:
    """The service's own page shows sites. Without an origin nobody does."""
    forge = LocalForge(tmp_path / "repositories", "http://git.invalid", "http://pages.invalid")
    publish(forge, "one", {"index.html": b"one"})
    two = ("http://localhost:1", "https://a.example")
    for origins, allowed in (((), "'none'"), (two, " ".join(two))):
        answer = TestClient(pages_app(forge, origins)).get("/one/")
        assert answer.headers["content-security-policy"].endswith(f"frame-ancestors {allowed}")


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, {"http://127.0.0.1:7860", "http://localhost:7860"}),
        ({"port": 0}, set()),
        ({"port": 0, "public_url": "https://boat.example/x"}, {"https://boat.example"}),
        ({"host": "::1"}, {"http://[::1]:7860", "http://127.0.0.1:7860", "http://localhost:7860"}),
    ],
    ids=["default", "any port", "public", "IPv6"],
)
def test_the_origins_of_the_page_are_those_that_reach_it(given: dict[str, Any], origins: set[str]) -> None:
    assert exposure.page_origins(settings_module.load(**given)) == origins


def seen(url: str) -> httpx.Response:
    address, headers = reached(url, "127.0.0.1")
    return httpx.get(address, headers=headers)


def test_each_site_has_its_own_host_and_an_older_url_leads_there(tmp_path: Path) -> None:
    """Nothing of another site is under its name, not even by a path. No site is under the machine's own name."""
    port = free_port()
    forge = LocalForge(tmp_path / "repositories", "http://git.invalid", f"http://*.localhost:{port}")
    for name in ("one", "two", LONG):
        publish(forge, name, {"index.html": name.encode(), "a b/c.txt": b"x", "d/index.html": b"d"})
    with served(forge, port):
        for name in ("one", "two", LONG):
            url = forge.publish(name, str(forge.ensure(name, "d").head), 1)
            assert seen(url).text == name
            assert seen(f"{url}a%20b/c.txt").text == "x"
            assert seen(f"{url}d").headers["location"] == "/d/"
            for other in ("one", "two"):
                assert seen(f"{url}{other}/").status_code == 404
            for host in ("127.0.0.1", "localhost"):
                moved = httpx.get(f"http://127.0.0.1:{port}/{name}/a%20b/c.txt?v=1", headers={"host": f"{host}:{port}"})
                assert (moved.status_code, moved.headers["location"]) == (307, f"{url}a%20b/c.txt?v=1")
        assert httpx.get(f"http://127.0.0.1:{port}/three/").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        assert seen(f"http://three.localhost:{port}/").status_code == 404
        assert seen(f"http://x.one.localhost:{port}/").status_code == 404


@pytest.mark.parametrize(
    ("pattern", "url", "host", "name"),
    [
        ("http://*.localhost:7861", "http://app.localhost:7861/", "app.localhost:7861", "app"),
        ("https://*.pages.example/", "https://app.pages.example/", "APP.pages.example.", "app"),
        ("https://*.pages.example", "https://app.pages.example/", "app.evil.example", None),
        ("https://*.pages.example", "https://app.pages.example/", "pages.example", None),
        ("https://*.pages.example", "https://app.pages.example/", ".pages.example", None),
        ("https://pages.example", "https://pages.example/app/", "app.pages.example", None),
        ("http://192.0.2.1:7861", "http://192.0.2.1:7861/app/", "192.0.2.1:7861", None),
    ],
)
def test_a_sites_url_and_the_site_of_a_host(pattern: str, url: str, host: str, name: str | None) -> None:
    addresses = SiteAddresses(pattern, lambda: ["app"])
    assert (addresses.url("app"), addresses.name(host)) == (url, name)


def test_a_name_that_is_too_long_for_a_host_is_cut_and_found_again() -> None:
    """Two names with the same beginning stay apart. A name of a host's greatest length is not cut."""
    names = [LONG, LONG[:-1] + "9", "b" * 63]
    addresses = SiteAddresses("http://*.localhost", lambda: names)
    labels = [label(name) for name in names]
    assert len({*labels}) == 3
    assert max(map(len, labels)) <= 63
    assert labels[2] == names[2]
    assert [addresses.name(f"{each}.localhost") for each in labels] == names
    assert label(LONG).endswith(hashlib.sha256(LONG.encode()).hexdigest()[:12])


@pytest.mark.parametrize(
    ("pages_url", "host", "pattern"),
    [
        (None, "127.0.0.1", "http://*.localhost:7861"),
        (None, "::1", "http://*.localhost:7861"),
        (None, "0.0.0.0", "http://*.localhost:7861"),
        (None, "192.0.2.1", "http://192.0.2.1:7861"),
        (None, "2001:db8::1", "http://[2001:db8::1]:7861"),
        ("https://pages.example", "0.0.0.0", "https://pages.example"),
    ],
)
def test_one_host_for_all_is_kept_where_names_cannot_be(pages_url: str | None, host: str, pattern: str) -> None:
    assert pattern_of(pages_url, host, 7861) == pattern


def test_a_program_reaches_a_site_by_address_and_names_it() -> None:
    """No resolver is asked, and other hosts stay as they are."""
    assert reached("http://a.localhost:7861/x?y", "0.0.0.0") == (
        "http://127.0.0.1:7861/x?y",
        {"host": "a.localhost:7861"},
    )
    assert reached("http://a.localhost/", "::1") == ("http://[::1]/", {"host": "a.localhost"})
    assert reached("https://a.pages.example/x", "127.0.0.1") == ("https://a.pages.example/x", {})


@pytest.mark.parametrize(
    "wrong", ["pages.example", "https://a*.example", "https://*.a.*.example", "ftp://x", "http://a b"]
)
def test_a_pattern_that_is_none_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="SAMEBOAT_PAGES_URL is unusable"):
        settings_module.load(pages_url=wrong)
    assert settings_module.load(pages_url="https://*.pages.example").pages_url == "https://*.pages.example"
