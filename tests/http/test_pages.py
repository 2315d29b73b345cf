"""The pages where keys are asked for, in a real browser: the key is entered once, stays in the tab, and opens /docs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from service import keys
from tests.browser import open_page
from tests.http.conftest import Make, serving
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser
KEY = keys.new()


@pytest.fixture
def url(make: Make) -> Iterator[str]:
    """A service that asks for a key."""
    engine = ScriptedEngine(lambda request: "Hello, Ada.")
    with serving(make(engine, api_keys=keys.line("ada", KEY))) as it:
        yield it


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    """The open page. An error of its policy or its script fails the test."""
    with open_page(url, ignored="401 (Unauthorized)") as opened:
        yield opened


def test_the_key_is_asked_for_once_and_opens_the_page_and_docs(page: Page, url: str) -> None:
    """The page reports a wrong key. The key is in this tab's storage only. Without a cookie no request of another site
    carries it."""
    page.locator("#login").wait_for()
    assert not page.locator("main").is_visible()
    page.fill("#key", "sameboat_wrong")
    page.press("#key", "Enter")
    page.get_by_text("The key is wrong.").wait_for()
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.locator("#about", has_text="Greets somebody").wait_for()
    page.fill("#input-name", "Ada")
    page.click("#ask")
    page.locator(".facts dd").first.wait_for()
    assert page.locator("output").inner_text() == "Hello, Ada."
    page.get_by_text("versions and digests").click()
    page.locator("dialog[open] pre").get_by_text("scripted").wait_for()
    page.locator("dialog[open] button").click()
    page.locator("footer").get_by_text("API", exact=True).click()
    page.get_by_text("/v1/chat/completions").first.wait_for()
    page.get_by_text("/v1/models", exact=True).first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table td.response-col_status").get_by_text("200").wait_for()
    assert page.context.cookies() == []
    other = page.context.new_page()
    other.goto(url)
    other.locator("#login").wait_for()
    page.goto(url)
    page.get_by_text("Forget the key").click()
    page.locator("#login").wait_for()
