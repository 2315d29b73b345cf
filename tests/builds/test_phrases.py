"""Phrases of a brief: sentences with blanks, texts by thresholds, and the reading that fills them."""

from __future__ import annotations

import pytest

from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.fitting import storage_key
from service.builds.generate.blocks.formulas import arrow
from service.builds.generate.blocks.phrases import blanks, by_levels, levels
from service.builds.generate.blocks.reading import read


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        (
            "reads weak below 6 characters, medium from 6 to 9 and strong from 10 on",
            'v < 6 ? "weak" : v < 10 ? "medium" : "strong"',
        ),
        (
            "says Thin (below 18.5), Normal (below 25), Heavy (below 30) or Huge",
            'v < 18.5 ? "Thin" : v < 25 ? "Normal" : v < 30 ? "Heavy" : "Huge"',
        ),
        (
            "says A for 90 or more, B for 80 or more, otherwise F",
            'v < 80 ? "F" : v < 90 ? "B" : "A"',
        ),
        (
            '"Child" under 13, "Teen" from 13 to 19, "Adult" above 19',
            'v < 13 ? "Child" : v <= 19 ? "Teen" : "Adult"',
        ),
        (
            'Under 18 shows "Young", 18 or more shows "Old"',
            'v < 18 ? "Young" : "Old"',
        ),
        (
            "cold below 10 degrees, warm up to 25 and hot above 25",
            'v < 10 ? "cold" : v <= 25 ? "warm" : "hot"',
        ),
        (
            "child (0-12), teenager (13-19) or adult (20 and above)",
            'v < 13 ? "child" : v < 20 ? "teenager" : "adult"',
        ),
    ],
)
def test_texts_by_thresholds_are_a_formula(text: str, formula: str) -> None:
    told = by_levels("v", levels(text))
    assert told == formula
    assert arrow(told, ["v"]) == f"({{ v }}) => {formula}"


@pytest.mark.parametrize(
    "text",
    ["is red when more than 200 are written", "shows the sum of at least 3 numbers", "the greatest of 4 numbers", ""],
)
def test_one_threshold_is_no_range(text: str) -> None:
    assert levels(text) == []


@pytest.mark.parametrize(
    ("boxes", "text", "filled"),
    [
        ("box #who", 'puts "Hello, NAME!" into it', "Hello, {who}!"),
        ("boxes #visitor and #comment", 'shows it as "NAME: COMMENT"', "{visitor}: {comment}"),
        ("boxes #name and #email", 'reads "Thanks, <name>! We write to EMAIL"', "Thanks, {name}! We write to {email}"),
        ("boxes #email and #age", "shows Welcome and the e-mail address", "Welcome {email}"),
        ("boxes #first and #last", 'says "OK"', None),
        ("boxes #first and #last", 'says "HELLO WORLD"', None),
        ("box #word", 'says "AB CD"', None),
    ],
)
def test_blanks_of_a_sentence_are_the_boxes_that_they_name(boxes: str, text: str, filled: str | None) -> None:
    assert blanks(text, read(f"The {boxes}.").elements) == filled


@pytest.mark.parametrize(
    ("brief", "key"),
    [
        ("The choice is kept in localStorage under the key theme.", "theme"),
        ("The choice is kept in localStorage under lang. It stays.", "lang"),
        ("Kept in localStorage under the key app.notes, always.", "app.notes"),
    ],
)
def test_the_dot_at_the_end_of_a_sentence_is_no_part_of_a_key(brief: str, key: str) -> None:
    assert storage_key(read(brief), "usual") == key


def test_a_key_that_the_brief_does_not_name_is_the_own_one_of_the_site() -> None:
    """Sites of one owner may share an origin, and with it localStorage."""
    assert storage_key(read("The tags are kept in localStorage."), "tags") == "./tags"
    assert storage_key(read("The tags are shown."), "tags") is None


def test_words_in_brackets_stand_between_ids() -> None:
    elements = read("The boxes with ids amount, rate (per cent a year) and years start with 10, 6 and 5.").elements
    assert [(one.id, one.kind, one.first) for one in elements] == [
        ("amount", "input", "10"),
        ("rate", "input", "6"),
        ("years", "input", "5"),
    ]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("#price and #discount are number inputs.", ["input", "input"]),
        ("#day is a date input.", ["input"]),
        ("The buttons are #one and #two.", ["button", "button"]),
        ("#seconds takes a number.", ["input"]),
        ("People use #task-input, #add-task and #task-list.", ["input", "button", "list"]),
        ("#sum is shown.", ["output"]),
        ("#age number input, #check button.", ["input", "button"]),
        ("Three inputs #a #b #c.", ["input", "input", "input"]),
        ("The buttons with ids d0 to d2.", ["button", "button", "button"]),
        ("Fields: name (id who), e-mail (id mail). A button (id go).", ["input", "input", "button"]),
        ('If any field is blank show "All fields are needed" in id="error".', ["output"]),
    ],
)
def test_kinds_are_told_behind_an_id_too_or_by_it(text: str, kinds: list[str]) -> None:
    assert [one.kind for one in read(text).elements] == kinds


def test_the_words_before_an_id_are_about_it() -> None:
    weight, height = read("Weight in kilograms goes in #w, height in centimetres in #h.").elements
    assert (weight.text, height.text) == ("Weight in kilograms goes in #w, ", "height in centimetres in #h.")


@pytest.mark.parametrize(
    "text",
    ["#count says how many have a name whose name starts with B.", "#count counts the tasks (task.id = next++)."],
)
def test_neither_a_condition_nor_code_is_a_first_value_or_an_id(text: str) -> None:
    [one] = read(text).elements
    assert (one.id, one.first) == ("count", None)


def test_a_file_in_a_sentence_is_no_first_value() -> None:
    [one] = read("The textarea #source holds the text of notes.md when the page opens.").elements
    assert one.first is None


def test_a_piece_gets_all_its_parameters() -> None:
    """`count` is the element that counts, and it was left out of the call."""
    reading = read(
        "A list. The box #item and the button #add put an li into the ul #list. #count says how many there are."
    )
    plan = matching.plans(reading)[0]
    assert plan["pieces"][0]["count"] == "count"
    assert '"count": "count"' in page.html(reading, plan)


def test_a_list_with_other_tags_inside_is_no_list() -> None:
    code = ["document.querySelectorAll('#preview li').length === 2", "document.querySelector('#preview h1') !== null"]
    assert [one.kind for one in read("The element with id preview shows it.", code).elements] == ["output"]
    assert [one.kind for one in read("The element with id preview shows it.", code[:1]).elements] == ["list"]
