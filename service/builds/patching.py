"""Tries to add one rule to the best version: a model writes a few patches, and a browser chooses among them.

In: a build, its best version, and how often this was tried. Out: the files of the best patch, or None. The patches of a
try are asked for at the same time, because several short answers cost a model here little more than one. Each one is
judged by the check that it is for, and then by all of them, in looks as short as that of the version without it. Not
here: questions and files (`generate.patch`), the checks of a whole version (`verify`), which comes after this.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.builds.browser import Check
from service.builds.build import Build, Candidate
from service.builds.generate import UnusableAnswer, patch
from service.builds.generate.edits import PAGE
from service.builds.generate.model_client import ModelClient
from service.builds.generate.write import require_no_check
from service.builds.short_looks import ShortLooks, judged
from service.builds.store import Store
from service.errors import SameboatError
from service.settings import Settings

PROMPT = "build-patch"
SAMPLES = 4  # of a try
FEW = 2  # failed checks, or half of all: a page that fails more gets other scripts first
SCRIPTS_FIRST = 4  # tries that are left to these


@dataclass(frozen=True)
class Question:
    """A try: the check to mend, with its code and reason, and the rules to ask for."""

    build: Build
    page: str
    rules: tuple[str, ...]
    reason: str
    number: int
    codes: tuple[str, ...]  # of all checks, which no answer may hold


@dataclass(frozen=True)
class Patcher:
    """`browser`: Chromium's path. Without a browser nobody could choose."""

    settings: Settings
    store: Store
    asking: ModelClient
    browser: str | None

    def patch(
        self,
        build: Build,
        best: Candidate,
        number: int,
        load: Callable[[str], Build],
        briefs: Mapping[int, str] | None = None,
    ) -> dict[str, bytes] | None:
        """The files of the version with the best patch, if it is better. `number` begins at 0.

        `load` gives the build as it is now. `briefs`: those of earlier rounds, because their checks are judged too.

        Raises:
            BuildError: if the build was cancelled.
        """
        files = self.store.files(build.id, best.files)
        checks, failed = judged(best)
        if self.browser is None or not failed or not patch.can_patch(files):
            return None
        if number < SCRIPTS_FIRST and len(failed) > max(FEW, len(checks) // 2):
            self.store.event(build.id, "making", f"No patch: {len(failed)} of {len(checks)} checks fail.")
            return None
        target, reason = failed[number % len(failed)]
        codes = tuple(check.js for check in checks if check.js is not None)
        broken = {check.js for check, _ in failed}
        brief = build.brief if target.round is None else (briefs or {}).get(target.round, build.brief)
        rules = patch.rules(brief, target.said, target.js or "", [code for code in codes if code not in broken])
        if not rules:
            return None
        choice = PatchChoice(self.store, ShortLooks(self.settings, self.browser, load), build, files, target, checks)
        if not choice.can_improve():
            return None
        self.store.event(build.id, "making", f"Patches are written for a rule: {rules[0]}", maker="patch")
        question = Question(build, files[PAGE].decode(), tuple(rules), reason, number, codes)
        with ThreadPoolExecutor(SAMPLES, "patch") as pool:
            # Each thread works for the build's own request and trace.
            asked = [
                pool.submit(contextvars.copy_context().run, self._asked, question, sample) for sample in range(SAMPLES)
            ]
            proposed = dict.fromkeys(answer for one in asked if (answer := one.result()) is not None)
        return choice.of(tuple(proposed))

    def _asked(self, question: Question, sample: int) -> tuple[str, str] | None:
        """A rule and the lines for it. None if there is no usable answer; the reason is an event.

        The first sample of a try is greedy. All others are sampled.
        """
        number, build = question.number, question.build
        rule = question.rules[(number + sample) % len(question.rules)]
        attempt = 1 if sample == 0 else 2 + number * SAMPLES + sample
        try:
            inputs = patch.inputs(question.page, rule, question.reason)
            result = self.asking.ask(build.id, PROMPT, inputs, build.budget, attempt=attempt)
            if result.problem is not None or result.answer.finish_reason == "length":
                raise UnusableAnswer(result.problem or "The answer was cut.")
            require_no_check(result.text, question.codes)
            return rule, patch.lines_of(result.text)
        except UnusableAnswer as error:
            self.store.event(build.id, "unusable patch", str(error), maker="patch")
        except SameboatError as error:
            self.store.event(build.id, "model", str(error), maker="patch")
        return None


class PatchChoice:
    """The choice among the patches of a try."""

    def __init__(
        self,
        store: Store,
        looks: ShortLooks,
        build: Build,
        files: Mapping[str, bytes],
        target: Check,
        checks: Sequence[Check],
    ) -> None:
        self.store = store
        self.looks = looks
        self.build = build
        self.files = files
        self.target = target
        self.checks = checks
        self.passed: frozenset[Check] = frozenset()

    def can_improve(self) -> bool:
        """Whether the version without a patch opens. Its short look is what the patches are compared with."""
        passed = [*self.looks.passing(self.build, [self.files], self.checks), None][0]
        if passed is None:
            text = "No patch: the page does not open without errors, and a rule more would not mend that."
            self.store.event(self.build.id, "making", text)
            return False
        self.passed = passed
        return True

    def of(self, proposed: Sequence[tuple[str, str]]) -> dict[str, bytes] | None:
        """The files with the patch that is worth most. Those that do not mend the check are not looked at further."""
        changes = [patch.patched(self.files, rule, lines) for rule, lines in proposed]
        seen = self.looks.passing(self.build, [{**self.files, **one} for one in changes], [self.target])
        mending = [one for one, passed in zip(changes, seen, strict=False) if passed]
        sites = [{**self.files, **one} for one in mending]
        seen = self.looks.passing(self.build, sites, self.checks, until_passed=True)
        worth = [self._worth(passed) if passed is not None else (-1, -1) for passed in seen]
        if not worth or max(worth) <= self._worth(self.passed):
            return None
        return mending[worth.index(max(worth))]

    def _worth(self, passed: frozenset[Check]) -> tuple[int, int]:
        """The checks of this round count before those of earlier rounds, as among whole versions."""
        kept = sum(check.round is not None for check in passed)
        return len(passed) - kept, kept
