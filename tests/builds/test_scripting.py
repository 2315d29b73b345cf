"""Several scripts at once: the one that is kept, and the questions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import scripting, short_looks
from service.builds.browser import Check, PageCheckResult, PageObservation
from service.builds.browser.process import look_at_all
from service.builds.build import Candidate
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

    def ask(
        self,
        build: str,
        prompt: str,
        inputs: Mapping[str, Any],
        budget: Any,
        *,
        attempt: int,
        unneeded: Event,
        **_: Any,
    ) -> Result:
        assert prompt == "build-script"
        self.attempts.append(attempt)
        answer = self.answers[(attempt - 1) % SAMPLES]
        if answer == "slow":
            time.sleep(0.3)
        if answer == "late":
            unneeded.wait(60)
            raise BuildError("The answer is not needed any more.")
        if isinstance(answer, Exception):
            raise answer
        text = f'```js\nconst passes = "{answer}";\n```'
        return Result(Answer(text, (), "stop", Usage(1, 1), Timings(0, 0, 0)), "f", IDENTITY)


def version(letters: str, *translated: str) -> Candidate:
    """A version that passes the checks with these letters."""
    outcomes = [
        {"said": one, "js": one, "translated": one in translated, "verdict": "passed", "reason": ""}
        for one in dict.fromkeys((*"abc", *translated))
    ]
    return Candidate({"script.js": f'const passes = "{letters}";'}, "pieces", report={"outcomes": outcomes})


class Tries:
    """A sampler, with the number of sites of each look and the kinds of events."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, asks: Asks, *, browser: str | None = "chromium", codes: str = "abc"
    ) -> None:
        self.looks: list[int] = []
        self.events: list[str] = []
        monkeypatch.setattr(short_looks, "look_at_all", self._looked)
        settings = SimpleNamespace(build_network="", browser_namespace=False)
        self.build = SimpleNamespace(
            id="b", public_id="p", round=1, budget=SimpleNamespace(for_generation=lambda now: 100.0), active=True
        )
        store = SimpleNamespace(
            event=lambda build, kind, *_, **__: self.events.append(kind),
            build=lambda name: self.build,
            files=lambda build, files: {name: text.encode() for name, text in files.items()},
        )
        self.job = Job("T", BRIEF, tuple(codes), (), "a", 2026, expressions=tuple(codes))
        self.slept: list[float] = []
        shutdown = SimpleNamespace(sleep=self.slept.append)
        self.sampler = ScriptSampler(settings, store, asks, ScriptWriter(3000), browser, shutdown)  # type: ignore[arg-type]

    def kept(self, number: int = 0, **more: Any) -> str | None:
        """The letters of the script that is kept."""
        files = self.sampler.write(self.build, self.job, number, lambda build: build, **more)  # type: ignore
        return files["script.js"].decode().split('"')[1] if files else None

    def _looked(
        self, sites: Sequence[Mapping[str, bytes]], checks: Sequence[Check], *, until_passed: bool, **_: Any
    ) -> list[PageObservation]:
        assert until_passed
        self.looks.append(len(sites))
        observations = []
        for site in sites:
            letters = site["script.js"].decode().split('"')[1]
            if letters == "gone":
                raise BuildError("The browser could not be asked.")
            opened = PageCheckResult("opens", "failed" if letters == "throws" else "passed", "")
            judged = [PageCheckResult(one.said, "passed" if one.said in letters else "failed", "") for one in checks]
            observations.append(PageObservation([opened, *judged]))
        return observations


def test_the_script_that_passes_most_checks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "throws", "ab", "a")
    tries = Tries(monkeypatch, asks)
    assert tries.kept() == "ab"
    assert tries.looks == [3]  # equal scripts are looked at once
    assert sorted(asks.attempts) == [1, 2, 3, 4]


def test_a_further_try_asks_with_seeds_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "b", "c", "d")
    Tries(monkeypatch, asks).kept(2)
    assert sorted(asks.attempts) == [9, 10, 11, 12]


def test_the_next_try_is_asked_ahead_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "b", "c", "d")
    tries = Tries(monkeypatch, asks)
    tries.kept(0, further=True)
    wait(tries.sampler.ahead["b"].answers)
    assert sorted(asks.attempts) == [*range(1, 9)]
    tries.kept(1)
    assert sorted(asks.attempts) == [*range(1, 9)]
    assert tries.sampler.ahead == {}


@pytest.mark.parametrize("end", ["all checks pass", "the build settles", "another try comes"])
def test_questions_asked_ahead_and_not_needed_are_cancelled(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("abc" if end == "all checks pass" else "a", "b", "a", "b")
    tries = Tries(monkeypatch, asks)
    begun: list[scripting.Batch] = []
    real = tries.sampler._asked

    def asked(*values: Any) -> scripting.Batch:
        begun.append(real(*values))
        return begun[-1]

    monkeypatch.setattr(tries.sampler, "_asked", asked)
    tries.kept(0, further=True)
    if end == "the build settles":
        tries.sampler.drop(tries.build)  # type: ignore[arg-type]
    elif end == "another try comes":
        tries.kept(3)
    assert tries.sampler.ahead == {}
    assert begun[1].number == 1
    assert begun[1].enough.is_set()


def test_batches_of_builds_that_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, Asks("a", "b", "c", "d"))
    tries.kept(0, further=True)
    tries.build.active = False
    tries.sampler._forget_ended_builds()
    assert tries.sampler.ahead == {}


def test_answers_are_late_only_beside_a_usable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripting, "LATE_S", 0.01)
    away = EngineUnavailable("It is away.")
    assert Tries(monkeypatch, Asks(away, away, "slow", "slow")).kept() == "slow"


def test_a_try_that_the_engine_refuses_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    away = EngineUnavailable("It is away.")
    asks = Asks(away, away, away, away)
    tries = Tries(monkeypatch, asks)
    assert tries.kept() is None
    assert len(asks.attempts) == 3 * SAMPLES
    assert len(tries.slept) == 2


def test_late_answers_are_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripting, "LATE_S", 0.01)
    tries = Tries(monkeypatch, Asks("late", "a", "ab", "late"))
    assert tries.kept() == "ab"
    assert tries.events == ["making"]  # a cancelled question is no failure


@pytest.mark.parametrize(("best", "kept"), [("", "ab"), ("b", "ab"), ("bc", None), ("throws", "ab"), ("abc", None)])
def test_a_script_that_passes_no_more_than_the_best_version_is_not_kept(
    best: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries(monkeypatch, Asks("a", "ab", "b", "throws"))
    assert tries.kept(1, best=version(best)) == kept
    assert tries.looks == [5]


def test_a_translated_check_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, Asks("abcd", "abc", "a", "b"))
    assert tries.kept(1, best=version("abc", "d")) == "abcd"


def test_a_check_that_is_sent_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, Asks("a", "ab", "a", "a"), codes="aab")
    assert tries.kept(1, best=version("a")) == "ab"


@pytest.mark.parametrize("more", [{"browser": None}, {"codes": ""}], ids=["no browser", "no code"])
def test_one_script_is_asked_for_where_nobody_can_choose(more: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Asks("a", "abc", "abc", "abc")
    tries = Tries(monkeypatch, asks, **more)
    assert tries.kept() == "a"
    assert tries.looks == []
    assert asks.attempts == [1]


def test_unusable_answers_are_told_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    away = EngineUnavailable("It is away.")
    tries = Tries(monkeypatch, Asks(away, "abc", away, away))
    assert tries.kept() == "abc"
    assert tries.events == ["making", "model", "model", "model"]
    assert Tries(monkeypatch, Asks(away, away, away, away)).kept() is None


def test_a_script_is_kept_though_no_page_opens_or_the_browser_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tries(monkeypatch, Asks("throws", "throws", "throws", "throws")).kept() == "throws"
    assert Tries(monkeypatch, Asks("a", "gone", "b", "c")).kept() == "a"
    assert Tries(monkeypatch, Asks("a", "gone", "b", "c")).kept(1, best=version("")) is None


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
