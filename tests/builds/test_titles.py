"""Titles of pages: a short name of the thing that a brief is about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.builds.generate.blocks.titles import GENERIC, MOST_WORDS, title

BRIEFS = sorted(
    path
    for path in (Path(__file__).resolve().parents[1] / "bench").glob("*/*.json")
    if "brief" in json.loads(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", BRIEFS, ids=lambda path: path.stem)
def test_the_title_of_each_brief_is_a_short_name_in_its_words(path: Path) -> None:
    brief = json.loads(path.read_text(encoding="utf-8"))
    told = title(brief["brief"], brief["task"])
    assert 0 < len(told.split()) <= MOST_WORDS
    assert told.lower() not in GENERIC
    assert not told.lower().startswith(("i am", "my own", "build", "page", "please"))
    assert told == told.strip(" .,:;")
    for word in told.lower().split():
        assert word in f"{brief['brief'].lower()} {brief['task'].replace('-', ' ')}"


@pytest.mark.parametrize(
    ("brief", "told"),
    [
        ('A page with the title "Our boats".', "Our boats"),
        ("I want to keep my favourite films on a page of my own.", "Favourite films"),
        ("Could you please build me a small app that shows the tides of Dover? It has a button #go.", "Tides of Dover"),
        ("Build a page that makes anagrams for words.", "Anagrams for words"),
        ("We need a page over stock.csv (read with PapaParse). The table #stock has its rows.", "Stock"),
        ("Draw a pie chart of costs.csv into the svg #pie.", "Pie chart of costs"),
        ("Our bakery Kruimel wants a one-page site with a menu.", "Bakery Kruimel"),
        ("A landing page for a fictional garage named Blue Wheel, with a button.", "Blue Wheel"),
        ("Which day is it? The paragraph #day says it.", "Which day is it?"),
        ("A page. The box #weight takes a number.", "Weight"),
        ("Hello! Please make me a rhyme finder with a box #word.", "Rhyme finder"),
        (
            "A list of the birds, beetles and butterflies of the whole of Northern Ireland.",
            "Birds, beetles and butterflies",
        ),
        ("Make it work.", "Task 7"),
        ("Dr. Miller needs a form for patients.", "Form for patients"),
        ("U.S. states quiz", "U.S. states quiz"),
        ("A page about St. Petersburg with a box #x.", "St. Petersburg"),
        ("Mrs. Smith's bakery needs a page with a menu.", "Mrs. Smith's bakery"),
        ("Show e.g. a list of 10 primes", "10 primes"),
        ("There is a button #go.", "Go"),
        ("There is a quiz about birds.", "Quiz about birds"),
        ("A list of all is in #l", "Task 7"),
        ("On a click on #go the box #a turns red.", "Go"),
        ("When the visitor presses #go, the box turns red. A page about trees.", "Trees"),
        ("As a teacher, I want to enter marks with a box #mark.", "Enter marks"),
        ("Hi, my name is Tom. Please make a page about bees.", "Bees"),
        ("My name is Tom and I want a page about my cat.", "Cat"),
        ("We're a small band and need a page for our tour dates.", "Tour dates"),
        ("I'm a nurse. Build a drug dose calculator with a box #dose.", "Drug dose calculator"),
        ("Add up the numbers in data.csv and show the sum in #sum.", "Numbers in data"),
        ("Please build me an app called lunchBox for my kids.", "lunchBox"),
        ("A game called tic tac toe with nine buttons.", "Tic tac toe"),
        ("A gallery of a.png, b.png and c.png. The div #thumbs has them.", "Gallery"),
        ('A greeter: the heading shows "Hello, Ann" when Ann is typed', "Greeter"),
        ('If the box is empty the heading says "Type a name".', "Task 7"),
        ('The heading says "Welcome". If the box #a is empty it is red.', "Welcome"),
        ("", "Task 7"),
    ],
)
def test_a_title_is_the_name_of_the_thing(brief: str, told: str) -> None:
    assert title(brief, "task-7") == told
