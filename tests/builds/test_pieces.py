"""The pieces: the elements of a brief, the pieces that fit them, their pages, and the limits of a formula."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.builds.brief import decode
from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.generate import UnusableAnswer
from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.formulas import arrow
from service.builds.generate.blocks.notation import MARKUP
from service.builds.generate.blocks.reading import Reading, read
from service.builds.generate.libraries import FOLDER, with_libraries
from service.builds.verify import find_browser

BENCH = Path(__file__).resolve().parents[1] / "bench"
BRIEFS = BENCH / "briefs"
CASES = yaml.safe_load((Path(__file__).parent / "piece_cases.yml").read_text(encoding="utf-8"))


def reading_of(case: dict[str, Any]) -> Reading:
    """The reading of a case, or of a brief as it is posted."""
    files = {one["name"]: decode(one["name"], one["url"]).text for one in case.get("attachments", ())}
    code = case.get("js") or [check["js"] for check in case["checks"] if isinstance(check, dict)]
    return read(case["brief"], code, files or case.get("files") or {})


IN_PART = {"grades"}  # a piece fits, and does a part only
WITHOUT_PIECE = {"cart", "habit-tracker"}  # each plan would leave a button without work


def briefs() -> list[dict[str, Any]]:
    """The development briefs that pieces make whole. `test_script` has the others too."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(BRIEFS.glob("*.json"))]
    return [brief for brief in told if brief["task"] not in IN_PART | WITHOUT_PIECE]


OTHERS_IN_PART = {"burger", "lightbox", "percent-of", "progress"}
ONCE_FRESH = (
    "dentist",
    "election",
    "first-aid",
    "hangman",
    "inventory",
    "life",
    "peaks",
    "preferences",
    "reading-time",
)


def later() -> list[dict[str, Any]]:
    """Further briefs that pieces make whole: those in other words, and fresh ones that are of development now."""
    paths = [path for path in sorted((BENCH / "other_words").glob("*.json")) if path.stem not in OTHERS_IN_PART]
    paths += [BENCH / "once_held_out" / f"{name}.json" for name in ONCE_FRESH]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def test_each_brief_has_a_piece_or_is_named_as_one_without() -> None:
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(BRIEFS.glob("*.json"))]
    assert {brief["task"] for brief in told if not matching.plans(reading_of(brief))} == WITHOUT_PIECE
    assert {brief["task"] for brief in told} >= IN_PART


SALES = (
    "date,region,category,visits,price,total\n2024-01-01,N,Tea,1,2,9\n2024-01-02,S,Cup,8,1,1\n"
    "2024-01-03,N,Tea,2,1,9\n2024-01-04,N,Box,5,3,1\n"
)


def of_data(text: str, code: str = "", sales: str = SALES) -> tuple[dict[str, Any], str]:
    """The parameters of the piece for data, and the page."""
    reading = read(text, [code], {"sales-2024.csv": sales})
    plan = matching.plans(reading)[0]
    [piece] = [piece for piece in plan["pieces"] if piece["piece"] == "data"]
    return piece, page.html(reading, plan)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one row per category with its sum of visits, sorted by category", ("category", "visits", "category", None)),
        ("for each region the total price, ordered by price, largest first", ("region", "price", "price", True)),
        ("sums by region of the prices, sorted by sum", ("region", "price", "price", None)),
        ("one row per category with its sum. The button #desc sorts it, descending", ("category", None, None, None)),
    ],
)
def test_sums_by_group_are_those_of_the_column_that_is_named(text: str, told: tuple[str | bool | None, ...]) -> None:
    piece, _ = of_data(f"The table #t has {text}.")
    assert tuple(piece.get(key) for key in ("group", "valueColumn", "order", "largestFirst")) == told


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('the sum of the visits of "sales-2024.csv"', "", ("", "", "")),
        ('the sum of the visits, like in the "other-2023.csv"', "", ("", "", "")),
        ("the visitors' view, e.g. 4, so it's the sum of visits", "", ("", "", "")),
        ('the sum of visits under the heading "Sales 2024"', "", ("", "", "")),
        ("the sum of visits", "'-5'", ("", "", "")),
        (
            "the sum of visits",
            "'2 visits' || document.querySelector('#x').textContent === '1 visit'",
            (
                "",
                " visits",
                " visit",
            ),
        ),
        ('the sum of visits, e.g. "12 visits"', "", ("", " visits", "")),
        ('the sum of visits as "Total: -20"', "", ("Total: ", "", "")),
        ('how many rows there are ("4 rows", "1 row" for one)', "", ("", " rows", " row")),
    ],
)
def test_words_around_a_number_are_those_of_an_example(text: str, code: str, words: tuple[str, ...]) -> None:
    piece, _ = of_data(f"#x shows {text}.", f"document.querySelector('#x').textContent === {code or '1'}")
    assert tuple(piece["results"][0].get(key, "") for key in ("before", "after", "one")) == words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#x is the sum of visits. #mean is the average price with two decimals.", None),
        ("#x is the sum of visits. #mean is the average price. All averages have two decimals.", None),
        ("#x is the sum of visits. All figures have two decimals.", 2),
        ("#x is the sum of price. #mean is the average price with two decimals.", 2),
    ],
)
def test_decimals_of_one_figure_are_those_of_a_sum_only_if_its_column_has_some(text: str, number: int | None) -> None:
    piece, _ = of_data(text, sales=SALES.replace("1,2,9", "1,2.50,9"))
    assert piece["results"][0].get("decimals") == number


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("#results shows the total of visits", "sum"),
        ("#found shows the sum of visits", "sum"),
        ("#shown is the average price", "average"),
        ("#hits", "count"),
        ("#found says how many are left", "count"),
    ],
)
def test_the_words_about_a_figure_count_before_its_id(text: str, what: str) -> None:
    piece, _ = of_data(f"Table #t. {text}.")
    assert piece["results"][0]["what"] == what


@pytest.mark.parametrize("text", ['#none shows "No rows" when nothing is left', 'The div #empty says "No rows"'])
def test_the_message_that_nothing_is_found_is_hidden_as_a_whole(text: str) -> None:
    piece, html = of_data(f"The table #t with a search field #q. {text}.")
    assert f'<p id="{piece["none"]}" role="status" hidden>No rows</p>' in html


def test_pieces_show_an_element_that_appears_later() -> None:
    reading = read("Number inputs #a and #b. Their sum in #sum appears when the button #go is pressed.")
    html = page.html(reading, matching.plans(reading)[0])
    assert '<output id="sum"></output>' in html
    assert " hidden" not in html


@pytest.mark.parametrize(
    "text",
    [
        "The box with id first takes a number, the element with id twice shows it twice, 0 at first.",
        "The input #first takes a number and #twice shows it twice (0 at first).",
        'An input (id="first") takes a number, and the paragraph with the id `twice` starts at 0.',
    ],
)
def test_ids_kinds_and_first_values_are_read_in_several_spellings(text: str) -> None:
    first, twice = read(text).elements
    assert (first.id, first.kind) == ("first", "input")
    assert (twice.id, twice.kind, twice.first) == ("twice", "output", "0")


def test_lists_of_ids_share_their_kind_and_take_their_values_in_order() -> None:
    elements = read(
        "The boxes with ids low, high and step start with 1, 10 and 2. The selects #a and #b offer x, y and z."
    ).elements
    assert [(one.id, one.kind, one.first) for one in elements[:3]] == [
        ("low", "input", "1"),
        ("high", "input", "10"),
        ("step", "input", "2"),
    ]
    assert [(one.id, one.kind, one.options) for one in elements[3:]] == [
        ("a", "select", ("x", "y", "z")),
        ("b", "select", ("x", "y", "z")),
    ]


def test_colours_are_no_ids_and_ids_of_checks_are_elements() -> None:
    reading = read("Paint it #3366CC.", ["document.querySelector('#go').click()"])
    assert [(one.id, one.kind) for one in reading.elements] == [("go", "button")]


def test_every_piece_has_a_case() -> None:
    """The cases are opened in a browser by `test_piece_pages`."""
    chosen = {
        piece["piece"]
        for case in [*CASES, *briefs(), *later()]
        for piece in matching.plans(reading_of(case))[0]["pieces"]
    }
    assert chosen == set(page.names())


@pytest.mark.parametrize("case", CASES, ids=[" ".join(case["pieces"]) for case in CASES])
def test_the_pieces_of_a_case_are_chosen_by_its_words(case: dict[str, Any]) -> None:
    assert {piece["piece"] for piece in matching.plans(reading_of(case))[0]["pieces"]} == set(case["pieces"])


@pytest.mark.parametrize("brief", [*briefs(), *later()], ids=lambda brief: brief["task"])
def test_a_page_has_every_id_of_its_brief_once(brief: dict[str, Any]) -> None:
    reading = reading_of(brief)
    text = page.pages(reading, matching.plans(reading)[0])["index.html"].decode()
    ids = re.findall(r' id="([^"]+)"', text)
    assert sorted(ids) == sorted(one.id for one in reading.elements)


def test_a_page_of_several_languages_has_one_heading() -> None:
    files = {"texts.json": '{"en": {"title": "Our menu", "food": "Food"}, "de": {"title": "Karte", "food": "Essen"}}'}
    reading = read(
        "In English and German. texts.json. The select #lang, the heading #title, the button #tab-food.", (), files
    )
    [plan] = matching.plans(reading)
    assert plan["pieces"][0]["elements"] == {"title": "title", "tab-food": "food"}
    html = page.html(reading, plan)
    assert html.count("<h1") == 1
    assert "data-text" not in html


def test_no_piece_fits_a_brief_without_elements() -> None:
    assert matching.plans(read("A page about the bakery with its opening hours.")) == []


def test_texts_of_a_brief_are_escaped() -> None:
    reading = read(
        "A counter <script>alert(1)</script>. The element #count starts at 0, the button #plus adds "
        'one, labelled "</button><b>".'
    )
    text = page.pages(reading, matching.plans(reading)[0])["index.html"].decode()
    assert "<script>alert" not in text
    assert "<b>" not in text


@pytest.mark.parametrize(
    "formula", ["alert(1)", "a; b", "fetch(a)", "a = 2", "this.x", "a[0]", "(() => 1)()", "constructor"]
)
def test_a_formula_only_computes(formula: str) -> None:
    with pytest.raises(UnusableAnswer):
        arrow(formula, ["a"])


def test_a_formula_becomes_a_function_of_its_names() -> None:
    assert arrow("a > 3 ? Math.round(a / b) : 0", ["a", "b", "c"]) == "({ a, b }) => a > 3 ? Math.round(a / b) : 0"


CDN = (
    '<script src="https://cdn.jsdelivr.net/npm/marked@12/marked.min.js" integrity="sha384-x" '
    'crossorigin="anonymous"></script>'
)


def test_libraries_of_a_cdn_are_served_by_the_site_itself() -> None:
    files = with_libraries(
        {
            "index.html": CDN.encode(),
            "a/b.html": b'<link rel=stylesheet href="//unpkg.com/bootstrap@5/dist/css/bootstrap.min.css">',
        }
    )
    assert files["index.html"] == b'<script src="vendor/marked.umd.js"></script>'
    assert b'href="../vendor/bootstrap.min.css"' in files["a/b.html"]
    assert {"vendor/marked.umd.js", "vendor/marked.LICENSE", "vendor/bootstrap.min.css"} <= set(files)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("https://cdn.jsdelivr.net/npm/chart.js", "chart.umd.js"),
        ("https://cdn.jsdelivr.net/npm/chart.js@4.4.0/dist/chart.umd.min.js", "chart.umd.js"),
        ("https://cdn.jsdelivr.net/npm/chart.js/auto", "chart.umd.js"),
        ("https://cdn.jsdelivr.net/npm/chart.js@4.4.0/auto/+esm", "chart.umd.js"),
        ("https://cdn.jsdelivr.net/npm/chart.js@4/auto/auto.js", "chart.umd.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/Chart.js/2.9.4/Chart.bundle.min.js", "chart.umd.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/highlight.js/11.9.0/highlight.min.js", "highlight.min.js"),
        ("https://unpkg.com/marked@12", "marked.umd.js"),
        ("https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/js/bootstrap.bundle.min.js?x=1", "bootstrap.bundle.min.js"),
        ("https://cdn.jsdelivr.net/npm/papaparse@5/papaparse.min.js", "papaparse.min.js"),
        ("js/seedrandom.min.js", "seedrandom.min.js"),
    ],
)
def test_a_library_is_known_by_the_last_name_in_its_address(address: str, file: str) -> None:
    files = with_libraries({"index.html": f'<script src="{address}"></script>'.encode()})
    assert files["index.html"] == f'<script src="vendor/{file}"></script>'.encode()


@pytest.mark.parametrize(
    "page_",
    [
        b'<script src="app.js"></script>',
        b'<link rel="icon" href="https://x.test/bootstrap.png">',
        b'<script src="marked.js"></script>',
        b'<script src="https://cdn.jsdelivr.net/npm/chartjs-plugin-datalabels@2"></script>',
        b'<script src="https://cdn.jsdelivr.net/npm/chartjs-adapter-date-fns/dist/chartjs-adapter-date-fns.bundle.min.js">',
        b'<script src="https://unpkg.com/marked-highlight/lib/index.umd.js"></script>',
        b'<script src="https://cdn.jsdelivr.net/npm/bootstrap-table@1/dist/bootstrap-table.min.js"></script>',
        b'<link rel="stylesheet" href="https://cdn.jsdelivr.net/npm/bootstrap-select@1/css/bootstrap-select.min.css">',
        b'<script src="https://unpkg.com/@highlightjs/cdn-assets@11/languages/go.min.js"></script>',
    ],
)
def test_own_files_and_other_addresses_stay(page_: bytes) -> None:
    files = {"index.html": page_, "app.js": b"", "marked.js": b""}
    assert with_libraries(files) == files
    assert with_libraries({"index.html": CDN.encode()}, frozenset({"index.html"})) == {"index.html": CDN.encode()}


@pytest.mark.parametrize(
    ("brief", "kinds"),
    [
        ('- <p id="out"> shows it.\n- <input type="checkbox" id=on>', {"out": "output", "on": "checkbox"}),
        ("Write into textarea#note. span#left counts.", {"note": "textarea", "left": "output"}),
        ("After pressing #go, #sum has the result.", {"go": "button", "sum": "output"}),
        ("The button #go. After a click #said says yes.", {"go": "button", "said": "output"}),
        ("Pressing Add line (id add) appends a row. Click #less for fewer.", {"add": "button", "less": "button"}),
        ("The price goes in #price. Type a name into #who.", {"price": "input", "who": "input"}),
        ("It opens a modal box, id win.", {"win": "box"}),
    ],
)
def test_kinds_are_read_from_markup_selectors_and_verbs(brief: str, kinds: dict[str, str]) -> None:
    assert {one.id: one.kind for one in read(brief).elements} == kinds


@pytest.mark.parametrize("long", ["<a {}id=b>", "<a id=b{}>", "<a id=b {}>"])
def test_a_tag_is_read_as_far_as_its_bounds(long: str) -> None:
    """Without them a long tag that never ends takes steps by the square of its length."""
    assert MARKUP.search(long.format("c" * 40 + " "))
    assert MARKUP.search(long.format("c" * 300 + " ")) is None


def test_kinds_are_read_from_the_helpers_of_a_check() -> None:
    code = (
        "(() => { const put = (id, v) => { document.getElementById(id).value = v; };"
        " const tap = id => document.getElementById(id).click(); put('w', '1'); tap('run'); })()"
    )
    assert {one.id: one.kind for one in read("", [code]).elements} == {"w": "input", "run": "button"}


@pytest.mark.parametrize(
    ("line", "constants"),
    [
        (
            'import { marked } from "https://cdn.jsdelivr.net/npm/marked/lib/marked.esm.js";',
            "const marked = globalThis.marked.marked ?? globalThis.marked;",
        ),
        ("import Chart from 'https://esm.sh/chart.js/auto'", "const Chart = globalThis.Chart;"),
        ('import * as P from "https://esm.sh/papaparse";', "const P = globalThis.Papa;"),
        (
            'import { Chart as C, registerables } from "https://esm.sh/chart.js";',
            "const C = globalThis.Chart.Chart ?? globalThis.Chart; const registerables = [];",
        ),
    ],
)
def test_an_import_from_a_cdn_becomes_the_global_of_the_vendored_copy(line: str, constants: str) -> None:
    """The copy is loaded before the module."""
    files = with_libraries({"index.html": f'<script type="module">\n{line}\nrun();</script>'.encode()})
    page_ = files["index.html"].decode()
    assert constants in page_
    assert page_.index('src="vendor/') < page_.index('type="module"')


def test_a_module_file_of_the_site_is_changed_as_well_and_other_imports_stay() -> None:
    own = b"""import { a } from './a.js';
import x from 'https://example.com/x.js';
import zoom from 'https://cdn.jsdelivr.net/npm/chartjs-plugin-zoom@2/+esm?deps=npm/chart.js';
import { markedHighlight } from 'https://esm.sh/marked-highlight';
import marked from 'https://esm.sh/@types/marked';
"""
    files = with_libraries(
        {
            "index.html": b'<script type=module src="app.js"></script>',
            "app.js": b'import hljs from "https://esm.sh/highlight.js";\n' + own,
        }
    )
    assert files["app.js"] == b"const hljs = globalThis.hljs;\n" + own
    assert files["index.html"].startswith(b'<script src="vendor/highlight.min.js"></script>\n')


def test_the_vendored_files_are_those_of_the_lock() -> None:
    """The names and the sha256 of each library and licence."""
    kept = json.loads((FOLDER / "files.lock.json").read_text(encoding="utf-8"))
    here = {path.name: path for path in FOLDER.iterdir() if path.suffix not in (".json",)}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in here.items()} == kept


@pytest.mark.skipif(find_browser(None)[0] is None, reason="no Chromium")
@pytest.mark.browser
def test_marked_may_be_called_as_its_older_versions_were() -> None:
    """Models write `marked(text)`, and the present version has `marked.parse` only."""
    page_ = b"<!DOCTYPE html><title>t</title><p id=p></p>" + CDN.encode()
    calls = ["marked('# a').includes('<h1')", "marked.parse('# a').includes('<h1')"]
    browser, _ = find_browser(None)
    assert browser is not None
    checks = [Check(one, one) for one in calls]
    seen = look(with_libraries({"index.html": page_}), checks, browser=browser, timeout_s=60)
    assert [one.reason for one in seen.outcomes if one.verdict != "passed"] == []


def test_a_long_version_in_an_address_costs_little() -> None:
    """Each part of it could be read in two ways once, which doubled the time for every part."""
    page = f'<script src="https://cdn.example/x-1{".1" * 2000}!"></script>'.encode()
    assert with_libraries({"index.html": page}) == {"index.html": page}
