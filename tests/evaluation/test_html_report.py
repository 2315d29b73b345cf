"""The page of an evaluation: everything that a person or a model wrote is text, and only its own script may run."""

from __future__ import annotations

import base64
import hashlib
import html
import html.parser
import re
from pathlib import Path

import pytest

from service.evaluation.cases import Case
from service.evaluation.html_report import page
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome, apply_checks
from service.prompts.file import loads
from tests import page_rules
from tests.browser import open_page

HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>\" onmouseover='1' {{7*7}}"
PROMPT = loads("""
name: pets
responseFormat: choice
choices: [cat, "</script><b>dog"]
messages: [{role: user, content: "{{text}}"}]
evaluators: [{name: "<i>label", string: {equals: "{{label}}"}}]
""")


class Tags(html.parser.HTMLParser):
    """The elements and attributes of a page as a browser reads them, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] == "script" and data.strip():
            self.scripts.append(data)


def outcome(name: str, answer: str, label: str) -> CaseOutcome:
    record = Record(name, "f", answer, (1,), "stop", None, ((answer, 0.9), (HOSTILE, 0.1)))
    return apply_checks(PROMPT, Case(name, {"text": HOSTILE, "label": label}, HOSTILE), [record])


def test_everything_from_outside_is_text() -> None:
    """Ids, slices, inputs, labels, answers, names of checks, and both sides of a comparison."""
    now = [outcome(f"{HOSTILE}{i}", HOSTILE if i % 2 else "cat", "cat") for i in range(4)]
    before = [outcome(f"{HOSTILE}{i}", f"{HOSTILE} before", "cat") for i in range(4)]
    for text in (page(PROMPT, now), page(PROMPT, now, before, HOSTILE)):
        tags = Tags(text)
        assert {"script", "img", "b", "i"} & set(tags.names) <= {"script", "b"}
        assert tags.names.count("script") == 1
        assert not {name for name in tags.attributes if name.startswith("on")}
        assert "49" not in re.sub(r"\d{3,}", "", text.split("<h2>Cases</h2>")[1].split("<pre>")[0])
        script = base64.b64encode(hashlib.sha256(tags.scripts[0].encode()).digest()).decode()
        assert f"script-src 'sha256-{script}'" in text
        assert "http://" not in text
        assert "https://" not in text


def test_the_page_holds_every_row_and_the_numbers() -> None:
    """All cases with their state, failures first, the classes, and both answers of a changed case."""
    now = [outcome(f"c{i}", "cat" if i % 3 else "dog", "cat") for i in range(30)]
    text = page(PROMPT, now)
    assert text.count("<tr data-state=") == 30
    assert text.index(">c0<") < text.index(">c1<"), "failures come first"
    assert "20 of 30 cases pass every check: 66.7 %" in text
    assert "Expected calibration error" in text
    compared = page(PROMPT, now, [outcome(f"c{i}", "cat", "cat") for i in range(30)], "REGRESSION: worse.")
    assert compared.count('data-change="lost"') == 10
    assert "<del style='background:#ffe3e0'>cat</del>" in compared
    assert "<b>REGRESSION: worse.</b>" in compared


def test_the_page_has_its_slices_and_its_coverage() -> None:
    """The best tenth of the answers is more often right than all of them."""
    answers = [apply_checks(PROMPT, Case(f"c{i}", {"text": "x", "label": "cat" if i < 40 or i % 2 else "dog"},
               ["long", ""][i % 2]), [Record(f"c{i}", "f", "cat", (1,), "stop", None, (("cat", 0.9 - i / 100),))])
               for i in range(60)]  # fmt: skip
    text = html.unescape(re.sub(r"<[^>]+>", "|", page(PROMPT, answers)))
    rows = [re.sub(r"\|+", "|", line).strip("|") for line in text.splitlines()]
    assert "(none)|<i>label|30|30|100.0 % (88.6 to 100.0)" in rows
    assert "all|<i>label|50|60|83.3 % (72.0 to 90.7)" in rows
    assert "0.310|60 of 60|100 %|83.3 % (72.0 to 90.7)" in rows
    assert "0.610|30 of 60|50 %|100.0 % (88.6 to 100.0)" in rows


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_the_keyboard_filters(scheme: str, tmp_path: Path) -> None:
    """On a desktop and on a phone. A person types, and chooses in the next control."""
    now = [outcome(f"c{i}", "cat" if i % 3 else "dog", "cat") for i in range(30)]
    before = [outcome(f"c{i}", "cat", "cat") for i in range(30)]
    (tmp_path / "page.html").write_text(page(PROMPT, now, before, "REGRESSION: worse."), encoding="utf-8")
    url = (tmp_path / "page.html").as_uri()
    with open_page(url, bypass_csp=True, color_scheme=scheme) as opened:
        page_rules.load_axe(opened)
        for size, viewport in page_rules.SIZES.items():
            opened.set_viewport_size(viewport)  # type: ignore[arg-type]
            page_rules.no_violations(opened, size)
        page_rules.keyboard_reaches_everything(opened)
        opened.locator("#search").focus()
        opened.keyboard.type("C1")
        opened.keyboard.press("Tab")
        opened.keyboard.press("ArrowDown")
        assert opened.locator("#counter").inner_text() == "3 of 30 cases"  # c12, c15 and c18
