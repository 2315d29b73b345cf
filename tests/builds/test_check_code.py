"""The code of a check: the ids that it names, also in calls of its own helpers."""

from __future__ import annotations

import pytest

from service.builds.check_code import LONGEST_BODY, ids, written_out


@pytest.mark.parametrize(
    "code",
    [
        "document.getElementById('go').click() || document.querySelector('#out').textContent === '1'",
        "(() => { const $ = id => document.getElementById(id); $('go').click(); return $('out').textContent; })()",
        "(() => { const $ = (s) => document.querySelector(s); $('#go').click(); return $('#out').textContent; })()",
        "(() => { const press = id => document.querySelector('#' + id).click(); press('go'); return text('out');"
        " function text(id) { return document.querySelector(`#${id}`).textContent.trim(); } })()",
    ],
    ids=["plain", "getElementById", "selector", "two helpers"],
)
def test_ids_are_found_in_every_spelling(code: str) -> None:
    assert sorted(ids(code)) == ["go", "out"]


def test_a_helper_that_finds_no_element_and_a_colour_name_no_id() -> None:
    code = "(() => { const twice = n => 2 * n; twice('no'); return document.body.style.color === '#a0b1c2'; })()"
    assert ids(code) == []


def test_a_tag_that_a_helper_selects_is_no_id() -> None:
    code = (
        "(() => { const $ = s => document.querySelector(s), all = s => [...document.querySelectorAll(s)];"
        " $('#go').click(); return $('h1') && all('li').length === 2; })()"
    )
    assert ids(code) == ["go"]
    assert "#h1" not in written_out(code)


def test_a_use_through_a_helper_and_a_variable_is_written_out() -> None:
    """A check tells the kind of an element by its use."""
    code = (
        "(() => { const put = (id, v) => { const e = document.getElementById(id); e.value = v; }; put('w', '70'); })()"
    )
    assert "document.querySelector('#w').value =" in written_out(code)


def test_brackets_that_never_close_are_read_to_the_end() -> None:
    assert ids("const $ = id => { document.getElementById(id).click(; $('go')") == ["go"]


def test_a_body_that_does_not_end_is_read_so_far_and_no_further() -> None:
    code = "const $ = id => { document.getElementById(id); " + 50_000 * " " + " $('go')"
    assert len(written_out(code)) < len(code) + LONGEST_BODY + 100


def test_the_target_of_a_link_in_a_text_is_no_element_of_the_page() -> None:
    assert ids("""box.value = '<a href="#f">f</a> <a href=\\"#g\\">'; document.querySelector('#out')""") == ["out"]
    assert ids("document.querySelector('a[href=\"#about\"]')") == ["about"]
