"""The rules of every view of the page: hostile texts stay texts, axe-core finds nothing, the keyboard is enough.

In: an open page. Out: a failure of the test that names the element.
Not here: the views, and their content.
"""

from __future__ import annotations

from playwright.sync_api import Page

from tests.servers import npm

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "[link](javascript:window.hacked=1)",
    "{{constructor.constructor('window.hacked=1')()}}",
    "${window.hacked=1}",
    "\u202eright to left\u202c and zero\u200bwidth\u200d",
    "</textarea></pre></output><script>window.hacked = 1</script>",
    "a" * 100_000,
)
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
_AXE = (
    "axe-core", "4.14.1",
    # pragma: allowlist nextline secret
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "axe.min.js",
)  # fmt: skip
_MADE = "main script, main [onerror], [onload], a[href^='javascript' i], a[href^='data' i], main svg"
_VISIT = """() => {
  const usable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((node) => !node.disabled && node.checkVisibility() && node.tabIndex >= 0);
  window.left = new Set(usable.filter((node) => node.type !== 'radio' || node.checked));
  return window.left.size;
}"""


def load_axe(page: Page) -> None:
    """Load axe-core into a page without its policy (`bypass_csp`). Skips the test where npm is not there."""
    page.evaluate(npm.member(*_AXE).decode())


def no_violations(page: Page, view: str) -> None:
    """axe-core finds nothing in the view, and the view does not scroll sideways."""
    found = page.evaluate("() => axe.run()")["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == [], view
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), f"{view} scrolls sideways"


def texts_stayed_texts(page: Page) -> None:
    """No hostile text became an element, a link or a script."""
    assert page.locator(_MADE).count() == 0
    assert page.evaluate("() => window.hacked") is None


def keyboard_reaches_everything(page: Page) -> None:
    """Tab comes to every control. A group of radio buttons is one stop, and a text that scrolls may be one."""
    count = page.evaluate(_VISIT)
    page.evaluate("() => { document.activeElement.blur(); document.body.focus(); }")
    for _ in range(count + 30):
        page.keyboard.press("Tab")
        page.evaluate("() => { window.left.delete(document.activeElement); }")
    left = page.evaluate("() => [...window.left].map((node) => node.outerHTML.slice(0, 200))")
    assert left == [], left
