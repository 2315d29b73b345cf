"""The elements that a brief names are demanded of the page, and nothing that it may make later is missed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.builds.page_elements import computes_ids, missing, named
from service.builds.verify import ELEMENTS, verify

BENCH = Path(__file__).resolve().parents[1] / "bench"
BRIEF = "The button (id go) counts. The list with id rows has the entries. #total is beside it."


def test_a_brief_demands_the_elements_of_which_it_tells_the_kind() -> None:
    assert named(BRIEF) == ("go", "rows")
    assert named("Remove the button (id go). Use the colour #abc. Show the text #sunset as a hashtag.") == ()


@pytest.mark.parametrize(
    "brief",
    [
        "Show each user's id in the first column.",
        "Sort the rows by id ascending.",
        "Fetch the user id from the API and show it.",
        "Generate a unique ID for every note.",
        "Post it in the list #general.",
    ],
)
def test_a_word_behind_id_is_no_element(brief: str) -> None:
    assert named(brief) == ()


@pytest.mark.parametrize(
    "page",
    [
        '<button id="go"></button><ul id=rows></ul>',
        "<script>ul.id = 'rows'; b.setAttribute('id', \"go\");</script>",
        "<script>document.body.innerHTML = `<button id=\"go\"><ul id='rows'>`;</script>",
        "<script>for (const name of ['go', 'rows']) make(name);</script>",
    ],
)
def test_an_element_may_be_written_or_made_later(page: str) -> None:
    assert missing({"index.html": page.encode()}, named(BRIEF)) == []


def computes(code: str) -> bool:
    return computes_ids({"index.html": code.encode()})


@pytest.mark.parametrize(
    "page",
    [
        "for (const name of names()) { const p = make(); p.id = name; }",
        'body.innerHTML = `<p id="${name}">`;',
        "body.innerHTML = '<p id=row-' + n + '>'; p.id = 'row-' + n;",
        "make('p', {class: 'x', id: prefix + n});",
        "make('p', {'id': 'row-' + n});",
        "make('p', {id: `row-${n}`});",
        "h('li.done', {id});",
        "Object.assign(document.createElement('p'), {id: names[0], hidden: true});",
        "p.setAttribute('id', name);",
        'el["id"] = names[0];',
        '<p :id="name"></p>',
        '<p v-bind:id="name"></p>',
        '<p [id]="name"></p>',
        "const part = <p id={name} />;",
        "const part = <p className='x' id={name} />;",
    ],
)
def test_ids_of_elements_that_only_the_running_page_knows(page: str) -> None:
    assert computes(page)


@pytest.mark.parametrize(
    "page",
    [
        "items.push({id: Date.now(), text});",
        "const task = {text, id: next++}; tasks = [...tasks, task];",
        "save('tasks', {id: crypto.randomUUID()});",
        'const rows = [{"id": 1.5}, {"id": -1}, {"id": null}];',
        "const id = {}; let id={}; const id = 'task-' + n;",
        "tasks.map(({id, text}) => text); function find(list, id, more) {}",
        'list.innerHTML = `<li data-id="${task.id}">`;',
        "make('p', {key: id, id: 'row'});",
        "if (task.id === id) remove(id);",
    ],
)
def test_ids_of_data_are_no_ids_of_elements(page: str) -> None:
    assert not computes(page)


def test_an_element_that_is_only_looked_up_or_told_of_is_missing() -> None:
    page = b"<p>#go</p><script>document.getElementById('go'); document.querySelector('#rows')</script>"
    page += b"<script>const rows_ = [{id: 1, x: 2}, {id: 'a'}];</script>"
    site = {"index.html": page, "README.md": b'<b id="go">', "vendor/a.js": b'"rows"'}
    assert missing(site, named(BRIEF)) == ["go", "rows"]


def test_a_missing_element_is_a_failure_of_its_own() -> None:
    def outcome(page: bytes, ids: tuple[str, ...]) -> list[tuple[str, str]]:
        report = verify({"index.html": page}, [], [], browser=None, timeout_s=1, named=ids)
        return [(one.verdict, one.reason) for one in report.outcomes if one.said == ELEMENTS]

    assert outcome(b"<b id=go>", ("go", "rows")) == [("failed", "nothing makes #rows")]
    assert outcome(b"<b id=go>", ("go",)) == [("passed", "as it should be")]
    list_app = b"<b id=go><script>tasks.push({id: Date.now(), text})</script>"
    assert outcome(list_app, ("go", "rows")) == [("failed", "nothing makes #rows")]
    later = b"<b id=go><script>p.id = name</script>"
    assert outcome(later, ("go", "rows")) == [("not judged", "the page computes ids, and may make #rows")]
    assert outcome(b"", ()) == []


@pytest.mark.parametrize("page", sorted((BENCH / "once_held_out").glob("*.html")), ids=lambda path: path.stem)
def test_pages_that_pass_their_briefs_lack_nothing(page: Path) -> None:
    brief = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["brief"]
    files = {"index.html": page.read_bytes()}
    assert computes_ids(files) or not missing(files, named(brief))
