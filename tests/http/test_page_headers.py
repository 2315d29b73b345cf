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
