"""Foreign text is read in a time that grows with its length. `re` holds Python's lock while it searches, so one endless
search would stop the whole service."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from service.builds import rounds, secrets_scan
from service.builds.brief import Attachment
from service.builds.generate import UnusableAnswer, attachment_rules
from service.builds.generate.answer_parser import parse_answer
from service.builds.generate.edits import split

HANGS_S = 5  # each of these takes milliseconds. Earlier the same text took more than 20 s


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    def expired(*_: object) -> None:
        raise TimeoutError("It does not come to an end.")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(HANGS_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def filled(part: str, size: int) -> str:
    return part * (size // len(part))


@pytest.mark.parametrize(
    "text",
    ["eyJ-", "eyJaaaaaaaaaa.eyJ-", "a-", "://a-", "X1: -----BEGIN PRIVATE KEY-----\n", "-----BEGIN A A ", "a://b:"],
)
def test_a_search_for_secrets_ends(text: str) -> None:
    secrets_scan.scan({"data.txt": b"://eyJ" + filled(text, 1_000_000).encode()}, ("a-secret-of-ours",))


def test_few_of_many_findings_are_told() -> None:
    token = "ghp_" + "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"
    assert len(secrets_scan.scan({"data.txt": f"{token}\n".encode() * 10_000})) == secrets_scan.MOST_TOLD


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJlLWhlcmU",
        "postgresql+psycopg://sam:Tr0ub4dor3@db7.corp:5432/x",
    ],
)
def test_a_secret_is_found_wherever_it_stands(text: str) -> None:
    for before in ('"', "=", "\n", " ", "(", "Bearer ", "url:"):
        assert secrets_scan.scan({"data.txt": f"{before}{text}".encode()}), before


def test_lost_elements_of_a_huge_page_are_found() -> None:
    page = b"".join(b"<a id=a%d>" % number for number in range(50_000))
    assert rounds.lost_ids({"index.html": page}, {"index.html": page.replace(b"=a7>", b"=b7>")}) == ["a7"]


@pytest.mark.parametrize(
    "body",
    ["/* ", "<script ", "<!doctype html ", "</html ", "\n", "[ aaaaaaaaaaaa\n", "<!--", "<pre>\n```\n", "<link href=<"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_page_of_one_thing_again_and_again_is_read(body: str, whole: bool) -> None:
    text = f"FILE: index.html\n```html\n<html><body>\n{filled(body, 60_000)}\n</body></html>\n```\n"
    with suppress(UnusableAnswer):
        parse_answer(text, {}, set(), whole=whole)


@pytest.mark.parametrize("said", ["rest code ", "same rest ", "the ", "is all ", "-"])
def test_a_long_comment_is_read(said: str) -> None:
    text = f"FILE: index.html\n```html\n<html><body>\n<!--{filled(said, 60_000)}-->\n</body></html>\n```\n"
    assert "index.html" in parse_answer(text, {}, set())


@pytest.mark.parametrize("line", ["_" * 199, "file " + "_" * 190, "-" * 99 + "." * 99 + ":", '"' * 99 + "_" * 99])
def test_lines_above_fences_that_name_no_file_are_read(line: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_answer(filled(f"{line}\n```\n", 60_000), {}, set())


@pytest.mark.parametrize("info", ["a/", "a ", "a.1"])
def test_a_long_line_behind_a_fence_is_read(info: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_answer(f"```{filled(info, 60_000)}\n<p>\n```\n", {}, set())


def test_a_long_line_above_an_edit_is_read() -> None:
    edits, _ = split(filled("-", 100_000) + "\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n")
    assert [edit.path for edit in edits] == [None]


def test_blank_lines_in_an_edit_are_looked_for_once() -> None:
    page = b"<div>\n" + b"          \n" * 20 + b"x\n"
    edit = "FILE: index.html\n<<<<<<< SEARCH\n<div>" + "\n" * 21 + "y\n=======\nz\n>>>>>>> REPLACE\n"
    with pytest.raises(UnusableAnswer, match="occurs 0 times"):
        parse_answer(edit, {"index.html": page}, set())


def test_a_brief_that_names_a_file_again_and_again_is_read() -> None:
    given = (Attachment("a.js", "text/javascript", b"x"),)
    assert attachment_rules.to_change("fix " + filled("a.js ", 50_000), given) == given


def test_a_comment_that_never_ends_hides_no_other() -> None:
    page = '<html><body><input accept="image/*">\n<!-- rest of the code remains the same -->\n</body></html>'
    with pytest.raises(UnusableAnswer, match="excerpt"):
        parse_answer(f"FILE: index.html\n```html\n{page}\n```\n", {}, set())
