"""Fits of pieces: the words of a brief that a piece takes, and those that it leaves to a model."""

from __future__ import annotations

from typing import Any

import pytest

from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.generate.blocks import fit_tools, matching, page
from service.builds.generate.blocks.reading import Element, Reading, read
from service.builds.generate.scaffold import STYLE, style
from service.builds.verify import find_browser

BROWSER, _ = find_browser(None)


def pieces(brief: str, files: dict[str, str | None] | None = None) -> dict[str, dict[str, Any]]:
    """The pieces of the first plan by their names. Their page can be written."""
    reading = read(brief, [], files)
    plan: dict[str, Any] = next(iter(matching.plans(reading)), {"title": "none", "pieces": []})
    page.html(reading, plan)
    return {piece["piece"]: piece for piece in plan["pieces"]}


def field(piece: dict[str, Any], name: str) -> dict[str, Any]:
    told: dict[str, Any] = next(one for one in piece["fields"] if one["id"] == name)
    return told


@pytest.mark.parametrize(
    "brief",
    [
        'An age check. The box with id age and the button with id check. The element with id result says "OK" if the '
        'age is 18 or more, and "Too young" otherwise.',
        "A newsletter. The box with id email and the button with id subscribe. The element with id message says "
        '"HELLO" at first, then what went wrong.',
        "A test. The box with id score takes the marks, 50 is a pass. The button with id go. The element with id "
        'result says "PASS" or "FAIL".',
        "A note. The box with id note and the button with id save. The element with id state says "
        '"NO TEXT" if it is too short.',
    ],
)
def test_a_text_in_capitals_is_no_blank(brief: str) -> None:
    assert "message" not in pieces(brief)


def test_a_text_in_capitals_beside_a_count_is_no_blank() -> None:
    brief = (
        "A word counter. Type in the textarea with id text. The element with id words shows how many words it has, the "
        'element with id state says "EMPTY" if there is nothing.'
    )
    assert [one.piece for one in matching.matches(read(brief))] == ["text"]


@pytest.mark.parametrize(
    ("brief", "what"),
    [
        (
            "A greeting page. The box with id who takes a name and the button with id greet shows "
            '"Hello, NAME!" in the element with id line. The name is still there even after a reload.',
            None,
        ),
        ("Amazon Prime. The box with id n takes a number, the button #go shows in #out the fee of Prime.", None),
        ("The box #n takes a number. The button #go shows its double in #out, even if it is 0.", None),
        ('The box #n takes a number, #out says "even" or "odd" after a click on #go.', "even"),
        ("Tell whether a number is even: box #n, button #go, element #out.", "even"),
        ("The box #n and the button #go. #out says whether the number is prime.", "prime"),
        ("The box #n and the button #go. #out says Odd for an odd number.", "odd"),
    ],
)
def test_a_property_is_one_of_a_number(brief: str, what: str | None) -> None:
    assert pieces(brief).get("property", {}).get("what") == what


@pytest.mark.parametrize(
    ("told", "formula"),
    [
        (
            '"It\'s freezing" below 0, "It\'s cool" from 0 to 15 and "It\'s warm" above 15',
            'number < 0 ? "It\'s freezing" : number <= 15 ? "It\'s cool" : "It\'s warm"',
        ),
        (
            '"A+" for 97 or more, "A" for 90 or more, "B" for 80 or more and "C" otherwise',
            'number < 80 ? "C" : number < 90 ? "B" : number < 97 ? "A" : "A+"',
        ),
        ('"Cool & dry" below 20 and "hot?" above 20', 'number < 20 ? "Cool & dry" : "hot?"'),
        ('"Say \\" no" below 20 and "</script>" above 20', None),
    ],
)
def test_texts_by_thresholds_keep_all_their_signs(told: str, formula: str | None) -> None:
    brief = f"The number box with id degrees. The element with id advice says {told}."
    piece = pieces(brief).get("calculator")
    if formula is not None:
        assert piece is not None
        assert piece["results"][0]["formula"] == formula
    reading = read(brief)
    for plan in matching.plans(reading):
        assert page.html(reading, plan).count("</script>") == 2


def test_no_text_of_a_brief_ends_or_opens_a_script() -> None:
    reading = read(
        'A box #name and a button #go. #out shows "Hello <NAME>" and #err shows "<!--<script>" if it is empty.'
    )
    for plan in matching.plans(reading):
        html = page.html(reading, plan)
        assert "<!--" not in html
        assert html.count("<script") == 2


CASH = (
    "My cash book. The number field with id amount, the text field with id what and the button with id add put a row "
    "into the table with id rows. The element with id balance shows the sum of the amounts."
)


@pytest.mark.parametrize(
    ("told", "above"),
    [
        ("Negative amounts are expenses.", None),
        ("A negative balance is shown in red.", None),
        ("Amounts of 0 or less are refused.", 0),
        ("The amount must be greater than 0.", 0),
        ("It takes positive numbers.", 0),
    ],
)
def test_amounts_of_0_and_less_are_refused_where_a_sentence_says_so(told: str, above: int | None) -> None:
    assert field(pieces(f"{CASH} {told}")["records"], "amount").get("above") == above


def test_a_balance_takes_away_what_is_spent_in_any_words() -> None:
    brief = (
        "An account. The number box #amount and the select #kind with deposit and withdrawal. The button #add puts a "
        "row into the table #rows. #balance shows the balance."
    )
    assert pieces(brief)["records"]["sign"] == "kind"


@pytest.mark.parametrize(
    ("told", "needed"),
    [
        ("the note may be left empty", ["name", "phone"]),
        ("the phone number is optional", ["name", "note"]),
        ("phone and note are optional", ["name"]),
        ("all are needed", ["name", "phone", "note"]),
    ],
)
@pytest.mark.parametrize("mark", ["; ", ". "])
def test_a_box_that_may_stay_empty_is_not_needed(told: str, needed: list[str], mark: str) -> None:
    brief = f"Contacts. The boxes with ids name, phone and note{mark}{told.capitalize() if mark == '. ' else told}. "
    told_ = pieces(brief + "The button with id add puts a row into the table with id rows.")["records"]
    assert [one["id"] for one in told_["fields"] if one.get("needed")] == needed


def test_a_form_with_an_optional_box_that_nothing_names_is_no_piece() -> None:
    brief = (
        "A booking. The boxes with ids a and b and the button with id send. Only the second is optional. "
        'The element with id error says "Missing" if one is empty.'
    )
    assert "validation" not in pieces(brief)


@pytest.mark.parametrize(
    ("brief", "live"),
    [
        ("Delivery form. The fields with ids name and street and the button with id order.", None),
        ("Form. The fields with ids name and street and the button with id order. Errors appear live.", True),
    ],
)
def test_live_is_a_word_of_its_own(brief: str, live: bool | None) -> None:
    told = pieces(f'{brief} The element with id error says "Please fill in all fields" if one is empty.')
    assert told["validation"].get("live") == live


def test_labels_of_buttons_and_texts_of_other_elements_are_no_slides() -> None:
    gallery = (
        "A photo gallery. The image with id photo shows picture.png. "
        'The buttons "Next" and "Previous" have the ids next and prev. The element with id caption shows "Our trip".'
    )
    assert "slides" not in pieces(gallery)
    tips = (
        'Tips. The element with id tip shows "Rest", "Eat" and "Walk" one after another. The button #next says "Next".'
    )
    assert pieces(tips)["slides"]["entries"] == ["Rest", "Eat", "Walk"]


@pytest.mark.parametrize("values", ["red-value, green-value and blue-value show their numbers", "red-value"])
def test_the_code_of_a_colour_is_no_number_of_one_shade(values: str) -> None:
    brief = (
        "An RGB mixer. The sliders with ids red, green and blue go from 0 to 255. The elements with ids "
        f"{values}. The element with id sample is filled with the colour, and the element with id hex shows its code."
    )
    assert pieces(brief)["colour"]["code"] == "hex"


GUESS = "Guess my number between 1 and 50. The box with id guess and the button with id try. "


@pytest.mark.parametrize(
    ("told", "texts"),
    [
        ('"Higher" or "Lower" or "You got it"', ("Higher", "Lower", "You got it")),
        ('"Go up" or "Go down" or "You win"', ("Go up", "Go down", "You win")),
        ('"Too low" or "Too high" or "Right"', ("Too low", "Too high", "Right")),
        ('"Warmer" or "Colder"', None),
    ],
)
def test_the_texts_of_a_guess_are_those_of_the_brief(told: str, texts: tuple[str, ...] | None) -> None:
    piece = pieces(f"{GUESS}The element with id hint says {told}.").get("guess")
    assert (piece and tuple(piece.get(key) for key in ("lowText", "highText", "rightText"))) == texts


def test_a_guess_of_a_word_is_no_number() -> None:
    brief = (
        "Guess the animal: the box with id guess takes an animal. The button with id try says in #result "
        '"Right" if it is "cat", otherwise "Try again".'
    )
    assert "guess" not in pieces(brief)


def test_each_place_of_a_form_in_steps_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    place = fit_tools._place

    def counted(element: Element, reading: Reading) -> int:
        searched.append(element.id)
        return place(element, reading)

    monkeypatch.setattr(fit_tools, "_place", counted)
    brief = "A wizard with steps. Buttons with ids next and back. " + " ".join(
        f"Element #step{at} has box #field{at}." for at in range(50)
    )
    steps = pieces(brief)["wizard"]["steps"]
    assert steps[49] == {"id": "step49", "boxes": ["field49"]}
    assert len(searched) == len(set(searched))


@pytest.mark.parametrize(
    ("told", "before"), [('"Speed: 1"', "Speed: "), ('"Speed: 4"', "Speed: "), ('"You have 1 item"', None)]
)
def test_words_beside_a_1_are_kept_where_they_have_no_plural(told: str, before: str | None) -> None:
    brief = f"The range slider #speed goes from 1 to 9, 1 at first. #now shows {told} and follows."
    assert pieces(brief)["slider"].get("before") == before


def test_dice_show_the_number_and_not_the_winner() -> None:
    brief = (
        "A dice game for two. The button #p1 rolls for one player and the button #p2 rolls for the other. #d1 and #d2 "
        "show the dice from 1 to 6. #winner says who has more."
    )
    assert "random" not in pieces(brief)


def test_an_element_named_as_a_choice_counts_only_where_the_brief_says_so() -> None:
    brief = "The button #draw picks one of the names Ann, Bob or Cy at random and shows it in #winner. "
    [linked] = matching.matches(read(f"{brief}#ann, #bob and #cy link to their pages."))
    assert linked.piece == "random"
    assert "tallies" not in linked.plain()
    counted = pieces(f"{brief}#ann, #bob and #cy count how often each was drawn.")["random"]
    assert counted["tallies"] == {"Ann": "ann", "Bob": "bob", "Cy": "cy"}


def test_an_amount_of_money_by_the_hour_is_no_unit_of_time() -> None:
    brief = (
        "The number box with id hours and the button #go. The element with id pay shows the pay for so many hours: an "
        "hour is 12 euros. The element with id minutes shows the same in minutes."
    )
    assert "pay" not in {one["id"] for one in pieces(brief).get("conversion", {"amounts": []})["amounts"]}


def test_two_lights_of_one_colour_are_no_states() -> None:
    lights = "The elements with ids red1, yellow1, green1, red2, yellow2 and green2 are the lights."
    assert "states" not in pieces(f"Two traffic lights. The button #next goes on. {lights}")


@pytest.mark.parametrize(
    ("told", "ends"),
    [("It is open from 9 to 17 on working days.", (None, None)), ("", (None, None))],
)
def test_the_ends_of_a_counter_are_told_beside_it(told: str, ends: tuple[int | None, int | None]) -> None:
    piece = pieces(f"A counter. The buttons #plus and #minus change #count, 1 at first. {told}")["counter"]
    assert (piece.get("least"), piece.get("most")) == ends


def test_the_ends_of_a_counter_in_its_own_sentence_count() -> None:
    piece = pieces("A counter. The buttons #plus and #minus change #count from 0 to 9, 1 at first.")["counter"]
    assert (piece["least"], piece["most"]) == (0, 9)


@pytest.mark.parametrize(
    ("told", "once", "sorts"),
    [
        ("A double click on the button must not add it twice.", None, None),
        ("The same item cannot be added twice.", True, None),
        ("Duplicates are refused.", True, None),
        ("They are sorted by hand.", None, None),
        ("They are sorted.", None, True),
        ("It is in alphabetical order.", None, True),
    ],
)
def test_a_list_refuses_and_sorts_where_the_brief_says_so(told: str, once: bool | None, sorts: bool | None) -> None:
    reading = read(f"Shopping. The box #item and the button #add put an li into the ul #list. {told}")
    plan = matching.plans(reading)[0]
    rules = plan.get("rules", {}).get("rules", [])
    listed = {"of": "item", "is": "listed", "value": "list"}
    assert any(listed in rule.get("when", []) for rule in rules) == bool(once)
    assert plan["pieces"][0].get("sorts") == sorts


def test_pages_of_a_file_are_no_slides() -> None:
    menu = '[{"name": "Soup", "price": 4}, {"name": "Pie", "price": 5}]'
    brief = (
        "Show menu.json. Each dish is a div with class dish in #menu with its name and price. The buttons #next and "
        "#back show four per page."
    )
    assert "slides" not in pieces(brief, {"menu.json": menu})


def test_the_title_of_a_page_is_no_slide() -> None:
    brief = 'The element #joke shows a joke. The button #next shows the next: "Why?", "Knock". The title reads "Jokes".'
    assert pieces(brief)["slides"]["entries"] == ["Why?", "Knock"]


@pytest.mark.parametrize(
    ("brief", "piece"),
    [
        ("Seconds to minutes: the box #sec takes seconds, #min shows the minutes with one decimal.", "text"),
        (
            "A reaction test. The button #start; after a random time between 1 and 5 seconds #light turns green. "
            "#result shows the milliseconds.",
            "random",
        ),
        (
            'A word guessing game: #word shows "_ _ _". The box #letter takes a letter, the button #guess tries it. '
            "#tries shows tries left, 6 at first.",
            "guess",
        ),
        (
            "The textarea #text is saved in localStorage under the key my-notes when #save is pressed. "
            '#state says "Saved at 12:30" with the time.',
            "message",
        ),
    ],
)
def test_a_word_of_a_brief_alone_chooses_no_piece(brief: str, piece: str) -> None:
    assert piece not in pieces(brief)


@pytest.mark.parametrize(
    "brief",
    [
        "How many minutes does a speech of mine last? The textarea #speech takes it. #count shows its words and "
        "#minutes the minutes, at 130 words a minute.",
        "Estimate the time to read an article: textarea #article, words in #total-words, whole minutes in #minutes.",
    ],
)
def test_the_minutes_of_a_text_are_told_by_its_reading_or_its_pace(brief: str) -> None:
    text = pieces(brief)["text"]
    assert {result["what"] for result in text["results"]} == {"words", "minutes"}
    assert text.get("perMinute") == (130 if "130" in brief else None)


def test_the_sides_of_a_coin_and_words_beside_a_count_are_those_of_the_brief() -> None:
    told = pieces(
        'Coin flip. The button #flip shows "Kopf" or "Zahl" in #side. The element #count says "Flips: 0" at first.'
    )["random"]
    assert (told["choices"], told["counted"]) == (["Kopf", "Zahl"], {"before": "Flips: "})


def test_the_errors_of_a_form_stand_in_an_element_of_that_name() -> None:
    brief = (
        "A form. The boxes #name and #mail and the button #send. #sent says thanks. Errors stand in #errors. "
        "All fields are required."
    )
    told = pieces(brief)["validation"]
    assert told["problem"] == "errors"
    assert "email" in [check["rule"] for check in field(told, "mail")["checks"]]


def test_the_text_of_a_dialog_and_of_a_step_is_there() -> None:
    for brief in (
        'The button #open opens a dialog with id box with the text "Really book?" and the button #close.',
        'A wizard with steps. The buttons #next and #back. #step1 says "Really book?", #step2 says "Thanks".',
    ):
        reading = read(brief)
        assert ">Really book?</div>" in page.html(reading, matching.plans(reading)[0])


def shown(reading: Reading, code: str) -> list[tuple[str, str | None]]:
    """The checks that the page of the first plan fails in a browser."""
    files = {**page.pages(reading, matching.plans(reading)[0]), STYLE: style()}
    assert BROWSER is not None
    seen = look(files, [Check(code, code)], browser=BROWSER, timeout_s=60)
    return [(one.verdict, one.reason) for one in seen.outcomes if one.verdict != "passed"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize(
    ("brief", "code"),
    [
        (  # a row is refused with a sign at its box
            "The number box #amount, the box #what and the button #add put a row into the table #rows.",
            "(() => { what.value = 'x'; add.click(); const told = amount.validationMessage; amount.value = '2'; "
            "amount.dispatchEvent(new Event('input')); add.click(); return told !== '' && "
            "document.activeElement === amount && document.querySelectorAll('#rows tbody tr').length === 1; })()",
        ),
        (  # spent amounts are taken away
            "The number box #amount and the select #kind with deposit and withdrawal. The button #add puts a row into "
            "the table #rows. #balance shows the balance.",
            "(() => { const put = (a, k) => { amount.value = a; kind.value = k; add.click(); }; put('10', 'deposit'); "
            "put('3', 'withdrawal'); return balance.textContent === '7'; })()",
        ),
        (  # a dialog without a button to close it
            "A hotel: the button with id book opens a dialog with id confirm-box with the text "
            '"Really book?" and the buttons with ids yes and no.',
            "(() => { book.click(); const box = document.querySelector('#confirm-box'); return !box.hidden && "
            "box.getAttribute('aria-label') !== null; })()",
        ),
        (  # parts that no button is are reached by the keyboard
            "The rating with five spans with class star in the element with id stars. #chosen shows the rating.",
            "(() => { const star = document.querySelectorAll('.star')[2]; star.focus(); star.dispatchEvent(new "
            "KeyboardEvent('keydown', {key: 'Enter', bubbles: true})); return document.activeElement === star && "
            "star.getAttribute('role') === 'button' && chosen.textContent.includes('3'); })()",
        ),
        (  # an address that runs code is no link
            "Links. Box #name, box #url, button #add. Each link is a li with a link in the ul #links.",
            "(() => { document.querySelector('#name').value = 'x'; url.value = 'javascript:alert(1)'; add.click(); "
            "return links.querySelector('a') === null; })()",
        ),
    ],
)
def test_a_page_of_pieces_refuses_and_answers(brief: str, code: str) -> None:
    assert shown(read(brief), code) == []
