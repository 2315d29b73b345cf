"""Patches: their questions, their script in a browser, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import patching, short_looks
from service.builds.browser import Check, PageCheckResult, PageObservation
from service.builds.browser.process import look
from service.builds.build import Candidate
from service.builds.generate import UnusableAnswer, patch
from service.builds.patching import SAMPLES, Patcher
from service.builds.verify import find_browser
from service.engine.types import Answer, Identity, Timings, Usage
from service.errors import BuildError, EngineUnavailable
from service.prompts.run import Result

BROWSER, _ = find_browser(None)
BRIEF = (
    "A diary of walks. The button #save adds the text of #walk to #walks. "
    "An empty #walk is not saved; #sum counts the walks."
)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>Walks</title><style>p {color: red}</style></head>
<body>
<header>Top</header>
<main>
  <form id="form"><input id="walk"> <button id="save">Save</button></form>
  <ul id="walks"></ul> <p id="sum"></p> <svg><path/></svg>
</main>
<script>
const element = "a name of the page's own";
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const line = document.createElement("li");
  line.textContent = walk.value;
  walks.append(line);
  event.stopPropagation();
});
</script>
</body></html>
"""
SITE = {"index.html": PAGE.encode()}
COUNTS = 'always(() => {\n  element("sum").textContent = element("walks").children.length;\n});'
REFUSES = 'before(element("save"), "click", () => {\n  if (element("walk").value.trim() === "") return false;\n});'


def test_the_rules_of_a_check_are_the_sentences_that_name_its_elements() -> None:
    code = "document.querySelector('#save').disabled && document.querySelector('#sum').textContent === '0'"
    first, second, both, part, brief = patch.rules(BRIEF, code, code)
    assert first.startswith("The button #save")
    assert second == "#sum counts the walks."
    assert both == f"{first} {second}"
    assert part == "#save adds the text of #walk to #walks."
    assert brief == BRIEF
    assert patch.rules(BRIEF, "Nothing is saved twice", code)[:2] == ["Nothing is saved twice", first]
    assert patch.rules("One sentence only", code, code) == ["One sentence only"]
    assert patch.rules(" \n ", code, code) == []


def test_what_only_the_failed_check_names_is_asked_for_first() -> None:
    brief = "Type into #price and #off: #now is the new price. Over 100 is refused: then #problem says so. No button."
    code = "(put('#price', 1), put('#off', 120), document.querySelector('#now').textContent === '' && '#problem')"
    passing = "(put('#price', 50), put('#off', 25), document.querySelector('#now').textContent === '37.50')"
    assert patch.rules(brief, code, code)[0].startswith("Type into")
    assert patch.rules(brief, code, code, [passing])[0] == "Over 100 is refused: then #problem says so."


def test_a_question_has_the_elements_and_what_they_hold_and_no_code() -> None:
    told = patch.inputs(PAGE, "Count.", 'it is false; #sum is a p with text ""; there is no #x')
    assert told["shown"] == '#sum is a p with text ""'
    assert told["rule"] == "Count."
    assert '<p id="sum">' in told["html"]
    for absent in ("Top", "addEventListener", "<path", "color"):
        assert absent not in told["html"]
    assert patch.inputs("<body><script>'<main>x</main>'</script></body>", "Count.", "it is false")["html"] == "nothing"


@pytest.mark.parametrize(
    "text", [f"```js\n{COUNTS}\n```", f"Here it is:\n```javascript\n{COUNTS}\n```\nIt counts.", COUNTS]
)
def test_the_lines_of_an_answer(text: str) -> None:
    assert patch.lines_of(text) == COUNTS


@pytest.mark.parametrize("text", ["", "I cannot.", "```js\nalert(1);\n```"])
def test_an_answer_without_a_rule_is_refused(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no rule"):
        patch.lines_of(text)


def test_a_second_rule_goes_behind_the_first_and_the_page_loads_the_script_once() -> None:
    once = SITE | patch.patched(SITE, "Count\nthe walks.", COUNTS)
    twice = once | patch.patched(once, "Refuse.", REFUSES)
    script = twice["patch.js"].decode()
    assert script.index("// Count the walks.") < script.index("// Refuse.")
    assert script.count("const element =") == 1
    assert twice["index.html"].count(b"patch.js") == 1
    assert patch.can_patch(SITE)
    assert patch.can_patch(twice)
    assert not patch.can_patch({**SITE, "patch.js": b"of the sender"})
    assert not patch.can_patch({"style.css": b""})
    assert not patch.can_patch({**SITE, "Patch.js": b"a twin on some systems"})
    assert not patch.can_patch({"index.html": "<body>é</body>".encode("latin-1")})
    assert not patch.can_patch({**twice, "patch.js": twice["patch.js"] + b"// changed by a person"})


def test_an_earlier_pages_rules_are_dropped_with_it() -> None:
    once = SITE | patch.patched(SITE, "Count the walks.", COUNTS)
    anew = {**once, **SITE}
    assert "patch.js" not in patch.without_unused(anew)
    assert "Count the walks." not in patch.patched(anew, "Refuse.", REFUSES)["patch.js"].decode()
    assert patch.without_unused(once) == once
    assert patch.without_unused({**SITE, "patch.js": b"of the sender"})["patch.js"] == b"of the sender"


@pytest.mark.parametrize(
    ("page", "changed"),
    [
        ("<body>İİİ</body>", "<body>İİİ@</body>"),
        ("<body></BODY >", "<body>@</BODY >"),
        ("<p>a", "<p>a\n@"),
        ("<script>const end = '</body>';</script>", "<script>const end = '</body>';</script>\n@"),
    ],
)
def test_the_page_loads_the_script_at_its_end(page: str, changed: str) -> None:
    patched = patch.patched({"index.html": page.encode()}, "Count.", COUNTS)["index.html"].decode()
    assert patched == changed.replace("@", patch.LOADS)


def test_the_lines_of_a_rule_stay_as_they_are_written() -> None:
    assert b"`a\nb`" in patch.patched(SITE, "Count.", "always(() => `a\nb`);")["patch.js"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_rules_work_beside_the_script_of_the_page() -> None:
    """At once, after an event that the page stops, before the page's answer, and after a change without an event."""
    site = SITE | patch.patched(SITE, "Count.", COUNTS)
    site |= patch.patched(site, "Refuse.", REFUSES)
    ask = "(async () => { const sum = () => document.querySelector('#sum').textContent; %s })()"
    act = "walk.value = '%s'; document.querySelector('#form').requestSubmit(document.querySelector('#save'));"
    code = [
        ask % "return sum() === '0';",
        ask % f"{act % 'To the lake'} await null; return sum() === '1';",
        ask % f"{act % '  '} await null; return sum() === '0';",
        ask % "document.querySelector('#walks').innerHTML = '<li>a<li>b'; await null; return sum() === '2';",
    ]
    assert BROWSER is not None
    seen = look(site, [Check(one, one) for one in code], browser=BROWSER, timeout_s=60, patient=False)
    assert [(one.verdict, one.reason) for one in seen.outcomes if one.verdict != "passed"] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_rule_before_a_button_is_for_its_click_and_for_enter_and_for_no_other_button() -> None:
    """The first button of a form is the one that Enter presses."""
    page = (
        '<!DOCTYPE html><body><form id="f"><input id="i"><button id="first">1</button><button id="second">2</button>'
        '</form><script>let sent = 0; f.addEventListener("submit", (event) => { event.preventDefault(); sent += 1; });'
        "</script></body>"
    )
    lines = 'window.asked = 0;\nbefore(element("%s"), "click", () => { window.asked += 1; return %s; });'
    press = "element = (id) => document.getElementById(id), %s, [window.asked, sent].join() === '%s'"
    for button, allowed, act, seen in (
        ("first", "true", "element('first').click()", "1,1"),
        ("first", "false", "element('first').click()", "1,0"),
        ("first", "false", "element('f').requestSubmit()", "1,0"),
        ("first", "false", "element('second').click()", "0,1"),
        ("second", "false", "element('f').requestSubmit()", "0,1"),
        ("second", "false", "element('f').requestSubmit(element('second'))", "1,0"),
    ):
        site = {"index.html": page.encode()}
        site |= patch.patched(site, "Ask.", lines % (button, allowed))
        code = f"({press % (act, seen)})"
        assert BROWSER is not None
        looked = look(site, [Check(code, code)], browser=BROWSER, timeout_s=60, patient=False)
        assert [one.reason for one in looked.outcomes if one.verdict != "passed"] == [], (button, act)


# The choice

IDENTITY = Identity("scripted", "1", "m", None, None)
CHECKS = ("a", "b", "c")


def version(passing: str) -> Candidate:
    """A version of which the checks with these letters pass."""
    outcomes = [
        {"said": one, "js": one, "translated": False, "verdict": "passed" if one in passing else "failed", "reason": ""}
        for one in CHECKS
    ]
    return Candidate({}, "pieces", report={"outcomes": outcomes})


class Asks:
    """A model that gives these answers, by sample."""

    def __init__(self, *answers: str | Exception, cancelled_after: int = 99) -> None:
        self.answers = answers
        self.cancelled_after = cancelled_after  # looks
        self.attempts: list[int] = []

    def ask(self, build: str, prompt: str, inputs: Mapping[str, Any], budget: Any, *, attempt: int) -> Result:
        assert prompt == "build-patch"
        self.attempts.append(attempt)
        answer = self.answers[0 if attempt == 1 else (attempt - 2) % SAMPLES]
        if isinstance(answer, Exception):
            raise answer
        lines = f'```js\nalways(() => "{answer}");\n```'
        return Result(
            Answer(lines, (), "stop", Usage(1, 1), Timings(0, 0, 0)), "f", Identity("scripted", "1", "m", None, None)
        )


def chosen(
    monkeypatch: pytest.MonkeyPatch,
    asks: Asks,
    best: Candidate,
    *,
    browser: str | None = "chromium",
    number: int = 0,
    before: str = "a",
) -> tuple[str | None, list[int]]:
    """The text in the chosen patch, and the number of checks of each look. `before`: the checks that pass without."""
    looks: list[int] = []

    def looked(
        sites: Sequence[Mapping[str, bytes]], checks: Sequence[Check], *, until_passed: bool, **_: Any
    ) -> list[PageObservation]:
        looks.append(len(sites) * len(checks))
        observations = []
        for site in sites:
            script = site.get("patch.js", b"").decode()
            text = script.rpartition('always(() => "')[2].partition('"')[0] if script else before
            if text == "broken":
                raise BuildError("The browser could not be asked.")
            opened = PageCheckResult("opens", "failed" if text == "throws" else "passed", "")
            verdicts = [PageCheckResult(one.said, "passed" if one.said in text else "failed", "") for one in checks]
            observations.append(PageObservation([opened, *verdicts]))
            if until_passed and all(one.verdict == "passed" for one in (opened, *verdicts)):
                break
        return observations

    monkeypatch.setattr(short_looks, "look_at_all", looked)
    loads = iter(range(99))

    def load(build: str) -> Any:
        if next(loads) >= asks.cancelled_after:
            raise BuildError("The build was cancelled.")

    store = SimpleNamespace(files=lambda *_: SITE, event=lambda *_, **__: None)
    settings = SimpleNamespace(build_network="", browser_namespace=False)
    build = SimpleNamespace(id="b", brief="One. Two. Three.", budget=SimpleNamespace(for_generation=lambda now: 100.0))
    patcher = Patcher(settings, store, asks, browser)  # type: ignore[arg-type]
    files = patcher.patch(build, best, number, load)  # type: ignore[arg-type]
    if files is None:
        return None, looks
    return files["patch.js"].decode().rpartition('always(() => "')[2].partition('"')[0], looks


def test_the_patch_that_passes_most_checks_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("c", "abc", "bc", "abc.")
    text, looks = chosen(monkeypatch, asks, version("a"))
    assert text == "abc"
    assert looks == [3, 4, 9]  # without a patch, then four patches for `b`, of which three mend it
    assert sorted(asks.attempts) == [1, 3, 4, 5]


def test_a_patch_that_gains_nothing_or_does_not_open_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Asks("b", "throws", "c", "b!"), version("a"))[0] is None
    assert chosen(monkeypatch, Asks("ab", "broken", "ab", "ab"), version("a"))[0] is None
    assert chosen(monkeypatch, Asks(EngineUnavailable("away"), "ab", "ab", "ab"), version("a"))[0] == "ab"


def test_the_next_try_is_for_the_next_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Asks("ac", "ab", "ab", "ab"), version("a"), number=1)[0] == "ac"


def test_a_page_that_fails_most_is_patched_when_scripts_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("abc", "b", "b", "b")
    assert chosen(monkeypatch, asks, version(""), number=patching.SCRIPTS_FIRST, before="")[0] == "abc"


def test_no_model_is_asked_where_a_patch_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, too much fails, the page throws errors, or no browser is there to choose."""
    asks = Asks("abc")
    assert chosen(monkeypatch, asks, version("abc")) == (None, [])
    assert chosen(monkeypatch, asks, version("a"), before="throws") == (None, [3])
    assert chosen(monkeypatch, asks, version("")) == (None, [])
    assert chosen(monkeypatch, asks, version(""), number=patching.SCRIPTS_FIRST - 1) == (None, [])
    assert chosen(monkeypatch, asks, version("a"), browser=None) == (None, [])
    assert asks.attempts == []


def test_patches_are_compared_with_a_look_as_short_as_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`a` is true only later, in no short look. It is no loss of the patch."""
    assert chosen(monkeypatch, Asks("b", "b", "b", "b"), version("a"), before="")[0] == "b"


def test_a_cancelled_build_ends_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match="cancelled"):
        chosen(monkeypatch, Asks("b", "b.", "b!", "ab", cancelled_after=2), version("a"))


def test_a_check_of_this_round_is_worth_more_than_two_of_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [
        {"said": one, "js": one, "translated": False, "verdict": "failed", "reason": "", "round": earlier}
        for one, earlier in (("a", None), ("b", 1), ("c", 1))
    ]
    best = Candidate({}, "pieces", report={"outcomes": outcomes})
    monkeypatch.setattr(patching, "FEW", 3)
    assert chosen(monkeypatch, Asks("abc.", "a", "a", "a"), best, before="")[0] == "abc."
    assert chosen(monkeypatch, Asks("a", "a.", "a", "a"), best, before="bc")[0] == "a"
