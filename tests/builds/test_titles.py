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
        ("", "Task 7"),
    ],
)
def test_a_title_is_the_name_of_the_thing(brief: str, told: str) -> None:
    assert title(brief, "task-7") == told
