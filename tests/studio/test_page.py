"""The studio in a real browser: a draft is edited, run, improved, compared and promoted, and a promotion is looked at.

Not here: the routes (`test_studio.py`), and the other views of the page (`tests/http/test_page_views.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests import casefile
from tests.browser import open_page
from tests.http.conftest import serving
from tests.page_rules import HOSTILE, SIZES, keyboard_reaches_everything, load_axe, no_violations, texts_stayed_texts
from tests.studio.conftest import BETTER, COLOUR, Workspace, git

pytestmark = pytest.mark.browser
UNASKED = "401 (Unauthorized)"  # the page itself, which a browser opens without the key


@pytest.fixture
def url(workspace: Workspace) -> Iterator[str]:
    with serving(workspace.app) as it:
        yield it


@pytest.fixture
def page(url: str, workspace: Workspace) -> Iterator[Page]:
    """The studio, opened by its address. An error of the script or of the policy fails the test."""
    with open_page(f"{url}/#/drafts?token={workspace.key}", ignored=UNASKED) as opened:
        opened.locator("#drafts li").first.wait_for()
        yield opened


def edit(page: Page, text: str) -> None:
    """Replace the text in the editor, as a person pastes it."""
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


def open_draft(page: Page) -> None:
    page.get_by_role("link", name="colour", exact=True).click()
    page.locator(".cm-content", has_text="responseFormat").wait_for()


def test_a_draft_is_edited_tried_run_compared_and_promoted(page: Page, workspace: Workspace) -> None:
    """The key leaves the address. A mistake is marked at its line. The diff is the one that a reviewer sees."""
    assert "token" not in page.url
    open_draft(page)
    edit(page, COLOUR.replace("description", "descripton"))
    page.locator("#mistakes li", has_text="Line 2: unknown key 'descripton'; did you mean 'description'?").wait_for()
    page.locator(".cm-lint-marker-error").first.wait_for()
    assert page.locator("#run-form button").is_disabled()
    edit(page, COLOUR)
    page.locator("#mistakes li").wait_for(state="detached")
    page.fill("#cases-n", "6")
    page.click("#run-form button")
    page.locator("#rate", has_text="0 / 6").wait_for()
    assert page.locator("#cases li .badge.failed").count() >= 6
    page.get_by_role("tab", name="Promote").click()
    page.get_by_text("Promote it under any verdict, with a reason").click()
    page.fill("#accept", "A first version.")
    page.click("#promote-form button")
    page.get_by_text("Promoted. The service serves it from now on.").wait_for()
    assert page.locator(".diff .added", has_text="+name: colour").count() == 1
    git(workspace.drafts.parent, "add", ".")
    git(workspace.drafts.parent, "commit", "--quiet", "--message", "Colours")
    edit(page, BETTER)
    page.keyboard.press("Control+s")
    page.locator("[role=status]", has_text="saved").first.wait_for()
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare-form button")
    page.locator("#verdict .badge.passed", has_text="PASS").wait_for()
    assert page.locator("#changed li").count() == 60
    assert page.locator("#changed li").first.locator("pre").all_inner_texts() == ["red", "green"]
    page.get_by_role("link", name="Try it").click()
    page.locator("#prompt").wait_for()
    page.fill("#input-thing", "leaf")
    page.click("#ask")
    page.locator("output", has_text="green").wait_for()
    page.get_by_role("link", name="Prompts", exact=True).click()
    page.goto(f"{page.url.partition('#')[0]}#/prompts/colour")
    page.locator("#history summary", has_text="Colours").click()
    page.locator("#history .badge").first.wait_for()
    assert page.locator("#history .diff .added", has_text="+name: colour").count() == 1


def test_a_search_is_watched_and_its_draft_kept(page: Page, workspace: Workspace) -> None:
    """Its course is drawn. A view that is opened again in the meantime follows the same job."""
    open_draft(page)
    page.get_by_role("tab", name="Improve").click()
    page.fill("#budget", "150")
    page.click("#improve-form button")
    page.locator("#summary li", has_text="deciding cases").wait_for()
    page.locator(".u-over").wait_for()
    assert page.input_value("#budget") == "150", "a drawing of the form again keeps what was typed"
    page.get_by_role("button", name="Save as colour-improved").click()
    page.get_by_role("link", name="colour-improved").click()
    page.locator(".cm-content", has_text="assistant").wait_for()
    assert (workspace.drafts / "colour-improved.prompt.yml").exists()


def test_a_new_draft_is_usable_and_tab_leaves_the_editor(page: Page) -> None:
    page.fill("#draft-name", "fresh")
    page.get_by_role("button", name="Create").click()
    page.locator(".cm-content", has_text="name: fresh").wait_for()
    assert page.locator("#mistakes li").count() == 0
    page.locator(".cm-content").focus()
    page.keyboard.type("descri")
    page.locator(".cm-tooltip-autocomplete li", has_text="description").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "save"
    page.keyboard.press("Enter")
    page.locator("#mistakes li").first.wait_for()


def hostile_workspace(workspace: Workspace) -> None:
    """A draft with hostile texts only, and cases with them."""
    hostile = COLOUR.replace("Which colour is it?", repr(HOSTILE[0])).replace("Which colour?", repr(HOSTILE[1]))
    hostile = hostile.replace("name: label", f"name: {HOSTILE[0]!r}")
    (workspace.drafts / "colour.prompt.yml").write_text(hostile, encoding="utf-8")
    rows = [
        {"id": f"c{number}", "thing": f"{number} {text[:300]}", "expected": "green"}
        for number, text in enumerate(6 * HOSTILE)
    ]
    casefile.write(workspace.drafts / "cases.jsonl", rows)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_hostile_texts_stay_texts(url: str, workspace: Workspace, theme: str) -> None:
    """In every part of it, on a desktop and on a phone. On the second size the draft is promoted already."""
    hostile_workspace(workspace)
    opened = f"{url}/#/drafts?token={workspace.key}"
    for size in SIZES.values():
        with open_page(opened, ignored=UNASKED, color_scheme=theme, viewport=size, bypass_csp=True) as page:
            page.locator("#drafts li", has_text=HOSTILE[0]).wait_for()
            load_axe(page)
            no_violations(page, "list")
            page.get_by_role("link", name="colour", exact=True).click()
            page.locator(".cm-content", has_text="script").wait_for()
            page.fill("#cases-n", "12")
            page.click("#run-form button")
            page.locator("#rate").wait_for()
            page.locator("#cases summary").first.click()
            no_violations(page, "run")
            page.get_by_role("tab", name="Improve").click()
            page.fill("#budget", "150")
            page.click("#improve-form button")
            page.locator("#summary li", has_text="deciding cases").wait_for()
            page.locator(".u-over").wait_for()
            no_violations(page, "improve")
            page.get_by_role("tab", name="Promote").click()
            page.get_by_text("Promote it under any verdict").click()
            page.fill("#accept", HOSTILE[1])
            page.click("#promote-form button")
            page.locator("#verdict .badge").wait_for()
            page.get_by_text("The text of the pull request").click()
            no_violations(page, "promote")
            page.get_by_role("tab", name="Compare").click()
            page.click("#compare-form button")
            page.locator("#verdict .badge").wait_for()
            no_violations(page, "compare")
            git(workspace.drafts.parent, "add", ".")
            git(workspace.drafts.parent, "commit", "--quiet", "--allow-empty", "--message", HOSTILE[0])
            page.goto(f"{url}/#/prompts/colour")
            page.locator("#history summary", has_text=HOSTILE[0]).first.click()
            page.locator("#history .diff").wait_for()
            no_violations(page, "history")
            page.goto(f"{url}/#/service")
            page.locator("#models li").first.wait_for()
            page.locator(".u-over").first.wait_for()
            no_violations(page, "pull")
            texts_stayed_texts(page)


def test_the_keyboard_reaches_every_control(page: Page, url: str) -> None:
    """In the list and in a draft. Tab leaves the editor."""
    keyboard_reaches_everything(page)
    open_draft(page)
    for name in ("Compare", "Improve", "Promote", "Run"):
        page.get_by_role("tab", name=name).click()
        keyboard_reaches_everything(page)
