"""Fits of games, lists and tools: the words that they take, and those that they leave to a model."""

from __future__ import annotations

import pytest

from service.builds.generate.blocks import matching
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
