"""Every page of the service's own carries the headers that keep other sites from framing and sniffing it."""

from __future__ import annotations

import pytest

from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine


@pytest.mark.parametrize("path", ["/", "/docs", "/assets/app.js", "/docs/assets/swagger-ui-bundle.js"])
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
    for name in ("app.js", "builds.js", "app.css", "boat.svg"):
        assert f"assets/{name}" in page.text
        assert ask(app, "GET", f"/assets/{name}").status_code == 200
