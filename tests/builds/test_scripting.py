"""Several scripts at once: which one is kept, and what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import short_looks
from service.builds.browser import Check, PageCheckResult, PageObservation
from service.builds.browser.process import look_at_all
from service.builds.generate import Job
from service.builds.generate.script import ScriptWriter
from service.builds.scripting import SAMPLES, ScriptSampler
from service.builds.verify import find_browser
from service.engine.types import Answer, Identity, Timings, Usage
from service.errors import BuildError, EngineUnavailable
from service.prompts.run import Result

BROWSER, _ = find_browser(None)
BRIEF = "The button #flip flips a coin, and #outcome shows Heads or Tails."
IDENTITY = Identity("scripted", "1", "m", None, None)


class Asks:
    """A model that gives these answers, by attempt. An answer's letters are the checks that its page passes."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = answers
        self.attempts: list[int] = []

    def ask(self, build: str, prompt: str, inputs: Mapping[str, Any], budget: Any, *, attempt: int, **_: Any) -> Result:
        assert prompt == "build-script"
        self.attempts.append(attempt)
        answer = self.answers[(attempt - 1) % SAMPLES]
        if isinstance(answer, Exception):
            raise answer
        text = f'```js\nconst passes = "{answer}";\n```'
        return Result(Answer(text, (), "stop", Usage(1, 1), Timings(0, 0, 0)), "f", IDENTITY)


def kept(
    monkeypatch: pytest.MonkeyPatch,
    asks: Asks,
    *,
    browser: str | None = "chromium",
    codes: str = "abc",
    number: int = 0,
) -> tuple[str | None, list[int], list[str]]:
    """The letters of the script that is kept, the sites of each look, and the kinds of events."""
    looks: list[int] = []
    events: list[str] = []

    def looked(
        sites: Sequence[Mapping[str, bytes]], checks: Sequence[Check], *, until_passed: bool, **_: Any
    ) -> list[PageObservation]:
        assert until_passed
        looks.append(len(sites))
        observations = []
        for site in sites:
            letters = site["script.js"].decode().split('"')[1]
            if letters == "gone":
                raise BuildError("The browser could not be asked.")
            opened = PageCheckResult("opens", "failed" if letters == "throws" else "passed", "")
            judged = [PageCheckResult(one.said, "passed" if one.said in letters else "failed", "") for one in checks]
            observations.append(PageObservation([opened, *judged]))
        return observations

    monkeypatch.setattr(short_looks, "look_at_all", looked)
    settings = SimpleNamespace(build_network="", browser_namespace=False)
    store = SimpleNamespace(event=lambda build, kind, *_, **__: events.append(kind))
    build = SimpleNamespace(id="b", public_id="p", round=1, budget=SimpleNamespace(for_generation=lambda now: 100.0))
    job = Job("T", BRIEF, tuple(codes), (), "a", 2026, expressions=tuple(codes))
    sampler = ScriptSampler(settings, store, asks, ScriptWriter(3000), browser)  # type: ignore[arg-type]
    files = sampler.write(build, job, number, lambda build: build)  # type: ignore[arg-type, return-value]
    return (files["script.js"].decode().split('"')[1] if files else None), looks, events


def test_the_script_that_passes_most_checks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "throws", "ab", "a")
    assert kept(monkeypatch, asks) == ("ab", [3], ["making"])  # equal scripts are looked at once
    assert sorted(asks.attempts) == [1, 2, 3, 4]


def test_a_further_try_asks_with_seeds_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "b", "c", "d")
    kept(monkeypatch, asks, number=2)
    assert sorted(asks.attempts) == [9, 10, 11, 12]


def test_one_script_is_asked_for_where_nobody_can_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    for more in ({"browser": None}, {"codes": ""}):
        asks = Asks("a", "abc", "abc", "abc")
        assert kept(monkeypatch, asks, **more)[:2] == ("a", [])
        assert asks.attempts == [1]


def test_unusable_answers_are_told_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    away = EngineUnavailable("It is away.")
    assert kept(monkeypatch, Asks(away, "abc", away, away)) == ("abc", [], ["making", "model", "model", "model"])
    assert kept(monkeypatch, Asks(away, away, away, away))[0] is None


def test_a_script_is_kept_though_no_page_opens_or_the_browser_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(monkeypatch, Asks("throws", "throws", "throws", "throws"))[0] == "throws"
    assert kept(monkeypatch, Asks("a", "gone", "b", "c"))[0] == "a"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_sites_are_looked_at_one_after_another_until_one_passes() -> None:
    pages = ["<p>a", "<script>none()</script>", "<p>ab", "<p>abc"]
    sites = [{"index.html": f"<!DOCTYPE html><link rel=icon href=data:,>{page}".encode()} for page in pages]
    checks = [Check(one, f"document.body.textContent.includes('{one}')") for one in "ab"]
    assert BROWSER is not None
    seen = look_at_all(sites, checks, browser=BROWSER, timeout_s=30, patient=False, until_passed=True)
    verdicts = [[one.verdict for one in observation.outcomes] for observation in seen]
    assert verdicts == [
        ["passed", "passed", "failed"],
        ["failed", "not judged", "not judged"],
        ["passed", "passed", "passed"],
    ]
