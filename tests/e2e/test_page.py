"""The page for people, in a real browser under its own strict policy, on a real model: ask, chat, look, build."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser import open_page
from tests.builds.harness import SECRET, brief
from tests.e2e.conftest import STARTER, started, starter_cache
from tests.page_rules import SIZES
from tests.ports import free_port
from tests.servers.evaluator import evaluator

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a day.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"enum": ["today", "tomorrow"]}},
            "required": ["day"],
            "additionalProperties": False,
        },
    },
}
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


def choose(page: Page, service: str, name: str) -> None:
    """Open a prompt by its address."""
    page.goto(f"{service}/#/try/{name}")
    page.locator("#prompt").wait_for()
    assert page.input_value("#prompt") == name


def test_a_person_asks_a_prompt_and_sees_where_the_answer_came_from(page: Page, service: str) -> None:
    """The form has an example from the prompt's cases. The page shows the answer of the API, and the same again."""
    example = httpx.get(f"{service}/prompts/language").json()["example"]
    answer = httpx.post(f"{service}/prompts/language", json={"inputs": example}, timeout=60).json()
    choose(page, service, "language")
    assert page.input_value("#input-text") == example["text"] != ""
    page.select_option("#mode", "exact")
    page.click("#ask")
    page.locator(".facts dd").first.wait_for()
    assert page.locator("output").inner_text() == answer["text"]
    assert page.locator(".bars meter").count() == len(answer["probabilities"])
    page.click(".again")
    page.get_by_text("The same again: equal fingerprint, equal probabilities, computed anew.").wait_for()


def test_tokens_of_prompt_and_answer_are_shown_with_what_was_cached_and_forced(page: Page, service: str) -> None:
    """The prompt's tokens are its rendered text. Those of the answer are its JSON, some of them forced."""
    choose(page, service, "sender")
    page.click("#ask")
    page.locator(".facts dd").first.wait_for()
    page.get_by_text("The rendered prompt as tokens").click()
    page.get_by_text("Show the tokens").click()
    page.get_by_text("Ask with probabilities").click()
    page.locator(".tokens .token.forced").first.wait_for()
    prompt, answer = (group.inner_text().replace("·", " ") for group in page.locator(".tokens").all())
    assert page.input_value("#input-text") in prompt.replace("\n", " ")
    assert '{"name": "' in answer
    assert page.locator(".tokens .token.cached").count() > 0
    forced = page.locator(".tokens .token.forced").first
    forced.click()  # where nothing hovers
    told = f"{forced.inner_text()} · no alternative: the grammar forced it"
    page.locator(".told", has_text=told).wait_for()
    assert page.get_by_text("These are the tokens of the answer above.").count() == 1


def test_an_empty_input_is_told_before_anything_is_sent(page: Page, service: str) -> None:
    choose(page, service, "sender")
    page.fill("#input-text", "")
    page.click("#ask")
    assert page.locator("#input-text:invalid").count() == 1
    assert page.locator("output").inner_text() == "Nothing asked yet."


def test_a_conversation_streams_and_stops(page: Page, service: str) -> None:
    page.goto(f"{service}/#/chat")
    page.get_by_text("Options", exact=True).click()
    page.fill("#max-tokens", "1500")
    page.fill("#message", "Write a long story about a boat.")
    page.press("#message", "Enter")
    page.locator(".said").nth(1).wait_for()
    page.click("#stop")
    page.locator("#send:enabled").wait_for()
    stopped = page.locator(".said").nth(1).inner_text()
    assert 0 < len(stopped) < 6000
    assert page.locator("[role=alert] p").count() == 0


@pytest.mark.parametrize("size", SIZES)
def test_a_tool_is_called_and_its_result_answered(service: str, size: str) -> None:
    """The grammar gives arguments that the tool's schema allows, whatever the model is."""
    with open_page(f"{service}/#/chat", viewport=SIZES[size]) as page:
        page.get_by_text("Options", exact=True).click()
        page.fill("#tools", json.dumps([WEATHER]))
        page.select_option("#tool-choice", "required")
        page.fill("#max-tokens", "60")
        page.fill("#message", "What is the weather in Bern?")
        page.press("#message", "Enter")
        page.get_by_label("Result of weather").first.wait_for()
        assert json.loads(page.locator(".turn pre").first.inner_text())["day"] in ("today", "tomorrow")
        page.select_option("#tool-choice", "none")
        for result in page.get_by_label("Result of weather").all():
            result.fill("21 degrees")
        page.get_by_role("button", name="Send the results").click()
        page.locator("#send:enabled").wait_for()
        assert page.locator(".said").all_inner_texts()[:2] == ["What is the weather in Bern?", "21 degrees"]
        assert page.locator(".said").count() == 3
        assert page.locator("[role=alert] p").count() == 0


def test_two_prompts_answer_beside_each_other(page: Page, service: str) -> None:
    """Each is the answer of its own route."""
    text = "Grüße von Anna Müller, Stadtwerke Bern"
    choose(page, service, "language")
    page.select_option("#second", "sender")
    page.fill("#input-text", text)
    page.click("#ask")
    page.locator(".facts dd").nth(7).wait_for()
    label, value = (
        httpx.post(f"{service}/prompts/{name}", json={"inputs": {"text": text}}, timeout=60).json()["value"]
        for name in ("language", "sender")
    )
    assert page.locator("output").first.inner_text() == label
    assert json.loads(page.locator("output").last.inner_text()) == value


def test_a_failed_case_is_found_and_asked_now(page: Page, service: str) -> None:
    """The recorded answer and the answer of the running service are equal."""
    page.goto(f"{service}/#/prompts/language")
    page.locator("#cases li").first.wait_for()
    page.select_option("#filter-state", "failed")
    evaluation = httpx.get(f"{service}/prompts/language/evaluation").json()
    failed = [row for row in evaluation["rows"] if row["state"] == "failed"]
    assert page.locator("#cases li").count() == len(failed)
    assert "state=failed" in page.url
    page.locator("#cases summary").first.click()
    page.get_by_text("Ask now").click()
    page.get_by_text("equal to the recorded answer").wait_for()


def test_the_service_view_draws_the_last_minute(page: Page, service: str) -> None:
    httpx.post(f"{service}/prompts/language", json={"inputs": {"text": "Guten Morgen"}}, timeout=60)
    page.goto(f"{service}/#/service")
    page.locator(".u-over").nth(3).wait_for()
    page.get_by_role("heading", name=STARTER).wait_for()
    page.locator("th code", has_text="SAMEBOAT_PARALLEL").wait_for()
    page.locator(".tile b", has_text="MiB").first.wait_for()
    page.get_by_role("button", name="Examine this machine").click()
    page.locator("#findings li", has_text=f"{STARTER} is verified and fits").wait_for()


def test_the_secret_shows_the_builds(page: Page, service: str) -> None:
    """The page reports a wrong secret. With the right one it shows a build's steps, and a link to the app."""
    page.goto(f"{service}/#/builds")
    page.fill("#secret", "wrong")
    page.press("#secret", "Enter")
    page.get_by_text("The secret is wrong.").wait_for()
    with evaluator(key=None) as judge:
        page.fill("#secret", SECRET)
        page.press("#secret", "Enter")
        page.locator("#brief-form").wait_for()
        given = brief(judge.url, brief="A page about a bakery with its <b>opening hours</b>.")
        for name in ("brief", "task", "email", "evaluation_url"):
            page.fill(f"#{name}", given[name])
        page.fill("#checks", "js: document.title.length > 0")
        page.get_by_role("button", name="Build it", exact=True).click()
        page.locator("#steps li").first.wait_for()
        page.reload()  # in the middle of its events: the secret is kept for the tab, and the steps begin again
        page.locator("#steps", has_text="The build is done").wait_for()
        page.get_by_text("callback delivered").wait_for()
        page.locator("img.shot").wait_for()
    assert "<b>opening hours</b>" in page.locator("main").inner_text(), "a brief is text, whatever it holds"
    assert page.locator(".badge.passed").count() > 0
    page.get_by_role("button", name="Show the page here").click()
    page.frame_locator("iframe").locator("footer").wait_for()
    page.get_by_text("Exchanges with models").click()
    page.locator("details details summary").first.wait_for()
    page.get_by_text("All builds").click()
    build = page.locator("#builds li")
    build.get_by_text("callback delivered").wait_for()
    with page.expect_navigation():
        build.get_by_text("page", exact=True).click()
    assert page.locator("footer").count() == 1
