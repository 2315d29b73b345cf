"""The views of the page around scripted answers: hostile texts, accessibility, a phone, the keyboard.

Not here: the page on a real model (`tests/e2e/test_page.py`), and its key (`test_pages.py`).
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route
from ruamel.yaml import YAML

from service import settings as settings_module
from service.drift.store import KeptAnswerStore
from service.engine.types import Answer, Request, Timings, Usage
from service.evaluation import cases, recording, runner
from service.evaluation.recording import Record
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts import lock as locks
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder
from tests.browser import open_page
from tests.drift.test_kept import row as kept_row
from tests.http.conftest import Held, Scripted, promote, serving, until
from tests.page_rules import HOSTILE, SIZES, keyboard_reaches_everything, load_axe, no_violations, texts_stayed_texts
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser
TICKET = {
    "name": "ticket",
    "description": HOSTILE[0],
    "responseFormat": "json_schema",
    "jsonSchema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    "messages": [{"role": "user", "content": "{{text}} {{kind}} {{tags}} {{author}} {{urgent}}"}],
    "inputs": {
        "type": "object",
        "required": ["text", "kind", "tags", "author", "urgent"],
        "properties": {
            "text": {"type": "string", "title": HOSTILE[1], "description": HOSTILE[2], "maxLength": 200_000},
            "kind": {"enum": ["bug", "wish", HOSTILE[3]]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 3},
            "author": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "maxLength": 60}, "age": {"type": "integer", "minimum": 0}},
            },
            "urgent": {"type": "boolean"},
        },
    },
}  # fmt: skip
CHOICE = {
    "name": "mood",
    "description": "Is it good?",
    "responseFormat": "choice",
    "choices": ["good", HOSTILE[4]],
    "messages": [{"role": "user", "content": "{{text}}"}],
    "testDataFile": "cases.jsonl",
    "evaluators": [{"name": HOSTILE[0], "string": {"equals": "{{expected}}"}}],
}
CASES = [
    {"id": f"case-{number}", "text": text[:5000], "expected": "good", "slice": HOSTILE[number % 3]}
    for number, text in enumerate(4 * HOSTILE)
]


class Scribe(ScriptedEngine):
    """Answers with every hostile text at once."""

    def __init__(self) -> None:
        super().__init__(self.written)

    @staticmethod
    def written(request: Request) -> str | Answer:
        if request.choices:
            shares = {"good": 0.75, HOSTILE[4]: 0.25}
            return Answer("good", (1,), "stop", Usage(3, 1), Timings(0, 0, 0), probabilities=shares)
        if request.schema:
            return json.dumps({"title": " ".join(HOSTILE)})
        return " ".join(HOSTILE)


def yaml(value: dict[str, Any], path: Path) -> str:
    """The text of a prompt file."""
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(value, file)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def url(tmp_path: Path, catalog: Catalog) -> Iterator[str]:
    """A service with hostile prompts, cases and answers."""
    engine, data = Scribe(), tmp_path / "data"
    for prompt in (TICKET, CHOICE):
        promote(data, engine, yaml(prompt, tmp_path / "prompt.yml"), prompt["name"])  # type: ignore[arg-type]
    settings = settings_module.load(port=0, data_dir=data)
    record(data / "prompts" / "mood", engine)
    with serving(create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))) as it:
        yield it


def record(folder: Path, engine: ScriptedEngine, rows: Sequence[dict[str, Any]] = CASES) -> None:
    """Cases and a recording, as a promotion leaves them."""
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in rows), encoding="utf-8")
    promoted = PromotedFolder(folder)
    prompt = promoted.prompt()
    records = []
    for number, case in enumerate(cases.load(prompt, folder)):
        label = "good" if number % 4 else HOSTILE[4]
        digest = runner.fingerprint_of(prompt, case, engine.identity)
        records.append(Record(case.id, digest, label, (1,), "stop", None, ((label, 0.75), ("other", 0.25))))
    recording.write(promoted.recording_path, records)
    promoted.lock_path.write_text(locks.make(prompt, folder, engine.identity).text(), encoding="utf-8")


def keep_answers(data: Path) -> None:
    """Served answers that are all the hostile label, of an engine with a hostile name."""
    prompt = PromotedFolder(data / "prompts" / "mood").prompt()
    shares = {"good": 0.04, HOSTILE[4]: 0.96}
    row = kept_row(
        prompt_sha256=prompt.sha256, engine=HOSTILE[0], abstained=False, label=HOSTILE[4], probabilities=shares
    )
    store = KeptAnswerStore(settings_module.load())
    store.add([row] * 60)
    store.close()


SHIFTS = """() => new Promise((done) => {
  const found = [];
  new PerformanceObserver((list) => found.push(...list.getEntries().map((entry) => entry.value)))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(found), 200);
})"""
VIEWS = ("try/ticket", "try/mood", "chat", "prompts", "prompts/mood", "builds", "service")
OPENED = {
    "try/ticket": "#ask", "try/mood": "#ask", "chat": "#message", "prompts": "tbody tr", "prompts/mood": "#cases li",
    "builds": "#secret", "service": ".u-over",
}  # fmt: skip


def opened(page: Page, url: str, view: str) -> None:
    """Open a view and wait for its content."""
    page.goto(f"{url}/#/{view}")
    page.locator(OPENED[view]).first.wait_for()


def fill_ticket(page: Page) -> None:
    """A typed form: a text, an enum, a list, an object."""
    page.fill("#input-text", HOSTILE[0])
    page.select_option("#input-kind", label=HOSTILE[3])
    page.get_by_role("button", name="Add tags").click()
    page.fill("#input-tags-0", "deck")
    page.fill("#input-author-name", HOSTILE[1])


def test_hostile_texts_stay_texts(url: str, tmp_path: Path) -> None:
    """In prompts, labels, inputs, cases, answers, drift and errors. The answer is shown as it was written."""
    keep_answers(tmp_path / "data")
    with open_page(url, ignored="400 (Bad Request)") as page:
        opened(page, url, "try/ticket")
        assert page.inner_text("#about") == HOSTILE[0]
        fill_ticket(page)
        page.click("#ask")
        page.locator(".facts dd").first.wait_for()
        assert json.loads(page.locator("output").text_content() or "")["title"] == " ".join(HOSTILE)
        page.get_by_text("The rendered prompt as tokens").click()
        page.get_by_text("Show the tokens").click()
        page.locator(".tokens .token").first.click()
        page.locator(".told", has_text="·").first.wait_for()
        page.get_by_text("How to call it").click()
        page.get_by_role("tab", name="OpenAI").click()
        page.locator("pre.code", has_text="OpenAI(").wait_for()
        opened(page, url, "chat")
        page.fill("#message", " ".join(HOSTILE[:9]))
        page.press("#message", "Enter")
        page.locator("#send:enabled").wait_for()
        assert [said.text_content() for said in page.locator(".said").all()] == [
            " ".join(HOSTILE[:9]),
            " ".join(HOSTILE),
        ]
        opened(page, url, "prompts/mood")
        for row in page.locator("#cases summary").all()[:9]:
            row.click()
        page.locator("section[aria-labelledby=drift-title]", has_text="60 kept answers").wait_for()
        for view in VIEWS:
            opened(page, url, view)
            texts_stayed_texts(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_is_accessible(url: str, tmp_path: Path, theme: str) -> None:
    """axe-core finds nothing, on a desktop and on a phone. The phone never scrolls sideways."""
    keep_answers(tmp_path / "data")
    for size in SIZES.values():
        with open_page(url, color_scheme=theme, viewport=size, bypass_csp=True) as page:
            load_axe(page)
            for view in VIEWS:
                opened(page, url, view)
                if view == "try/mood":
                    page.fill("#input-text", "fine")
                    page.click("#ask")
                    page.locator(".facts dd").first.wait_for()
                if view == "prompts/mood":
                    page.locator("#cases summary").first.click()
                    page.get_by_text("Served answers beside the recording").wait_for()
                no_violations(page, view)


def test_the_keyboard_reaches_every_control(url: str) -> None:
    with open_page(url) as page:
        for view in VIEWS:
            opened(page, url, view)
            if view == "prompts/mood":
                page.fill("#filter-text", "case-1")
            keyboard_reaches_everything(page)


def test_the_keyboard_is_enough(url: str) -> None:
    """Tab and Enter reach a view, fill a form, send it and open a case."""
    with open_page(url) as page:
        opened(page, url, "try/mood")
        page.focus("#input-text")
        page.keyboard.type("fine")
        focused = ""
        for _ in range(6):
            page.keyboard.press("Tab")
            focused = page.evaluate("() => document.activeElement.id")
            if focused == "ask":
                break
        assert focused == "ask"
        page.keyboard.press("Enter")
        page.locator(".facts dd").first.wait_for()
        page.get_by_role("link", name="Prompts", exact=True).focus()
        page.keyboard.press("Enter")
        page.locator("tbody tr").first.wait_for()
        assert page.evaluate("() => document.activeElement.tagName") == "MAIN"
        page.get_by_role("link", name="mood").focus()
        page.keyboard.press("Enter")
        page.locator("#cases summary").first.focus()
        page.keyboard.press("Enter")
        page.get_by_text("Ask now").wait_for()
        page.go_back()
        page.locator("tbody tr").first.wait_for()


def test_a_reload_in_the_middle_of_an_answer_cancels_it_and_the_page_goes_on(tmp_path: Path, catalog: Catalog) -> None:
    """So does the stop button."""
    engine, data = Held(3), tmp_path / "data"
    plain = {name: CHOICE[name] for name in ("name", "description", "messages")}
    promote(data, engine, yaml(plain, tmp_path / "prompt.yml"), "mood")
    settings = settings_module.load(port=0, data_dir=data)
    app = create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))
    with serving(app) as it, open_page(it) as page:
        for end in (page.reload, lambda: page.click("#stop")):
            opened(page, it, "try/mood")
            page.fill("#input-text", "fine")
            page.click("#ask")
            page.locator("output", has_text="word word word").wait_for()
            cancelled = engine.cancelled
            end()
            until(lambda before=cancelled: engine.cancelled > before, "the request is cancelled")  # type: ignore[misc]
            page.locator("#ask:enabled").wait_for()
        page.get_by_text("Stopped.").wait_for()


def test_a_service_that_is_gone_is_told_and_found_again(tmp_path: Path, catalog: Catalog) -> None:
    """The server ends and another one starts on its port. The open page keeps its form and goes on."""
    engines, data = (Scribe(), Scribe()), tmp_path / "data"
    promote(data, engines[0], yaml(CHOICE, tmp_path / "prompt.yml"), "mood")
    settings = settings_module.load(port=0, data_dir=data)
    before, after = (
        create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data)) for engine in engines
    )
    with contextlib.ExitStack() as first:
        url = first.enter_context(serving(before))
        with open_page(url, ignored="ERR_") as page:
            opened(page, url, "try/mood")
            page.fill("#input-text", "fine")
            first.close()
            page.click("#ask")
            page.locator("#state", has_text="cannot be reached").wait_for()
            assert "cannot be reached" in page.locator("main [role=alert]").first.inner_text()
            with serving(after, int(url.rpartition(":")[2])):
                page.locator("#state", has_text="ready").wait_for()
                page.click("#ask")
                page.locator(".facts dd").first.wait_for()
                assert engines[1].asked[-1].messages[-1].content == "fine"


def test_a_service_that_refuses_the_first_request_is_asked_again(url: str) -> None:
    """A limit on requests, or a service that drains: the reason is shown, and a button tries again."""
    told = {"type": "urn:sameboat:busy", "title": "Busy", "status": 429, "detail": "Too many requests. Wait 1 s."}
    with open_page("about:blank", ignored="429") as page:
        page.route("**/prompts", lambda route: route.fulfill(status=429, json=told))
        page.goto(f"{url}/#/try/%E0%A4%A")  # an address that is cut is no reason to show nothing
        page.get_by_text("Too many requests. Wait 1 s.").wait_for()
        page.unroute("**/prompts")
        page.get_by_role("button", name="Try again").click()
        page.locator("#ask").wait_for()


def test_only_a_failure_of_the_network_says_that_the_service_cannot_be_reached(url: str) -> None:
    with open_page("about:blank", ignored="ERR_") as page:
        page.route("**/prompts", lambda route: route.abort())
        page.goto(url)
        page.locator("main [role=alert]", has_text="cannot be reached").wait_for()
        page.route("**/prompts", lambda route: route.fulfill(body="no JSON"))
        page.get_by_role("button", name="Try again").click()
        page.locator("main [role=alert]", has_text="The answer is no JSON.").wait_for()


def test_an_answer_of_a_proxy_says_its_status(url: str) -> None:
    """Its body is a page and no problem of the API."""
    with open_page(url, ignored="502") as page:
        opened(page, url, "try/mood")
        page.route("**/prompts/mood", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
        page.fill("#input-text", "fine")
        page.click("#ask")
        page.locator("main [role=alert]", has_text="The answer has the status 502 and no reason.").wait_for()


def test_nothing_moves_while_the_first_view_loads(url: str) -> None:
    """On a phone the line of the service's state is several lines high, and it is there from the first rendering."""
    reason = "8 x 2048 tokens, 2 threads (2 CPUs in the affinity mask, no tighter quota), some kernels"
    ready = {"state": "ready", "engines": {"model": {"state": "ready", "reason": reason}}}

    def late(route: Route) -> None:
        time.sleep(0.4)
        route.fulfill(json=ready)

    with open_page("about:blank", viewport=SIZES["phone"]) as page:
        page.route("**/readyz", late)
        opened(page, url, "try/mood")
        page.locator("#state", has_text=reason).wait_for()
        assert page.evaluate(SHIFTS) == []


def test_a_thousand_cases_are_filtered_as_a_whole_and_drawn_in_parts(tmp_path: Path, catalog: Catalog) -> None:
    """The keyboard opens the last of them."""
    engine, data = Scribe(), tmp_path / "data"
    promote(data, engine, yaml(CHOICE, tmp_path / "prompt.yml"), "mood")
    rows = [{"id": f"case-{number}", "text": f"Sentence {number}.", "expected": "good"} for number in range(1000)]
    record(data / "prompts" / "mood", engine, rows)
    settings = settings_module.load(port=0, data_dir=data)
    app = create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))
    with serving(app) as it, open_page(it) as page:
        opened(page, it, "prompts/mood")
        page.get_by_text("1000 of 1000 cases").wait_for()
        assert page.locator("#cases li").count() == 100
        page.fill("#filter-text", "case-99")
        page.get_by_text("11 of 1000 cases").wait_for()
        page.fill("#filter-text", "")
        for drawn in range(200, 1100, 100):
            page.get_by_role("button", name="Show more").press("Enter")
            page.wait_for_function("(drawn) => document.querySelectorAll('#cases > li').length === drawn", arg=drawn)
        assert page.get_by_role("button", name="Show more").count() == 0
        page.locator("#cases summary").last.press("Enter")
        page.get_by_text("Ask now").wait_for()


def test_filters_are_part_of_the_address(url: str) -> None:
    with open_page(url) as page:
        opened(page, url, "prompts/mood")
        page.select_option("#filter-state", "failed")
        page.fill("#filter-text", "case-4")
        page.get_by_text("1 of 40 cases").wait_for()
        page.reload()
        page.get_by_text("1 of 40 cases").wait_for()
        assert page.input_value("#filter-text") == "case-4"


def test_drift_is_drawn_and_a_failure_of_its_route_is_told(url: str, tmp_path: Path) -> None:
    """It is not shown while nothing is kept."""
    section = "section[aria-labelledby=drift-title]"
    with open_page(url, ignored="503 (Service Unavailable)") as page:
        with page.expect_response("**/prompts/mood/drift"):
            opened(page, url, "prompts/mood")
        assert page.locator(section).count() == 0
        keep_answers(tmp_path / "data")
        page.reload()
        page.locator(section, has_text="60 kept answers").wait_for()
        assert page.locator(f"{section} meter").count() > 4
        problem = json.dumps({"title": "Unavailable", "status": 503, "detail": "The database is away."})
        page.route("**/drift", lambda route: route.fulfill(status=503, body=problem, content_type="application/json"))
        page.reload()
        page.locator(f"{section} [role=alert]", has_text="The database is away.").wait_for()


def test_a_list_and_an_object_are_sent_as_values(url: str) -> None:
    """The values have the types of the schema. An optional field that is empty is not sent."""
    with open_page(url) as page:
        opened(page, url, "try/ticket")
        fill_ticket(page)
        page.get_by_role("button", name="Add tags").click()
        page.get_by_role("button", name="Remove tags 2").click()
        with page.expect_request(re.compile("/prompts/ticket$")) as sent:
            page.click("#ask")
        assert sent.value.post_data_json["inputs"] == {
            "text": HOSTILE[0], "kind": HOSTILE[3], "tags": ["deck"], "author": {"name": HOSTILE[1]}, "urgent": False,
        }  # fmt: skip


def test_a_hidden_tab_asks_nothing(url: str) -> None:
    """The view of the service asks every five seconds, and in a hidden tab not at all."""
    with open_page(url) as page:
        opened(page, url, "service")
        with page.expect_request("**/status/history?**"):
            pass
        page.evaluate("() => { Object.defineProperty(document, 'hidden', { get: () => true }); }")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(6000)
        assert asked == []
