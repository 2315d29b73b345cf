"""The script writer: a page of the brief's elements, and the model's script for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import generation_steps
from service.builds.brief import Attachment
from service.builds.build import Candidate
from service.builds.generate import AskModel, EarlierRound, Job, UnusableAnswer, describe_checks
from service.builds.generate.blocks import counted
from service.builds.generate.blocks import reading as blocks_reading
from service.builds.generate.pieces import reading
from service.builds.generate.script import ScriptWriter, fits, skeleton
from service.builds.generation_steps import FURTHER, TRIES, GenerationSteps
from service.builds.steps import Steps
from service.builds.workflow import Workflows
from service.engine.types import Answer, Identity, Timings, Usage
from service.errors import EngineUnavailable, PromptTooLong
from service.prompts.run import Result

BRIEF = "The button #flip flips a coin, and #outcome shows Heads or Tails. #count starts at 0."
CODE = "(document.querySelector('#flip').click(), document.querySelector('#count').textContent === '1')"


BENCH = Path(__file__).resolve().parents[1] / "bench"
BRIEFS = {path.stem: path for folder in ("briefs", "other_words") for path in sorted((BENCH / folder).glob("*.json"))}
KINDS = {
    "bmi": {"w": "input", "h": "input", "go": "button", "bmi": "output", "category": "output"},
    "contact": {"name": "input", "email": "input", "msg": "input", "send": "button", "err": "output", "ok": "output"},
    "currency": {"src": "select", "dst": "select", "amt": "input", "out": "output"},
    "invoice": {"item-name": "input", "qty": "input", "unit-price": "input", "add-line": "button", "lines": "table"},
    "modal": {"open-modal": "button", "close-modal": "button", "modal": "box"},
    "task-filter": {"task-input": "input", "add-task": "button", "task-list": "list", "all": "button"},
    "tweet-box": {"tweet": "textarea", "post": "button", "remaining": "output"},
}


def job(**more: Any) -> Job:
    values: dict[str, Any] = {"title": "T", "brief": BRIEF, "checks": (CODE,), "expressions": (CODE,)}
    return Job(**(values | {"attachments": (), "author": "a", "year": 2026} | more))


def result(text: str, finish: str = "stop") -> Result:
    answer = Answer(text, (), finish, Usage(1, 1), Timings(0, 0, 0))  # type: ignore[arg-type]
    return Result(answer, "f", Identity("scripted", "1", "m", None, None))


def made(text: str, finish: str = "stop", **more: Any) -> tuple[dict[str, bytes], list[Mapping[str, Any]]]:
    """The files, and the inputs of each question."""
    asked: list[Mapping[str, Any]] = []

    def ask(prompt: str, inputs: Mapping[str, Any]) -> Result:
        assert prompt == "build-script"
        asked.append(inputs)
        return result(text, finish)

    return ScriptWriter(3000).make(job(**more), ask), asked


@pytest.mark.parametrize("text", ["FILE: script.js\n```js\nflip();\n```", "```javascript\nflip();\n```"])
def test_the_page_has_the_elements_of_the_brief_and_loads_the_models_script(text: str) -> None:
    files, [asked] = made(text)
    assert files["script.js"] == b"flip();\n"
    for part in ('id="flip"', 'id="outcome"', '<output id="count">0</output>', '<script src="script.js">'):
        assert part in files["index.html"].decode()
    assert 'id="flip"' in asked["html"]
    assert "<head>" not in asked["html"]


def test_helpers_that_checks_share_are_told_once() -> None:
    helpers = "(() => { const t = id => document.getElementById(id).textContent; const c = id => 1; "
    told = describe_checks(
        (f"{helpers}return t('a') === '1'; }})()", f"{helpers}return t('b'); }})()", "Has a title"), 900
    )
    assert told.count("const t = id") == 1
    assert told.splitlines()[1:] == ["- (…return t('a') === '1'; })()", "- (…return t('b'); })()", "- Has a title"]
    assert describe_checks(("(() => 1)()", "(() => 2)()"), 900) == "- (() => 1)()\n- (() => 2)()"
    assert describe_checks((), 9) == "none"


def test_a_script_that_was_cut_or_holds_a_check_is_refused() -> None:
    with pytest.raises(UnusableAnswer, match="cut"):
        made("```js\nflip(", "length")
    with pytest.raises(UnusableAnswer, match="code of a check"):
        made(f"```js\n{CODE}\n```")
    with pytest.raises(UnusableAnswer, match="code of a check"):
        made(f"```js\n{CODE}\n```", expressions=(), kept_checks=(CODE,))


def test_an_answer_without_the_script_is_refused() -> None:
    with pytest.raises(UnusableAnswer, match=r"no script\.js"):
        made("FILE: other.js\n```js\nflip();\n```")


def test_a_question_that_is_too_long_is_asked_with_less() -> None:
    lengths: list[int] = []

    def ask(prompt: str, inputs: Mapping[str, Any]) -> Result:
        lengths.append(len(inputs["brief"]))
        raise PromptTooLong("it is too long", limit=1, count=2)

    with pytest.raises(PromptTooLong):
        ScriptWriter(3000).make(job(brief=f"{BRIEF} {'x' * 3000}"), ask)
    first, second, third = lengths
    assert first > second > third


def test_it_fits_briefs_that_name_elements_and_have_no_page_yet() -> None:
    assert fits(job())
    assert not fits(job(previous={"index.html": b"<p>"}))
    assert not fits(job(earlier=(EarlierRound(1, "A page."),)))
    assert fits(job(attachments=(Attachment("data.csv", "text/csv", b"a"),)))
    for name in ("index.html", "script.js"):
        assert not fits(job(attachments=(Attachment(name, "text/plain", b"a"),)))
    assert not fits(job(brief="A page about boats.", expressions=()))


@pytest.mark.parametrize("name", BRIEFS)
def test_briefs_in_other_words_have_their_elements_once_and_in_their_kinds(name: str) -> None:
    brief = json.loads(BRIEFS[name].read_text(encoding="utf-8"))
    code = tuple(check["js"] for check in brief["checks"] if isinstance(check, dict))
    given = job(brief=brief["brief"], expressions=code)
    elements = {one.id: one.kind for one in reading(given).elements}
    assert KINDS.get(name, {}).items() <= elements.items()
    assert sorted(re.findall(r' id="([^"]+)"', skeleton(given))) == sorted(elements)


TOLD = {
    "A slider #volume from 0 to 11, starting at 3, and #shown.": 'id="volume" type="range" min="0" max="11" value="3"',
    "Two number inputs (ids w and h). #area is their product.": '<input id="h" type="number"',
    "A select with id size offering small, medium and large.": '<option value="medium">medium</option>',
    "The dropdown #town offers All and each town. #n counts.": '<option value="All">All</option></select>',
    '#mean shows the mean, or "none yet" while the list is empty.': '<output id="mean">none yet</output>',
    '#best names a word. Until something is typed it says "So far none".': '<output id="best">So far none</output>',
    "#rate tells the rate; it says - as long as nobody voted.": '<output id="rate">-</output>',
    '#gone with the text "No match" becomes visible when nothing is left.': 'role="status" hidden>No match</p>',
    "Four buttons with class key inside the element with id pad.": 4 * '<button type="button" class="key"></button>',
    "The grid #g has 3 squares of class sq.": 'id="g"><button type="button" class="sq"></button>',
    "Each row in #g has 3 squares of class sq.": '<output id="g"></output>',
    "The first three squares in #g get the class on.": '<output id="g"></output>',
    "A field `age` and a paragraph `verdict`. #g is shown.": '<input id="age" type="text"',
    # Not there at first, or no first text of the element
    "Inputs #a and #b. The sum in #sum appears when #go is pressed.": 'Sum: <output id="sum"></output>',
    "The product in #g is only shown when #go is clicked.": '<output id="g"></output>',
    "#error shows Error if an input is not a number.": '<p id="error" role="status"></p>',
    "#greeting shows Hello when the name is not empty.": '<output id="greeting"></output>',
    "#mood shows Offline if no network is there.": '<output id="mood"></output>',
    '#hint says "Type a name" if the name is empty.': '<p id="hint" role="status"></p>',
    '#mood tells it. While there is no network it shows "Offline".': '<output id="mood"></output>',
    "#mood tells it. It is red if nothing is selected.": '<output id="mood"></output>',
    "#mood tells it. While the timer runs it shows Running.": '<output id="mood"></output>',
    '#mood tells it. While it saves it says "Saving".': '<output id="mood"></output>',
    '#mood tells it. Until the answer arrives it says "Loading".': '<output id="mood"></output>',
    "#sum is the sum (0.00 when empty).": '<output id="sum">0.00</output>',
    '#sum lists them, or "No names" if the list is empty.': '<output id="sum">No names</output>',
    "#names shows names starting with B.": '<output id="names"></output>',
    '#names shows all words that begin with "un".': '<output id="names"></output>',
    "#n shows a number that starts at 7.": '<output id="n">7</output>',
    "A slider #rate from 0.5 to 2, starting at 1.": 'type="range" min="0.5" max="2" step="any" value="1"',
    "A slider #rate (0% to 100%).": 'type="range" min="0" max="100" autocomplete',
    "A slider #rate, 0 up to 11.": 'type="range" min="0" max="11" autocomplete',
    "A slider #rate between -5 and -1.": 'type="range" min="-5" max="-1" autocomplete',
    "A slider #rate (2024-01-15 at first).": 'type="range" value="2024-01-15"',
    "A slider #rate from 0 to 1 in steps of 0.1.": 'min="0" max="1" step="0.1"',
    "A slider #rate from 10 to 1, at 10:15 to 11:30.": 'type="range" autocomplete',
    "When #add is pressed, three items with class item appear in #g.": '<output id="g"></output>',
    "Three items with class item appear in #g after a press on #add.": '<output id="g"></output>',
    "After a click on #add three divs with class item are in #g.": '<output id="g"></output>',
    "The button #add puts five cards of class card into #g.": '<output id="g"></output>',
    "Up to 3 toasts with class toast in #g.": '<output id="g"></output>',
    "At most five cards with class card in #g.": '<output id="g"></output>',
    "If there are more than 3 items with class item in #g, #more is shown.": '<output id="g"></output>',
    "When the page opens there are 2 cards with class card in #g.": 2 * '<div class="card"></div>',
    "Make 2 cells with class cell in #g that turn red when pressed.": 2 * '<div class="cell"></div>',
    # The type of an input
    "A date field #born and a button #go.": '<input id="born" type="date"',
    "The date input with id day. #g tells it.": '<input id="day" type="date"',
    "Two time fields #from and #to.": '<input id="to" type="time"',
    "An input #b of type email.": '<input id="b" type="email"',
    "#a is an input of type url, #b an input of type tel.": '<input id="b" type="tel"',
    "An input of type month (id pick). #g tells it.": '<input id="pick" type="month"',
    "A password field (id pw).": '<input id="pw" type="password"',
    "A range #share that sets the colour of #g.": '<input id="share" type="range"',
    "A colour input #c (#336699 at first) paints #g.": 'id="c" type="color" value="#336699"',
    "People type a time and a date field name in the input #x.": '<input id="x" type="text"',
    "All numbers in the range #from to #to are in #g.": '<output id="from"></output>',
    # The parts of a form, a section or a dialog
    "Guests: the form with id x has the boxes name (id n) and text (id t).": (
        '<form id="x" novalidate>\n<p><label for="n">N</label> <input id="n" type="text" autocomplete="off"></p>\n'
        '<p><label for="t">T</label> <input id="t"'
    ),
    "Guests: on submit of the form with id entry the box #word is read.": (
        '<form id="entry" novalidate>\n<p><label for="word">'
    ),
    "A form #give with #a and #b and a button #post.": '<button type="submit" id="post">Post</button>',
    "A form #f with #a and #b, and #g shows the sum.": "</form>\n<p>G: <output",
    "A form #f with the box #a and the buttons #save and #clear.": '<button type="button" id="clear">Clear</button>',
    "The boxes #a and #b are in the form #f.": '<form id="f" novalidate>\n<p><label for="a">',
    "The form #f has the box #a. The button #other is red.": '</form>\n<button type="button" id="other">',
    "A form #f with the box #a and a form #h with the box #b.": '<form id="h" novalidate>\n<p><label for="b">',
    "The section #one has the input #a. The section #two has the input #b.": '<section id="two">\n<p><label for="b">',
    "The button #open opens the dialog #d, and the button #close in it closes it.": (
        '<div id="d">\n<button type="button" id="close">Close</button></div>'
    ),
    'A <dialog id="d"> is opened by the button #open.': '<dialog id="d"></dialog>',
    "The panel #p shows the text of the input #a in it.": '<div id="p"></div>',
    "The section #s has the colour of the input #c.": '<section id="s"></section>',
    # The options of a select
    "The select #day offers Monday to Wednesday.": (
        '<option value="Monday">Monday</option><option value="Tuesday">Tuesday</option>'
        '<option value="Wednesday">Wednesday</option></select>'
    ),
    "The select #m (Nov to Jan) and #g.": '<option value="Dec">Dec</option><option value="Jan">Jan</option></select>',
    "A select #h with the numbers 1 to 3 and a button #go.": '<option value="3">3</option></select>',
    "A select #min offering 00 to 30 in steps of 15.": '<option value="00">00</option><option value="15">15</option>',
    "A select #n filters rows from 10 to 20.": '<select id="n"></select>',
    "A select #level (ALL, INFO, WARN) filters #g.": '<option value="WARN">WARN</option></select>',
    "The select #genre offers All and the genres of a film.": '<option value="All">All</option></select>',
    "The select #genre offers all values of genre and the list #g shows them.": '<select id="genre"></select>',
    # Others
    "The input with the id isbn.": '<input id="isbn"',
    "The button #go writes their sum into #g.": '<output id="g"></output>',
    "The user writes a name into #name.": '<input id="name"',
    "The list #found shows all hits and #hits tells their number.": '<output id="hits"></output>',
    "#g lists hits. The number of hits #matches is shown.": '<output id="matches"></output>',
    "Pressing plus and minus (#plus, #minus) changes #g.": '<button type="button" id="plus">',
    "The paragraph #x is hidden until #go is pressed.": '<p id="x" hidden></p>',
    "The paragraph #x is there. #go is pressed.": '<p id="x"></p>\n<button type="button" id="go">',
    "A progress element #bar with max 5.": '<progress id="bar" max="5"',
    '<progress id="bar" max="8"> and #g.': '<progress id="bar" max="8"',
    "A progress element #bar with the share of #g.": '<progress id="bar" max="1"',
}
USES = "document.querySelectorAll('#g')[0].querySelectorAll('.sq')[1].click(), document.querySelector('#age').value = 3"


@pytest.mark.parametrize("text", TOLD)
def test_the_page_has_what_the_brief_says_of_its_elements(text: str) -> None:
    assert TOLD[text] in skeleton(job(brief=text, expressions=(USES,)))


USED = "document.querySelector('#total').textContent, document.querySelector('#price').textContent"


@pytest.mark.parametrize(
    ("text", "about"),
    [
        (
            "sales.csv has the columns `price` and `total`. #price is the mean, in #total the sum of visits.",
            "sum of visits",
        ),
        ("Entries of a.json hold `total` and `price`. The mean in `price`, and in `total` the sum.", "the sum"),
        ("Ids `price` and `total`. Of the `total` #price takes a part, and id `total` the sum.", ""),
        ("The mean is in `price`. The `total` shows the sum.", "shows the sum"),
        ("A board with the columns `price` and `total`.", ""),
    ],
)
def test_a_name_in_backticks_is_an_element_unless_other_words_name_it(text: str, about: str) -> None:
    elements = {one.id: one for one in reading(job(brief=text, expressions=(USED,))).elements}
    assert about in elements["total"].text
    assert "column" not in elements["total"].sentence or "board" in text


def test_counts_of_very_many_classes_are_read_in_one_look_at_each_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = counted.COUNTED
    seen = SimpleNamespace(finditer=lambda text: (looks.append(len(text)), real.finditer(text))[1])
    monkeypatch.setattr(counted, "COUNTED", seen)
    text = " ".join(f"class c{number}" for number in range(2000))
    skeleton(job(brief=f"{text} #g", expressions=()))
    assert looks
    assert sum(looks) <= len(text) + 3


def test_makers_of_one_brief_read_it_once() -> None:
    one = job(brief=f"{BRIEF} Read once.")
    again = replace(one, refused=("no",), attachments=(Attachment("a.csv", "text/csv", b"1"),))
    assert reading(one).elements is reading(again).elements
    assert reading(again).files == {"a.csv": "1"}
    assert reading(replace(one, expressions=())).elements is not reading(one).elements


def test_a_bare_id_of_the_checks_behind_a_kinds_word_is_an_element() -> None:
    text = "A wizard: section step-1 with input #name, and section step-2 with input #mail. The list re-done."
    code = "document.querySelector('#step-1').hidden, document.querySelector('#step-2').hidden"
    html = skeleton(job(brief=text, expressions=(code,)))
    assert '<section id="step-2">\n<p><label for="mail">' in html
    assert "re-done" not in html


LONG_PARTS = [
    "#x ",
    "button #x, ",
    "id x ",
    '#x "',
    "#x two decimals ",
    "form #x with ",
    "select #x (1 to 9) ",
    "#x 1 to ",
]


@pytest.mark.parametrize("part", LONG_PARTS)
def test_the_time_for_reading_grows_with_the_brief_alone(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = blocks_reading.decimals
    monkeypatch.setattr(blocks_reading, "decimals", lambda text: (read.append(len(text)), real(text))[1])
    long = part * (20_000 // len(part))
    assert [element.id for element in reading(job(brief=long, expressions=())).elements] == ["x"]
    assert sum(read) < 3 * len(long)  # not the whole sentence for each element in it


def test_a_brief_of_very_many_elements_has_the_first_of_them() -> None:
    many = " ".join(f"#n{number}" for number in range(3000))
    elements = reading(job(brief=many, expressions=())).elements
    assert [element.id for element in elements] == [f"n{number}" for number in range(blocks_reading.MOST_ELEMENTS)]


def test_libraries_that_the_brief_names_are_loaded_before_the_script() -> None:
    html = skeleton(job(brief=f"{BRIEF} A chart by Chart.js is in <canvas id=plot>."))
    assert html.index("vendor/chart.umd.js") < html.index('"script.js"')


def test_no_try_repeats_the_question_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy first, then seeds that no other try of the same maker has, also after an engine error."""
    asked: list[int] = []

    def ask(*_: Any, attempt: int, **__: Any) -> Result:
        asked.append(attempt)
        raise EngineUnavailable("It is away.")

    class Asks:
        def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
            ask("build-files", {})
            return {}

    steps = object.__new__(GenerationSteps)
    monkeypatch.setattr(steps, "load", lambda build: build, raising=False)
    for name, value in {
        "store": SimpleNamespace(event=lambda *_, **__: None),
        "asking": SimpleNamespace(ask=ask),
        "makers": {"files": Asks()},
        "shutdown": SimpleNamespace(sleep=lambda seconds: None),
    }.items():
        monkeypatch.setattr(steps, name, value, raising=False)
    build = SimpleNamespace(id="b", budget=SimpleNamespace(for_generation=lambda now: 100.0))
    for first in (1, 2, 3):
        assert steps._try(build, "files", job(), first=first) is None  # type: ignore[arg-type]
    assert asked[0] == 1
    assert len(asked) == len(set(asked)) == TRIES + 2 + 1


@pytest.mark.parametrize("fit", [True, False], ids=["a script fits", "no script fits"])
@pytest.mark.parametrize("maker", FURTHER)
def test_every_try_is_reached_and_the_end_is_told(maker: str, fit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version fails other checks. Where no script fits, whole files and repairs follow the pieces."""
    asked: list[str] = []
    told: list[str] = []
    steps = object.__new__(Steps)

    def tried(build: Any, name: str, job: Job, first: int = 1) -> generation_steps.MakerOutput:
        asked.append("repair" if job.failures else name)
        return generation_steps.MakerOutput({})

    def verified(build: Any, version: Candidate, checks: Any) -> Candidate:
        return replace(version, failed=(f"check {len(asked)}",))

    unused = dict.fromkeys(
        ("repository", "checks", "push", "publish", "live", "finish"), lambda *_: {"commit_sha": "c", "pages_url": "p"}
    )
    for name, value in {
        **unused,
        "begin": lambda build: True,
        "make": lambda build: Candidate({}, maker),
        "verify": verified,
        "scan": lambda build, best: best,
        "load": lambda build: build,
        "makers": dict.fromkeys(("files", "plan")),
        "_scripts": lambda build, job, number, **_: tried(build, "script", job),
        "scripts": SimpleNamespace(drop=lambda build: None),
        "patcher": SimpleNamespace(patch=lambda *_: asked.append("patch")),
        "pieces": object(),
        "asking": SimpleNamespace(exhausted=lambda build: None),
        "store": SimpleNamespace(event=lambda build, kind, text: told.append(text), files=lambda *_: {}),
        "_base_files": lambda build: None,
        "_first_job": lambda build, previous: job(),
        "_job": lambda build, previous, failures=(): job(failures=failures),
        "_pieces": lambda build, job, what: asked.append(what),
        "_try": tried,
        "_candidate": lambda build, job, output, by: Candidate({}, by),
    }.items():
        monkeypatch.setattr(steps, name, value, raising=False)
    monkeypatch.setattr(generation_steps, "fits", lambda job: fit)
    monkeypatch.setattr("service.builds.queues.deliver_later", lambda *_: None)
    flows = Workflows(steps, set())
    monkeypatch.setattr(flows, "_record", lambda name, work, *values: work(*values))
    build = SimpleNamespace(id="b", budget=SimpleNamespace(for_generation=lambda now: 100.0))
    assert flows.story(build) == "done"  # type: ignore[arg-type]
    left_out = "script" if not fit else "repair" if maker == "pieces" else ""
    assert asked == [one for one in FURTHER[maker] if one != left_out]
    assert told[-1] == "No further repair: all ways to make it better were tried."


@pytest.mark.parametrize(
    ("failures", "number", "reason"),
    [
        ([["x"], None, None, None], 4, "no usable answer came"),
        ([["x"], None, None, ["x"], None], 5, ""),  # patches without a gain say nothing about repairs
        ([["x"], None, None, ["x"], None, ["x"]], 6, "the same checks failed twice"),
        ([["x"], None, None, ["x"], None, ["y"]], 6, ""),
    ],
)
def test_the_reason_to_stop_is_that_of_the_repairs(
    failures: list[list[str] | None], number: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tries after whole files: patch, patch, repair, patch, repair, repair."""
    told: list[str] = []
    steps = object.__new__(Steps)
    for name, value in {
        "makers": {"files": None},
        "scripts": None,
        "patcher": object(),
        "pieces": None,
        "asking": SimpleNamespace(exhausted=lambda build: None),
        "store": SimpleNamespace(event=lambda build, kind, text: told.append(text)),
    }.items():
        monkeypatch.setattr(steps, name, value, raising=False)
    build = SimpleNamespace(id="b", budget=SimpleNamespace(for_generation=lambda now: 100.0))
    best = Candidate({}, "files", failed=("x",))
    assert steps.go_on(build, best, failures, number, "files") is (reason == "")  # type: ignore[arg-type]
    assert told == ([f"No further repair: {reason}."] if reason else [])
