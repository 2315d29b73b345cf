"""Chat and its tools in a real browser, around scripted engines, on a desktop and on a phone.

Not here: a conversation with a real model (`tests/e2e/test_page.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from service import settings as settings_module
from service.engine import toolcalls
from service.engine.pool import Engines
from service.engine.types import Engine, Request
from service.http.app import create_app
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.browser import open_page
from tests.http.conftest import GREET, Held, promote, serving, until
from tests.page_rules import HOSTILE, SIZES, texts_stayed_texts
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = toolcalls.write([
    {"name": "weather", "arguments": json.dumps({"city": city})} for city in ("Bern", HOSTILE[0])
])  # fmt: skip
FIRST, SECOND = "smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"


def weather(request: Request) -> str:
    """Two calls, and after their results a sentence."""
    results = [message.content for message in request.messages if message.role == "tool"]
    if results:
        return f"It is {' and '.join(results)}."
    return CALLS if request.tools else f"No tools. {len(request.messages)} messages."


class ByModel(Engines):
    """An engine of its own for each model."""

    def __init__(self, settings: settings_module.Settings, catalog: Catalog) -> None:
        super().__init__(settings, catalog)
        self.by_name: dict[str, ScriptedEngine] = {
            FIRST: ScriptedEngine(weather, name=FIRST),
            SECOND: Held(3),
        }

    def _make(self, name: str) -> Engine:
        return self.by_name[name]


@pytest.fixture
def engines(catalog: Catalog, tmp_path: Path) -> ByModel:
    settings = settings_module.load(port=0, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    file = Cache(settings.cache_dir).path(catalog[SECOND])
    file.parent.mkdir(parents=True)
    with file.open("wb") as empty:  # the page lists a model if its file is there
        empty.truncate(catalog[SECOND].size_bytes)
    return ByModel(settings, catalog)


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, engines: ByModel, tmp_path: Path) -> Iterator[Page]:
    promote(tmp_path / "data", engines.by_name[FIRST], GREET, "greet")
    other = GREET.replace("name: greet", f"name: other\nmodel: {SECOND}")
    promote(tmp_path / "data", engines.by_name[SECOND], other, "other")
    app = create_app(engines.settings, engines=engines, library=Library(tmp_path / "data"))
    with serving(app) as url, open_page(f"{url}/#/chat/{FIRST}", viewport=SIZES[request.param]) as opened:
        opened.locator("#message").wait_for()
        yield opened


def send(page: Page, text: str) -> None:
    page.fill("#message", text)
    page.press("#message", "Enter")


def test_calls_are_shown_and_their_results_are_answered(page: Page, engines: ByModel) -> None:
    """All results of a message go back together, each with the id of its call. Two calls are allowed here."""

    def twice(route: Route) -> None:
        route.continue_(post_data={**route.request.post_data_json, "parallel_tool_calls": True})

    page.route("**/v1/chat/completions", twice)
    page.get_by_text("Options", exact=True).click()
    page.fill("#tools", json.dumps([WEATHER]))
    page.select_option("#tool-choice", "required")
    send(page, "What is the weather?")
    page.get_by_role("button", name="Send the results").wait_for()
    shown = [json.loads(text) for text in page.locator(".turn pre").all_inner_texts()]
    assert shown == [{"city": "Bern"}, {"city": HOSTILE[0]}]
    page.get_by_label("Result of weather").nth(0).fill("21 degrees")
    page.get_by_label("Result of weather").nth(1).fill(HOSTILE[1])
    page.press("input[name=result] >> nth=1", "Enter")
    page.locator(".said", has_text=f"It is 21 degrees and {HOSTILE[1]}.").wait_for()
    first, second = engines.by_name[FIRST].asked
    assert first.tool_choice == "required"
    assert len({message.tool_call_id for message in second.messages[-2:]}) == 2
    texts_stayed_texts(page)


def test_tools_that_are_no_list_are_told_and_nothing_is_sent(page: Page, engines: ByModel) -> None:
    page.get_by_text("Options", exact=True).click()
    page.fill("#tools", "{}")
    send(page, "What is the weather?")
    page.get_by_text("Tools must be a JSON array.").wait_for()
    assert engines.by_name[FIRST].asked == []


def test_two_models_answer_beside_each_other_and_one_of_them_is_stopped(page: Page, engines: ByModel) -> None:
    """Each has a conversation of its own. The part that came before the stop stays."""
    page.select_option("#beside", SECOND)
    send(page, "Who are you?")
    first, second = (page.get_by_role("region", name=name) for name in (FIRST, SECOND))
    first.get_by_text("No tools. 1 messages.").wait_for()
    second.get_by_text("word word word").wait_for()
    page.click("#stop")
    page.locator("#send:enabled").wait_for()
    until(lambda: engines.by_name[SECOND].cancelled == 1, "the second request is cancelled")
    second.get_by_text("word word word").wait_for()
    assert page.locator("[role=alert] p").count() == 0


def test_a_cleared_conversation_stays_empty(page: Page, engines: ByModel) -> None:
    """Also if an answer was on its way."""
    page.select_option("#model", SECOND)
    send(page, "Tell me a story.")
    page.locator(".said", has_text="word word word").wait_for()
    page.get_by_role("button", name="Clear").click()
    until(lambda: engines.by_name[SECOND].cancelled == 1, "the request is cancelled")
    page.locator("#send:enabled").wait_for()
    assert page.locator(".said").count() == 0
    page.get_by_text("Write a message. Nothing is stored.").wait_for()


def test_another_model_ends_the_answer_that_is_under_way(page: Page, engines: ByModel) -> None:
    """The next message goes to the model that is shown, and no part of the old answer comes."""
    page.select_option("#model", SECOND)
    send(page, "Tell me a story.")
    page.locator(".said", has_text="word word word").wait_for()
    page.select_option("#model", FIRST)
    until(lambda: engines.by_name[SECOND].cancelled == 1, "the request is cancelled")
    page.locator("#send:enabled").wait_for()
    send(page, "Go on.")
    page.get_by_text("No tools. 2 messages.").wait_for()
    assert page.locator(".said", has_text="word").count() == 0


def test_a_call_that_was_cut_takes_no_result(page: Page) -> None:
    """Its arguments are no JSON, so no tool can have answered it."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"ci'}}
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "length"}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    send(page, "What is the weather?")
    page.get_by_text('{"ci', exact=True).wait_for()
    page.locator("#send:enabled").wait_for()
    assert page.get_by_role("button", name="Send the results").count() == 0
