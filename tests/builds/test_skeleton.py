"""The page of a brief's elements: the parts of its places, the types of inputs, options, and the bounds of all that."""

from __future__ import annotations

import re

import pytest

from service.builds.generate import Job
from service.builds.generate.blocks.page import MOST_OPTIONS
from service.builds.generate.pieces import reading
from service.builds.generate.script import elements_of, skeleton


def job(brief: str, *expressions: str) -> Job:
    return Job("T", brief, (), (), "a", 2026, expressions=expressions)


def inside(html: str, tag: str, name: str) -> list[str]:
    """The ids in an element that holds no further one of its tag."""
    own = re.search(rf'<{tag} id="{name}"[^>]*>(.*?)</{tag}>', html, re.DOTALL)
    return re.findall(r' id="([^"]+)"', own[1]) if own else ["no such element"]


PARTS = {
    # A list ends where a place is named again
    "The section #one has the inputs #a and #b, and #one turns green when both are filled.": ("section", "one", "a b"),
    "The form #f has the fields #a and #b, and #f is reset after sending. #out shows it.": ("form", "f", "a b"),
    "The dialog #d has the button #ok, and #d and #back are hidden at first.": ("div", "d", "ok"),
    "The panel #p has the form #f, and #f has #a and #b.": ("form", "f", "a b"),
    # The last one is the subject of the next clause
    "The login form #f has #user and #pw, and #welcome appears when both are right.": ("form", "f", "user pw"),
    "The dialog #d has the button #close, and #state becomes Closed.": ("div", "d", "close"),
    "The section #one has the button #next and #two is shown after a press on it.": ("section", "one", "next"),
    "The form #f has #a and #b and #sum gets the sum.": ("form", "f", "a b"),
    "The form #f has #a and #b and #sum (a text) changes.": ("form", "f", "a b"),
    "The dialog #d has #ok and #no, and #x and #y are hidden at first.": ("div", "d", "ok no"),
    # It is a part, and the clause is about the place
    "A form #f with the fields #a and #b is hidden at first.": ("form", "f", "a b"),
    "A dialog #d that has the fields #a and #b is hidden at first.": ("div", "d", "a b"),
    "A section #s with #a, #b, and #c is hidden at first.": ("section", "s", "a b c"),
    "A section #s has #a, #b and #c. #d is hidden at first.": ("section", "s", "a b c"),
    # Beside elements of a class
    "The section #board holds nine buttons with class cell. The button #again in the section starts a new game.": (
        "div", "board", "again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", PARTS)
def test_a_place_holds_the_parts_that_the_brief_lists_and_no_others(text: str) -> None:
    tag, name, parts = PARTS[text]
    html = skeleton(job(text))
    assert inside(html, tag, name) == parts.split()
    assert sorted(re.findall(r' id="([^"]+)"', html)) == sorted(one.id for one in reading(job(text)).elements)


SUBMITS = '<button type="submit">F</button>\n</form>'
TOLD = {
    "The form #f has the fields #a and #b and the button #clear. #sum shows the sum.": SUBMITS,
    # The type of an input, which takes no other values
    "The colour box #light turns green when the button #go is pressed.": '<div id="light"></div>',
    "A colour box #c sets the colour of #g.": '<input id="c" type="color"',
    "A month field #m (1 to 12). #g tells it.": '<input id="m" type="text"',
    "A week field #w, 1 to 53. #g tells it.": '<input id="w" type="text"',
    "A time field #minutes (in minutes). #g tells it.": '<input id="minutes" type="text"',
    "A time box #clock shows the rest. #g tells it.": '<input id="clock" type="text"',
    "A month field #m. #g tells its 30 days.": '<input id="m" type="month"',
    "A time field #t (09:00 at first). #g tells the hours.": '<input id="t" type="time" value="09:00"',
    '<input type="time" id="t"> takes 24 hours, and #g.': '<input id="t" type="time"',
    # The options of a select
    "The select #who between the players and the computer. #g.": '<select id="who"></select>',
    "The select #n of the table and the list filters #t.": '<select id="n"></select>',
    "The select #mode goes from 1-3 players to 4. #g.": '<select id="mode"></select>',
    "A select #n with the numbers 1 to 3. #g.": '<option value="1">1</option><option value="2">2</option>',
    "A select #n from 1 to 3. #g.": '<option value="3">3</option></select>',
}


@pytest.mark.parametrize("text", TOLD)
def test_the_page_has_what_the_brief_says_of_its_elements(text: str) -> None:
    assert TOLD[text] in skeleton(job(text))


@pytest.mark.parametrize(
    ("kind", "code", "type_"),
    [
        ("month", "document.querySelector('#x').value = '2026-05'", "month"),
        ("month", "document.querySelector('#x').value = '5'", "text"),
        ("week", "const put = (id, v) => { document.getElementById(id).value = v; }; put('x', 7)", "text"),
        ("date", "const put = (id, v) => { document.getElementById(id).value = v; }; put('x', '1.2.2026')", "text"),
        ("date", "document.getElementById('x').value = '2026-02-01'", "date"),
        ("time", "document.getElementById('x').value = ''", "time"),
        ("time", "document.getElementById('y').value = '5'", "time"),
        ("time", "document.getElementById('x').value = '5', document.getElementById('x').type === 'time'", "time"),
    ],
)
def test_an_input_takes_the_values_that_the_checks_set(kind: str, code: str, type_: str) -> None:
    assert f'<input id="x" type="{type_}"' in skeleton(job(f"A {kind} field #x. #g tells it.", code))


def test_the_model_is_told_few_options_of_a_long_select_and_a_page_has_bounds() -> None:
    html = skeleton(job("A select #year with the years 1930 to 2024, 2000 at first. A select #n with 1 to 6. #g."))
    told = elements_of(html)
    assert html.count("<option") == 95 + 6
    assert re.findall(r">(\d+)</option>(…?)", told) == [
        ("1930", ""), ("1931", "…"), ("2000", "…"), ("2024", ""), *((str(number), "") for number in range(1, 7)),
    ]  # fmt: skip
    many = skeleton(job(" ".join(f"The select #s{number} with the numbers 1 to 200." for number in range(120))))
    assert many.count("<select") == 120
    assert many.count("<option") <= MOST_OPTIONS


@pytest.mark.parametrize("blank", [" ", "\t", "\r", "\u00a0", "\u2003", " \x0b", "</b> ", "</i>\u00a0"])
@pytest.mark.parametrize("text", ["form #a{} with box:{}! #b", "form #a{}x #b", "#a (one{}), and{}#b"])
def test_the_reader_sees_one_blank_for_many(text: str, blank: str) -> None:
    """Its patterns for the words between two ids try each way to divide blanks, which grows with the cube."""
    elements = reading(job(text.replace("{}", blank * 300))).elements
    assert [one.id for one in elements] == ["a", "b"]
    assert not any(re.search(r"\s\s", one.sentence) for one in elements)
