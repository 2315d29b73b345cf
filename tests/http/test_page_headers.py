"""Every page of the service's own carries strict headers, and its files are those that the lock and the rules allow."""

from __future__ import annotations

import gzip
import hashlib
import json
import re

import pytest

from service.http import pages
from tests.http.conftest import Make, ask, looks
from tests.scripted import ScriptedEngine

OWN = sorted(name for name in pages.assets() if "/" not in name)
FIRST_VIEW_BYTES = 250_000
IMPORT = re.compile(r'^(?:import|export) [^;]*?from "\./([^"]+)";', re.MULTILINE)


@pytest.mark.parametrize("path", ["/", "/docs", "/assets/main.js", "/docs/assets/swagger-ui-bundle.js"])
def test_a_page_cannot_be_framed_or_sniffed(make: Make, path: str) -> None:
    headers = ask(make(ScriptedEngine(lambda request: "x")), "GET", path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "base-uri 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_docs_and_their_files_come_from_here(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    page = ask(app, "GET", "/docs")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name, kind in (("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css")):
        assert f'"docs/assets/{name}"' in page.text
        asset = ask(app, "GET", f"/docs/assets/{name}")
        assert asset.status_code == 200
        assert kind in asset.headers["content-type"]
        assert len(asset.content) > 10_000
    assert ask(app, "GET", "/docs/assets/..%2f__init__.py").status_code == 404


def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    page = ask(app, "GET", "/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert re.findall(r"<script(?! src=\"assets/)|\son\w+=|\sstyle=", page.text) == []


def test_only_a_service_with_sites_of_its_own_shows_them_in_a_frame(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    assert "frame-src" not in ask(app, "GET", "/").headers["content-security-policy"]
    app.state.site_pattern = "http://*.localhost:7861/below"
    assert ask(app, "GET", "/").headers["content-security-policy"].endswith("frame-src http://*.localhost:7861")
    assert ask(app, "GET", "/status").json()["sites"] == "http://*.localhost:7861"


def test_only_the_files_of_the_page_are_served(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    given = looks(app, *(f"/assets/{name}" for name in pages.assets()))
    assert {answer.status_code for answer in given} == {200}
    others = ("__init__.py", "index.html", "vendor/package.json", "vendor/preact.LICENSE", "..%2fapp.py", "x.js")
    assert {answer.status_code for answer in looks(app, *(f"/assets/{name}" for name in others))} == {404}


def test_the_libraries_are_the_files_that_were_vendored() -> None:
    """`make page-vendor` writes the digests. A changed file differs from them."""
    digests = json.loads(pages.read("vendor/files.lock.json"))
    assert {name.removeprefix("vendor/") for name in pages.assets() if name.startswith("vendor/")} <= set(digests)
    now = {name: hashlib.sha256(pages.read(f"vendor/{name}")).hexdigest() for name in digests}
    assert now == digests


def test_the_scripts_of_the_page_write_text_only() -> None:
    """No way to make HTML or code of a text. Addresses that a model wrote pass `webUrl`."""
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacent|dangerously|\beval\(|new Function|document\.write|srcdoc")
    used = {name: ways.findall(pages.read(name).decode()) for name in OWN if name.endswith(".js")}
    assert {name: words for name, words in used.items() if words} == {}


def test_the_first_view_is_small() -> None:
    """Everything that the first view imports, with the style. Charts are not part of it."""
    loaded, waiting = set(), ["main.js"]
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            folder = "vendor/" if name.startswith("vendor/") else ""
            waiting += [f"{folder}{path}" for path in IMPORT.findall(pages.read(name).decode())]
    assert {"try.js", "vendor/preact.js", "words.js"} <= loaded
    assert not {"vendor/uplot.js", "service.js", "builds.js"} & loaded
    size = sum(len(gzip.compress(pages.read(name))) for name in [*loaded, "index.html", "app.css"])
    assert size < FIRST_VIEW_BYTES
