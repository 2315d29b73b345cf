"""axe-core finds nothing in a page of pieces on a phone: as it opens, and after its first and its last check."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Route, sync_playwright

from service.builds.generate.blocks import matching, page
from service.builds.generate.libraries import with_libraries
from service.builds.generate.scaffold import STYLE, style
from service.builds.verify import find_browser
from tests.builds.test_pieces import CASES, decode, later, reading_of
from tests.page_rules import SIZES, load_axe, no_violations

BROWSER, _ = find_browser(None)
ADDRESS = "http://site.test/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("case", [*later(), CASES[-1]], ids=lambda case: case.get("task") or " ".join(case["pieces"]))
def test_a_page_of_pieces_is_accessible(case: dict[str, Any], browser: Browser) -> None:
    reading = reading_of(case)
    given = {one["name"]: decode(one["name"], one["url"]).data for one in case.get("attachments", ())}
    given |= {name: text.encode() for name, text in case.get("files", {}).items()}
    files = with_libraries({**page.pages(reading, matching.plans(reading)[0]), STYLE: style(), **given})

    def serve(route: Route) -> None:
        name = route.request.url.removeprefix(ADDRESS).split("?")[0] or "index.html"
        if name in files:
            route.fulfill(body=files[name], content_type=mimetypes.guess_type(name)[0] or "text/plain")
        else:
            route.fulfill(status=404)

    code = case.get("js") or [check["js"] for check in case["checks"] if isinstance(check, dict)]
    options: dict[str, Any] = {"viewport": SIZES["phone"], "bypass_csp": True}
    context = browser.new_context(**options)
    try:
        context.route("**/*", serve)
        view = context.new_page()
        view.goto(ADDRESS)
        view.wait_for_load_state("networkidle")
        load_axe(view)
        no_violations(view, "opened")
        for check in (code[0], code[-1]):
            with contextlib.suppress(Error):  # its verdict is that of `test_piece_pages`
                view.evaluate(check)
            no_violations(view, check[-80:])
    finally:
        context.close()
