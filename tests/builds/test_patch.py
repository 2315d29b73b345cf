"""Patches: their questions, their script in a browser, and the choice among them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import patching
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

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = answers
        self.attempts: list[int] = []

    def ask(self, build: str, prompt: str, inputs: Mapping[str, Any], budget: Any, *, attempt: int) -> Result:
        assert prompt == "build-patch"
        self.attempts.append(attempt)
        answer = self.answers[0 if attempt == 1 else (attempt - 2) % SAMPLES]
        if isinstance(answer, Exception):
            raise answer
        lines = f'```js\nalways(() => "{answer}");\n```'
        return Result(
            Answer(lines, (), "stop", Usage(1, 1), Timings(0, 0, 0)), "f", Identity("s", "1", "m", None, None)
        )


def chosen(
    monkeypatch: pytest.MonkeyPatch, asks: Asks, best: Candidate, *, browser: str | None = "chromium", number: int = 0
) -> tuple[str | None, list[int]]:
    """The text in the chosen patch, and the number of checks of each look."""
    looks: list[int] = []

    def looked(site: Mapping[str, bytes], checks: Sequence[Check], **_: Any) -> PageObservation:
        looks.append(len(checks))
        text = site["patch.js"].decode().rpartition('always(() => "')[2].partition('"')[0]
        if text == "broken":
            raise BuildError("The browser could not be asked.")
        opened = PageCheckResult("opens", "failed" if text == "throws" else "passed", "")
        verdicts = [PageCheckResult(one.said, "passed" if one.said in text else "failed", "") for one in checks]
        return PageObservation([opened, *verdicts])

    monkeypatch.setattr(patching, "look", looked)
    store = SimpleNamespace(files=lambda *_: SITE, event=lambda *_, **__: None)
    settings = SimpleNamespace(build_network="", browser_namespace=False)
    build = SimpleNamespace(
        id="b", brief="One. Two. Three.", budget=SimpleNamespace(for_generation=lambda now: 100.0 - 0 * time.time())
    )
    files = Patcher(settings, store, asks, browser).patch(build, best, number)  # type: ignore[arg-type]
    if files is None:
        return None, looks
    return files["patch.js"].decode().rpartition('always(() => "')[2].partition('"')[0], looks


def test_the_patch_that_passes_most_checks_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("c", "abc", "bc", "abc.")
    text, looks = chosen(monkeypatch, asks, version("a"))
    assert text == "abc"
    assert looks == [1, 1, 3]  # the first one is not for `b`, and the second one passes all
    assert sorted(asks.attempts) == [1, 3, 4, 5]


def test_a_patch_that_gains_nothing_or_does_not_open_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Asks("b", "throws", "broken", "b!"), version("a"))[0] is None
    assert chosen(monkeypatch, Asks(EngineUnavailable("away"), "ab", "ab", "ab"), version("a"))[0] == "ab"


def test_the_next_try_is_for_the_next_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Asks("ac", "ab", "ab", "ab"), version("a"), number=1)[0] == "ac"


def test_no_model_is_asked_where_a_patch_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, too much fails, or no browser is there to choose."""
    asks = Asks("abc")
    assert chosen(monkeypatch, asks, version("abc")) == (None, [])
    assert chosen(monkeypatch, asks, version("")) == (None, [])
    assert chosen(monkeypatch, asks, version("a"), browser=None) == (None, [])
    assert asks.attempts == []
