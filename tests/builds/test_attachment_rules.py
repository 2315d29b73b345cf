"""Which attachments a brief says to work on: in any verb, and never the data that it only uses."""

from __future__ import annotations

import pytest

from service.builds.brief import Attachment
from service.builds.generate import unchanged
from service.builds.generate.attachment_rules import to_change
from service.builds.verify import check_repository

PAGE = Attachment("index.html", "text/html", b"<p>")
OTHER = Attachment("page.html", "text/html", b"<p>")
SCRIPT = Attachment("app.js", "text/javascript", b"x")
CSV = Attachment("data.csv", "text/csv", b"a,b\n")
PNG = Attachment("photo.png", "image/png", b"\x89")


@pytest.mark.parametrize(
    ("brief", "attachments", "changed"),
    [
        ("Add a reset button to the attached index.html.", (PAGE,), ["index.html"]),
        ("Give the attached page a dark mode.", (PAGE,), ["index.html"]),
        ("Put a search box above the table in index.html", (PAGE, CSV), ["index.html"]),
        ("The attached index.html throws an error when it opens.", (PAGE,), ["index.html"]),
        ("Make index.html responsive and show data.csv in it.", (PAGE, CSV), ["index.html"]),
        ("Fix the attached page", (OTHER,), ["page.html"]),
        ("Internationalise the attached file.", (OTHER,), ["page.html"]),
        ("Speed up app.js and leave the rest.", (PAGE, SCRIPT), ["app.js"]),
        ("Please fix a bug in app.js and index.html.", (PAGE, SCRIPT), ["index.html", "app.js"]),
        ("Publish the attached index.html with a footer added.", (PAGE,), ["index.html"]),
        ("Fix the typos in data.csv and show it.", (CSV,), ["data.csv"]),
        ("Append a row with the total to data.csv.", (CSV,), ["data.csv"]),
        ("Use the attached data.csv for a chart.", (CSV,), []),
        ("Update the page with the values of data.csv.", (CSV,), []),
        ("Add a table with the values in data.csv.", (CSV,), []),
        ("Add a download link to data.csv.", (CSV,), []),
        ("Sort the rows of data.csv by date on the page.", (CSV,), []),
        ("Show photo.png and make its frame round.", (PNG,), []),
        ("Create a page that uses the attached app.js.", (SCRIPT,), []),
        ("Publish the attached index.html as is.", (PAGE,), []),
        ("Add a page beside index.html. Do not change index.html.", (PAGE,), []),
        ("Show the attached index.html in a frame.", (PAGE,), []),
        ("Show a clock.", (PAGE, CSV), []),
    ],
)
def test_an_attachment_is_worked_on_where_the_brief_says_so(
    brief: str, attachments: tuple[Attachment, ...], changed: list[str]
) -> None:
    assert [each.name for each in to_change(brief, attachments)] == changed
    assert not {*changed} & {each.name for each in unchanged(brief, attachments)}


@pytest.mark.parametrize(
    ("brief", "kept"),
    [("Show a clock.", ["data.csv"]), ("Serve index.html unchanged, and a clock.", ["index.html", "data.csv"])],
)
def test_a_page_that_nothing_is_said_of_may_be_worked_on(brief: str, kept: list[str]) -> None:
    assert [each.name for each in unchanged(brief, (PAGE, CSV))] == kept


def test_an_attachment_that_was_to_be_changed_and_was_not_is_a_failure() -> None:
    found = check_repository({"index.html": PAGE.data}, [], [PAGE])
    assert found["index.html is changed as the brief asks"].verdict == "failed"
    assert (
        check_repository({"index.html": b"<b>"}, [], [PAGE])["index.html is changed as the brief asks"].verdict
        == "passed"
    )
