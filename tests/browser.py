"""A real Chromium for tests of pages.

In: a URL. Out: the open page, in a browser of its own. An error of its script or its policy fails the test at the end.
Not here: the content of a page.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright


@contextlib.contextmanager
def open_page(url: str, *, ignored: str | None = None, **context: Any) -> Iterator[Page]:
    """The page at `url`. Messages in the console that contain `ignored` are no errors. `context`: Playwright's options
    of the browser's context."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    errors: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            page = chromium.new_context(**context).new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text))
            page.goto(url)
            yield page
        finally:
            chromium.close()
    unexpected = [error for error in errors if ignored is None or ignored not in error]
    assert unexpected == [], unexpected
