"""Fits of games, lists and tools: the words that they take, and those that they leave to a model."""

from __future__ import annotations

import pytest

from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.clauses import TOO_LONG
from service.builds.generate.blocks.fit_data import FIGURES, columns, numeric
from service.builds.generate.blocks.fitting import PieceFit
from service.builds.generate.blocks.reading import read
from tests.builds.test_fits import pieces


@pytest.mark.parametrize(
    ("brief", "other"),
    [
        ("Conway's game of life on a torus: the div #grid has 9 rows of 9 buttons of class cell, living ones have the "
         "class alive. The button #step computes the next generation.", "life"),
        ("My life. A page about the game of chess with a button #step and a div #grid.", "life"),
        ("A snake that wraps around on the canvas #game. #score counts the food.", "snake"),
        ("A page about the adder, a snake. The canvas #map shows where it lives.", "snake"),
        ("A diary of the mines. The button #open opens the div #field. #state says which mine.", "minefield"),
        ("The secret word is shown to members. The box #letter takes a letter to us, the button #send sends it, #state "
         "says that it was sent.", "hangman"),
        ("Book club. The list #books, the box #title, a date input #day and the button #book. #notice says what is "
         "missing.", "appointments"),
        ("Find and replace with regular expressions: #text, #find, #replace, the button #run, #result.", "replacement"),
        ("A dictionary. The boxes #from and #to take words, the button #go, #result says which one to replace.",
         "replacement"),
        ("The select #theme offers light and dark and sets data-theme of the html element. The input #name has a name.",
         "preferences"),
        ("Four tabs: Home, News, Shop and Help. The buttons #a, #b, #c and #d.", "tabs"),
        ("The box #city. The list #hits has suggestions for trips.", "suggestions"),
        ("The box #tag takes a tag, the button #add adds a row with it to the table #rows.", "tags"),
        ("My favourites. The list #ranking has Tea, Coffee and Water.", "ranking"),
    ],
)  # fmt: skip
def test_a_piece_that_does_not_know_a_part_leaves_the_brief_to_others(brief: str, other: str) -> None:
    assert other not in pieces(brief)


def test_rows_that_are_few_are_those_of_the_column_that_is_counted() -> None:
    files: dict[str, str | None] = {"stock.csv": "item,stock,price\nTea,12,3.50\n"}
    told = "The table #stock shows stock.csv. Rows with fewer than 5 pieces have the class low."
    assert pieces(told, files)["data"]["below"] == {"column": "stock", "number": 5}
    assert "below" not in pieces("The table #stock shows stock.csv, fewer than 5 days old.", files)["data"]


@pytest.mark.parametrize(
    ("brief", "kinds"),
    [
        ("Inputs: width in cm (#width), height in cm (#height). #area is the area.", ["input", "input", "output"]),
        ("The button #skip takes another word, #n takes a number.", ["button", "input"]),
        ("#undo takes a glass away.", ["button"]),
        ("A light, the box #light, turns red. The box #name turns up first.", ["input", "input"]),
        ("The box #light turns red.", ["box"]),
        ("Its answers as buttons in #answers.", ["output"]),
        ("The progress element #done.", ["progress"]),
    ],
)
def test_kinds_of_elements_are_read_in_further_words(brief: str, kinds: list[str]) -> None:
    assert [one.kind for one in read(brief).elements] == kinds


@pytest.mark.parametrize(
    "brief",
    [
        "Conway's game of life: the div #world has 9 rows of 9 buttons of class square, living ones have the class on. "
        "A click toggles it. #next computes the next generation.",
        "CSS gradient maker. Two colour fields #from (#ff0000) and #to (#0000ff). #preview shows the gradient, and "
        "#css the line to copy, e.g. linear-gradient(90deg, #ff0000, #0000ff).",
    ],
)
def test_the_effects_that_a_piece_sees_to_itself_are_no_rules_beside_it(brief: str) -> None:
    assert "rules" not in matching.plans(read(brief))[0]


def fits(brief: str, *files: str) -> dict[str, PieceFit]:
    """All pieces that fit, whether or not a plan takes them."""
    return {one.piece: one for one in matching.matches(read(brief, [], {name: FILES[name] for name in files}))}


FILES: dict[str, str | None] = {
    "words.txt": "apple\npear\n",
    "ideas.json": '["a", "b"]',
    "cities.csv": "id,city,country\n1,Rome,Italy\n2,Oslo,Norway\n",
    "product.json": '{"name": "Cup", "price": 3, "stock": 5}',
    "votes.csv": "name,votes\nA,1\nB,2\n",
    **dict.fromkeys(("a.png", "b.png", "c.png")),
}
HANGMAN = (
    "Hangman, letter by letter. #word shows underscores, the box #letter takes a letter, the button #try guesses it. "
)
SQUARES = "the div #board has 5 rows of 5 squares of class cell. "
SCRAMBLE = "#scrambled shows the letters mixed. The player types into #answer and presses #check; #verdict says "


@pytest.mark.parametrize(
    ("brief", "piece", "fit"),
    [
        ("Snake identification guide: the list #snakes, the canvas #map shows where, #score shows how many you know.",
         "snake", False),
        ("A snake game on the canvas #c. #score counts.", "snake", True),
        ("A snake on the canvas #game. #score counts its bones.", "snake", False),
        ("A snake on the canvas #c eats food. #score counts.", "snake", True),
        (f"Memory cards about mines: {SQUARES} There are 4 mines. #state says how many are found.", "minefield", False),
        (f"A map: {SQUARES} 3 mines are marked. #state says which one it is.", "minefield", False),
        (f"Minesweeper: {SQUARES} There are 4 mines. #state says who won.", "minefield", True),
        (f"{SQUARES} 4 mines are in it. A click opens a square, and a mine ends the game. #state says so.",
         "minefield", True),
        (f"Bingo: {SQUARES} The colour input #colour changes the background. A click marks one.", "paint", False),
        (f"{SQUARES} The colour input #colour. A clicked square gets the colour.", "paint", True),
        (f"{SQUARES} The colour input #colour. A click paints the cell.", "paint", True),
        ("A museum page about Conway's game of life: the div #grid has 4 rows of 5 pictures of class tile, the class "
         "active is that of the shown one. The button #next shows the next one.", "life", False),
        ("Conway's game of life: the div #grid has 4 rows of 5 cells of class cell, living ones have the class alive. "
         "The button #next computes the next generation.", "life", True),
        ("The textarea #text. The table #t has one row per word with its length. The button #go, and #n counts how "
         "often I pressed.", "frequency", False),
        ("The textarea #text. The table #t has one row per letter with how often it occurs.", "frequency", True),
        ("The textarea #text. The table #t says how often each word occurs.", "frequency", True),
        ("A diary search that replaces paper with a page: the textarea #text, #from and #to are boxes for dates, the "
         "button #go, #result shows the days.", "replacement", False),
        ("The textarea #text. A page that replaces our old one: the boxes #from and #to, the button #go, #result.",
         "replacement", False),
        ("The textarea #text. The button #go replaces what the box #from holds with the box #to, #result has the text.",
         "replacement", True),
        ("The svg #map of Europe. Open from Monday 9, Tuesday 10 and Sunday 11 o'clock.", "data", False),
        ("The svg #map of Europe. Ferries: Monday 9, Tuesday 10 and Sunday 11.", "data", False),
        ("A chart in the svg #c. It opens at Monday 9, Tuesday 10 and Sunday 11 o'clock.", "data", False),
        ("A bar chart in the svg #c: Wind 42, Solar 18 and Hydro 25.", "data", True),
        ('Typing test. #sample holds "The quick brown fox". The input #typed, #speed gives the words per minute. The '
         "test ends after 60 seconds.", "typing", False),
        ('Typing test. #sample holds "The quick brown fox". The input #typed, #speed gives the words per minute.',
         "typing", True),
        ("The nav #menu has links to the sections #about and #hours. The section #about tells how it began.",
         "menu", False),
        ("The nav #menu has links to the sections #about and #hours.", "menu", True),
    ],
)  # fmt: skip
def test_a_word_alone_chooses_no_piece(brief: str, piece: str, fit: bool) -> None:
    assert (piece in fits(brief)) is fit


@pytest.mark.parametrize(
    ("brief", "file", "column"),
    [
        ("People type a suggestion in #suggestion and press #send. It appears in the list #list.", "ideas.json", None),
        ("Suggestions of trips are in the list #list. The box #city.", "cities.csv", None),
        ("Suggestions in the list #list while I type into #box.", "cities.csv", "city"),
        ("While I type into #box, the list #list suggests each country of cities.csv.", "cities.csv", "country"),
        ("While I type into #box, the list #list suggests the cities, not a country.", "cities.csv", "city"),
    ],
)
def test_suggestions_follow_what_is_typed_and_come_from_a_column_of_texts(
    brief: str, file: str, column: str | None
) -> None:
    fit = fits(brief, file).get("suggestions")
    assert (fit and fit.options["column"]) == column


@pytest.mark.parametrize(
    ("brief", "files", "words"),
    [
        (HANGMAN + "The word is guessed and comes from words.txt. #result.", ["words.txt"], "words.txt"),
        (HANGMAN + "The word is guessed by letters. #result.", [], None),
        (HANGMAN + "The secret word is revealed at the end. #result.", [], None),
        (HANGMAN + "The secret word is LANTERN. #result.", [], ["LANTERN"]),
        (HANGMAN + "The hidden word is garden. #result.", [], ["garden"]),
        (HANGMAN + 'The word is "mixed". #result.', [], ["mixed"]),
        (HANGMAN + "The words are guessed, missed and passed. #result.", [], None),
        (HANGMAN + 'The word is "planet". Words come from words.txt. #result.', ["words.txt"], "words.txt"),
    ],
)
def test_the_word_of_a_game_is_quoted_or_named_as_the_secret_one(
    brief: str, files: list[str], words: list[str] | str | None
) -> None:
    fit = fits(brief, *files).get("hangman")
    assert (fit and (fit.options["words"] or fit.options["file"])) == words


def test_a_word_that_is_mixed_anew_is_not_the_word_mixed() -> None:
    brief = f"Word scramble. {SCRAMBLE} Right. The word is mixed anew."
    assert "scramble" not in fits(brief)
    assert fits(f"{brief} It is one of words.txt.", "words.txt")["scramble"].options["file"] == "words.txt"


@pytest.mark.parametrize(
    ("told", "texts"),
    [
        (
            '#result says "You have won" or "Game over". The button "Start over" (#again).',
            ("You have won", "Game over"),
        ),
        ('The button "Start over" (#again). #result says who won.', ("You win", "You lose")),
        ('The button #again "All over again". #result says "Yes, right!" or "Over!".', ("Yes, right!", "Over!")),
        ('A note says "No worries". #result says who won.', ("You win", "You lose")),
    ],
)
def test_the_words_of_an_end_are_those_of_its_output_and_no_label(told: str, texts: tuple[str, str]) -> None:
    options = fits(f'{HANGMAN} The word is "apple". {told}')["hangman"].options
    assert (options["wonText"], options["lostText"]) == texts


@pytest.mark.parametrize(
    ("told", "closed"),
    [
        ("Open Monday to Friday, closed at weekends.", [0, 6]),
        ("Monday, Tuesday and Friday open, Saturday and Sunday closed.", [0, 6]),
        ("It is open on Monday and closed on Sunday.", [0]),
        ("Closed on Sunday, open Monday to Friday.", [0]),
        ("Closed Saturday to Monday.", [0, 1, 6]),
        ("For a Saturday or Sunday, #notice says that we are closed and no times are offered.", [0, 6]),
        ("On Mondays it is not open.", [1]),
        ("Open Monday to Friday.", []),
    ],
)
def test_closed_days_are_those_of_the_clause_that_says_so(told: str, closed: list[int]) -> None:
    brief = (
        "Book an appointment. The date input #day. #times has buttons 09:00, 10:00 and 11:00. The button #book books "
        f"it for the name typed into #who. The list #booked. #notice says what is missing. {told}"
    )
    assert fits(brief)["appointments"].options["closed"] == closed


@pytest.mark.parametrize(
    ("told", "most"),
    [("A tag has at most 12 characters.", None), ("At most 5 tags are taken.", 5), ("Up to five tags.", 5)],
)
def test_the_most_tags_are_no_characters(told: str, most: int | None) -> None:
    brief = "Typing a word into #tag and pressing #add puts it into #tags as a span of class tag. "
    assert fits(brief + told)["tags"].options["most"] == most


GALLERY = "A gallery of a.png, b.png and c.png. The div #thumbs has small pictures. The img #large. #position shows"


@pytest.mark.parametrize(
    ("told", "form"),
    [("1 of 3", "{at} of {all}"), ("1 / 3", "{at} / {all}"), ("Picture 1 of 3", "Picture {at} of {all}"), ("it", None)],
)
def test_the_place_of_a_picture_has_the_form_of_the_brief(told: str, form: str | None) -> None:
    assert fits(f"{GALLERY} {told}.", "a.png", "b.png", "c.png")["gallery"].options["positionText"] == form


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        ("name, seats and percent", ["party", "seats", "share"]),
        ("party, votes, share of all votes (e.g. 12.5 %), seats", ["party", "votes", "share", "seats"]),
        ("name, colour and seats", None),
        ("name and votes", None),
    ],
)
def test_a_table_of_seats_has_the_columns_of_the_brief(columns: str, kinds: list[str] | None) -> None:
    brief = f"The table #t has the columns {columns}. The number input #seats deals them out by D'Hondt, votes.csv."
    fit = fits(brief, "votes.csv").get("seats")
    assert (fit and [one["what"] for one in fit.options["shown"]]) == kinds


@pytest.mark.parametrize(
    ("brief", "more"),
    [
        ("Product from product.json: #name, #price, #stock.", "The button #buy lowers the stock by one."),
        (f"{GALLERY} 1 of 3.", "The button #delete removes the chosen picture."),
        (f"{GALLERY} 1 of 3.", "#left shows how many are left."),
        ("The list #ranking starts with Tea, Coffee and Water, with buttons Up (class up) and Down (class down).",
         "The button #shuffle mixes it."),
        ('Typing test. #sample holds "The quick brown fox". The input #typed, #speed gives the words per minute.',
         "#time shows the time."),
        ("A snake on the canvas #c eats food. #score counts.", "The checkbox #fast."),
    ],
)  # fmt: skip
def test_a_plan_that_leaves_a_control_or_an_output_without_work_is_none(brief: str, more: str) -> None:
    files = {name: FILES[name] for name in FILES if name in brief}
    assert matching.plans(read(brief, [], files))
    assert matching.plans(read(f"{brief} {more}", [], files)) == []


def test_a_button_that_a_rule_disables_is_no_reason_against_a_plan() -> None:
    brief = "The element #words shows how many words the textarea #text has."
    assert matching.plans(read(brief))
    assert matching.plans(read(f"{brief} The button #copy is disabled as long as the text is empty."))


@pytest.mark.parametrize("name", ["a.json", "texts.json"])
@pytest.mark.parametrize("text", [1000 * "[" + 1000 * "]", "{", "7", '"a"', "null"])
def test_a_file_that_is_no_list_of_entries_fits_no_piece_of_data(name: str, text: str) -> None:
    """Lists in lists are nested deeper than they can be read."""
    brief = (
        f"The file {name} has rates in several languages: the select #language, the input #amount, the selects #from "
        "and #to, the number input #seats, the list #list, the table #table of parties by D'Hondt, #total the sum."
    )
    reading = read(brief, files={name: text})
    for plan in matching.plans(reading):
        page.pages(reading, plan)
    assert columns(name, text) == numeric(name, text) == []
    assert not {"data", "facts", "pricelist", "seats"} & set(pieces(brief, {name: text}))


def test_patterns_over_a_whole_brief_are_read_as_far_as_their_bounds() -> None:
    """Without them a long brief of one word takes steps by the square of its length."""
    figures, excess = "{} 1, Solar 2 and Hydro 3", "more than 10 {}class"
    assert FIGURES.search(figures.format("Wind"))
    assert FIGURES.search(figures.format("W" * 300)) is None
    assert TOO_LONG.search(excess.format("in a "))
    assert TOO_LONG.search(excess.format(100 * "in a ")) is None
