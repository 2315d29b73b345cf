"""The page for people, in a real browser under its own strict policy: ask a prompt, see builds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser import open_page
from tests.builds.harness import SECRET, brief
from tests.e2e.conftest import STARTER, started, starter_cache
from tests.ports import free_port
from tests.servers.evaluator import evaluator

pytestmark = [pytest.mark.model, pytest.mark.browser]


@pytest.fixture(scope="module")
def service(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An offline service that accepts briefs."""
    folder = tmp_path_factory.mktemp("page")
    here = {
        "SAMEBOAT_CACHE_DIR": starter_cache(starter, folder),
        "SAMEBOAT_MODEL": STARTER,
        "SAMEBOAT_OFFLINE": "true",
        "SAMEBOAT_STATE_DIR": str(folder / "state"),
        "SAMEBOAT_PAGES_PORT": str(free_port()),
        "SAMEBOAT_SECRET": SECRET,
        "SAMEBOAT_MAKER": "plan",
        "SAMEBOAT_CALLBACK_ALLOW": "127.0.0.0/8",
    }
    with started(folder, **here) as it:
        yield it.url


@pytest.fixture
def page(service: str) -> Iterator[Page]:
    """The open page. An error of its script fails the test."""
    with open_page(service, ignored="403 (Forbidden)") as opened:
        yield opened


def test_a_person_asks_a_prompt_and_sees_where_the_answer_came_from(page: Page, service: str) -> None:
    """The form has an example from the prompt's cases. The page shows the answer of the API."""
    example = httpx.get(f"{service}/prompts/language").json()["example"]
    answer = httpx.post(f"{service}/prompts/language", json={"inputs": example}, timeout=60).json()
    page.locator("option[value=language]").wait_for(state="attached")
    page.select_option("#prompt", "language")
    assert page.input_value("#input-text") == example["text"] != ""
    page.click("#ask")
    page.locator("#facts dd").first.wait_for()
    assert page.inner_text("#answer") == answer["text"]
    assert answer["fingerprint"] in page.inner_text("#facts")
    assert page.locator("#bars meter").count() == len(answer["probabilities"])


def test_an_empty_input_is_told_before_anything_is_sent(page: Page) -> None:
    page.locator("option[value=sender]").wait_for(state="attached")
    page.select_option("#prompt", "sender")
    page.fill("#input-text", "")
    page.click("#ask")
    assert page.locator("#input-text:invalid").count() == 1
    assert page.inner_text("#answer") == "Nothing asked yet."


def test_the_secret_shows_the_builds(page: Page, service: str) -> None:
    """The page reports a wrong secret. With the right one it shows the progress of a build, and a link to the app."""
    page.fill("#secret", "wrong")
    page.press("#secret", "Enter")
    page.locator("#builds-said.bad").wait_for()
    assert page.inner_text("#builds-said") == "The secret is wrong."
    with evaluator(key=None) as judge:
        asked = brief(judge.url, brief="A page about a bakery with its <b>opening hours</b>.")
        assert httpx.post(f"{service}/api-endpoint", json=asked, timeout=60).status_code == 200
        page.fill("#secret", SECRET)
        page.press("#secret", "Enter")
        build = page.locator("#builds li")
        build.get_by_text("callback delivered").wait_for()
    assert "<b>opening hours</b>" in build.inner_text(), "a brief is text, whatever it holds"
    assert "checks passed" in build.inner_text()
    with page.expect_navigation():
        build.get_by_text("page", exact=True).click()
    assert page.locator("footer").count() == 1
