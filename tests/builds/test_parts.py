"""The small parts: attachments byte-exact, edits all or none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.builds.brief import Brief, attachments, decode
from service.builds.generate import UnusableAnswer
from service.builds.generate.answer_parser import parse_answer
from service.errors import InputsError
from tests.builds.harness import brief


@given(st.binary(max_size=2000))
def test_an_attachment_is_the_bytes_that_were_meant(data: bytes) -> None:
    """Whatever the bytes, and with parameters in the type."""
    coded = base64.b64encode(data).decode()
    assert decode("a.bin", f"data:application/octet-stream;name=a.bin;base64,{coded}").data == data


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", ".git/config", "a\\b", "LICENSE", "a\nb", "c:evil", "a//b"])
def test_an_attachment_cannot_leave_the_repository_or_replace_what_is_ours(name: str) -> None:
    """Each is refused with a pointer to its name."""
    given_ = Brief(**brief("https://example.com/", attachments=[{"name": name, "url": "data:,x"}]))
    with pytest.raises(InputsError) as refused:
        attachments(given_)
    assert refused.value.problems[0][0] == "/attachments/0/name"


@pytest.mark.parametrize("names", [("a", "a/b"), ("A/b", "a"), ("a", "A"), ("x", "index.html/a"), ("x", "README.md/a")])
def test_attachments_that_no_repository_could_hold_together_are_refused_at_the_door(names: tuple[str, str]) -> None:
    """A file is no folder: said with a pointer to the second one, and not when the build is to be pushed."""
    both = [{"name": name, "url": "data:,x"} for name in names]
    with pytest.raises(InputsError) as refused:
        attachments(Brief(**brief("https://example.com/", attachments=both)))
    assert [where for where, _ in refused.value.problems] == ["/attachments/1/name"]


@pytest.mark.parametrize("url", ["http://example.com/a", "file:///etc/passwd", "data:text/plain;base64,###"])
def test_only_data_uris_are_attachments(url: str) -> None:
    """Nothing is fetched for a sender."""
    with pytest.raises(ValueError, match=r"data:|base64"):
        decode("a", url)


def test_edits_are_all_applied_or_none() -> None:
    """The second block does not match, so the first changes nothing either."""
    first = "<<<<<<< SEARCH index.html\none\n=======\n1\n>>>>>>> REPLACE\n"
    text = first + "<<<<<<< SEARCH\nthree\n=======\n3\n>>>>>>> REPLACE\n"
    with pytest.raises(UnusableAnswer, match="0 times"):
        parse_answer(text, {"index.html": b"one\ntwo\n"}, set())
    assert parse_answer(text, {"index.html": b"one\nthree\n"}, set()) == {"index.html": b"1\n3\n"}


def test_an_edit_that_matches_twice_is_refused() -> None:
    """Which of the two was meant cannot be known."""
    with pytest.raises(UnusableAnswer, match="2 times"):
        parse_answer("<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n", {"index.html": b"x\nx\n"}, set())


@pytest.mark.parametrize("path", ["data.csv/x", "old.js/x", "docs", "LICENSE/x", "README.md/x"])
def test_an_answer_that_no_repository_could_hold_is_refused(path: str) -> None:
    """Next to an attachment, a file of the previous round, and our own files. The model is told and may try again."""
    answer = f"FILE: index.html\n```\n<p>\n```\nFILE: {path}\n```\nx\n```\n"
    with pytest.raises(UnusableAnswer, match="is a file and a folder"):
        parse_answer(answer, {"index.html": b"", "old.js": b"", "docs/a.md": b""}, {"data.csv"})


def test_files_of_an_answer_and_paths_that_leave_the_repository() -> None:
    """A marked file is taken, one outside is refused, and attachments are not overwritten."""
    answer = "FILE: index.html\n```html\n<p>hi</p>\n```\n\nFILE: data.csv\n```\nwrong\n```\n"
    assert parse_answer(answer, {}, {"data.csv"}) == {"index.html": b"<p>hi</p>\n"}
    with pytest.raises(UnusableAnswer):
        parse_answer("FILE: ../x\n```\na\n```\nFILE: index.html\n```\nb\n```", {}, set())
