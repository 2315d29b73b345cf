"""JSON pointers against RFC 6901's own examples."""

from __future__ import annotations

from typing import Any

import pytest

from service import json_pointer
from service.errors import MAX_NAME, MAX_POINTER

# RFC 6901, section 5. The document and its pointers, then the same as URI fragments from section 6.
DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip
POINTERS = {
    "": DOCUMENT, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/e^f": 3, "/g|h": 4,
    "/i\\j": 5, '/k"l': 6, "/ ": 7, "/m~0n": 8,
}  # fmt: skip
FRAGMENTS = {
    "#": DOCUMENT, "#/foo": ["bar", "baz"], "#/foo/0": "bar", "#/": 0, "#/a~1b": 1, "#/c%25d": 2, "#/e%5Ef": 3,
    "#/g%7Ch": 4, "#/i%5Cj": 5, "#/k%22l": 6, "#/%20": 7, "#/m~0n": 8,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), POINTERS.items())
def test_the_examples_of_the_standard(text: str, value: Any) -> None:
    assert json_pointer.follow(DOCUMENT, text)[0] == value


@pytest.mark.parametrize(("text", "value"), FRAGMENTS.items())
def test_the_fragments_of_the_standard(text: str, value: Any) -> None:
    assert json_pointer.follow_reference(DOCUMENT, text)[0] == value


@pytest.mark.parametrize(
    "text",
    ["/no", "/foo/2", "/foo/-1", "/foo/-", "/foo/00", "/foo/01", "/foo/²", "/foo/٠", "/foo/ 1", "/foo/1_0", "/foo/bar",
     "/foo/" + "9" * 5000, "/foo/0/x", "//x"],
)  # fmt: skip
def test_a_place_that_is_not_there(text: str) -> None:
    with pytest.raises(LookupError):
        json_pointer.follow(DOCUMENT, text)


@pytest.mark.parametrize("reference", ["", "other.json", "other.json#/foo", "#foo", "https://example.org/schema#/foo"])
def test_a_reference_elsewhere_is_not_followed(reference: str) -> None:
    with pytest.raises(LookupError):
        json_pointer.follow_reference(DOCUMENT, reference)


def test_a_path_has_numbers_where_the_document_has_lists() -> None:
    assert json_pointer.follow({"0": [{"1": "x"}]}, "/0/0/1") == ("x", ("0", 0, "1"))


def test_any_name_survives_writing_and_reading() -> None:
    """`~1` is escaped after `~`, and read before it, so that no name becomes another one."""
    names = ["~", "/", "~0", "~1", "~01", "a/b~c", "", "ü"]
    assert json_pointer.parts(json_pointer.pointer(names)) == names


def test_a_pointer_in_an_error_is_short() -> None:
    """The name that a caller wrote is cut before it is escaped, and the end of a long path is the part that helps."""
    assert json_pointer.pointer(["x" * (MAX_NAME + 1), 3]) == "/" + "x" * MAX_NAME + ".../3"
    assert json_pointer.pointer(["x" * MAX_NAME]) == "/" + "x" * MAX_NAME
    text = json_pointer.pointer(["deep"] * 999 + ["end"])
    assert text.startswith("/...")
    assert text.endswith("/deep/end")
    assert len(text) == MAX_POINTER + 4
