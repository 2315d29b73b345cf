"""The view of builds around given answers of its routes: hostile texts stay texts, accessible, by keyboard.

Not here: a real build (`tests/e2e/test_page.py`), and the routes (`tests/builds`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from service.http.builds_types import BuildDetailResponse, ChangesResponse, ExchangesResponse
from tests.browser import open_page
from tests.http.conftest import Make, serving
from tests.page_rules import HOSTILE, SIZES, keyboard_reaches_everything, load_axe, no_violations, texts_stayed_texts
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser
SECRET = "a-secret-of-tests"  # pragma: allowlist secret
ALL = " ".join(HOSTILE)
BUILD: dict[str, Any] = {
    "id": "b1", "public_id": "p1", "request_id": None, "task": ALL[:400], "round": 2, "brief": ALL, "status": "done",
    "delivery": "dead", "received_s": 1e9, "deadline_s": 1e9, "remaining_s": 0.0, "left_s": 0.0, "callbacks": [],
    "outcome": {
        "pages_url": HOSTILE[3], "repo_url": "data:text/html,<script>window.hacked=1</script>",
        "commit_sha": HOSTILE[0], "passed": 1, "failed": [HOSTILE[1]],
    },
}  # fmt: skip
OUTCOMES = [{"verdict": verdict, "said": text, "reason": text}
            for verdict, text in zip(("passed", "failed", "not judged"), HOSTILE, strict=False)]  # fmt: skip
EVENTS = [
    {"at_s": 1e9, "text": HOSTILE[0], "data": {}, "kind": "step"},
    {
        "at_s": 1e9 + 61,
        "text": ALL,
        "data": {"report": {"outcomes": OUTCOMES}, "screenshot": False},
        "kind": "verified",
    },
]
EXCHANGES = {"exchanges": [{"kind": HOSTILE[0], "prompt": HOSTILE[1], "model": HOSTILE[2], "answer": ALL}]}
DIFF = {"base": "0" * 40, "commit": "1" * 40, "diff": "".join(f"+{text}\n-{text}\n" for text in HOSTILE)}


def answer(route: Route) -> None:
    """The answers of the routes of builds."""
    path = route.request.url.partition("/builds")[2].partition("?")[0]
    if path == "/b1/events":
        frames = (f"id: {at}\nevent: {row['kind']}\ndata: {json.dumps(row)}\n\n" for at, row in enumerate(EVENTS, 1))
        route.fulfill(content_type="text/event-stream", body="".join(frames))
    elif route.request.method == "POST":
        told = {"detail": ALL, "errors": [{"pointer": HOSTILE[0], "detail": ALL}]}
        route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(told))
    else:
        route.fulfill(json={"": {"builds": [BUILD]}, "/b1": BUILD, "/b1/exchanges": EXCHANGES, "/b1/diff": DIFF}[path])


def test_the_given_answers_are_of_the_shape_of_the_routes() -> None:
    assert BuildDetailResponse.model_validate(BUILD).round == 2
    assert ExchangesResponse.model_validate(EXCHANGES).exchanges
    assert ChangesResponse.model_validate(DIFF).base == "0" * 40


@pytest.fixture(params=[(theme, size) for theme in ("light", "dark") for size in SIZES], ids=" ".join)
def page(request: pytest.FixtureRequest, make: Make) -> Iterator[Page]:
    theme, size = request.param
    options: dict[str, Any] = {"color_scheme": theme, "viewport": SIZES[size], "bypass_csp": True}
    with (
        serving(make(ScriptedEngine(lambda asked: "fine"))) as url,
        open_page("about:blank", ignored="422", **options) as page,
    ):
        page.route(re.compile(r"^[^#]*/builds(/|\?|$)"), answer)
        page.goto(f"{url}/#/builds")
        page.fill("#secret", SECRET)
        page.press("#secret", "Enter")
        page.locator("#builds li").first.wait_for()
        load_axe(page)
        yield page


def test_hostile_texts_stay_texts_and_it_is_accessible(page: Page) -> None:
    """In the list, in a refused brief, and in a build with everything open. Its bad links are none."""
    for name in ("brief", "task"):
        page.fill(f"#{name}", HOSTILE[0])
    page.fill("#email", "ada@example.com")
    page.fill("#evaluation_url", "https://example.com/")
    page.get_by_role("button", name="Build it", exact=True).click()
    page.locator("[role=alert] p", has_text=HOSTILE[0]).wait_for()
    no_violations(page, "list")
    keyboard_reaches_everything(page)
    assert page.locator("#builds a").all_inner_texts() == ["details"]
    page.get_by_text("details", exact=True).click()
    page.locator("#steps li").nth(1).wait_for()
    page.get_by_text("Exchanges with models").click()
    page.locator("details details summary").click()
    page.get_by_text("What this round changed").click()
    page.locator(".diff .added").first.wait_for()
    no_violations(page, "a build")
    keyboard_reaches_everything(page)
    assert page.locator("#steps time").all_inner_texts() == ["+0 ms", "+61 s"]
    shown = page.locator("main").inner_text()
    assert all(text in shown for text in HOSTILE)
    texts_stayed_texts(page)
