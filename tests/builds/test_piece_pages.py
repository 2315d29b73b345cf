"""Every piece in a browser: the pages that are made of the cases' and briefs' words alone pass all their checks."""

from __future__ import annotations

from typing import Any

import pytest

from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.generate.blocks import matching, page
from service.builds.generate.libraries import with_libraries
from service.builds.generate.scaffold import STYLE, style
from service.builds.verify import find_browser
from tests.builds.test_pieces import CASES, briefs, decode, later, reading_of

BROWSER, _ = find_browser(None)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize(
    "case", [*CASES, *briefs(), *later()], ids=lambda case: case.get("task") or " ".join(case["pieces"])
)
def test_a_page_of_pieces_passes_the_checks_of_its_case(case: dict[str, Any]) -> None:
    reading = reading_of(case)
    given = {one["name"]: decode(one["name"], one["url"]).data for one in case.get("attachments", ())}
    given |= {name: text.encode() for name, text in case.get("files", {}).items()}
    files = with_libraries({**page.pages(reading, matching.plans(reading)[0]), STYLE: style(), **given})
    code = case.get("js") or [check["js"] for check in case["checks"] if isinstance(check, dict)]
    assert BROWSER is not None
    seen = look(files, [Check(one, one) for one in code], browser=BROWSER, timeout_s=60)
    assert [(one.said, one.reason) for one in seen.outcomes if one.verdict != "passed"] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_what_is_hidden_stays_so_unless_a_script_displays_it() -> None:
    """A rule of the page's own stylesheet does not show it. An element's own style does."""
    html = (
        '<!DOCTYPE html><title>t</title><link rel="stylesheet" href="style.css">'
        "<style>.modal { display: flex; }</style>"
        '<p id="a" class="modal" hidden>a</p><p id="b" hidden>b</p><script>b.style.display = "block";</script>'
    )
    code = ["getComputedStyle(a).display === 'none'", "getComputedStyle(b).display === 'block'"]
    assert BROWSER is not None
    files = {"index.html": html.encode(), STYLE: style()}
    seen = look(files, [Check(one, one) for one in code], browser=BROWSER, timeout_s=60)
    assert [(one.said, one.reason) for one in seen.outcomes if one.verdict != "passed"] == []
