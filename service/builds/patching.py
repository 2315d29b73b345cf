"""Tries to add one rule to the best version: a model writes a few patches, and a browser chooses among them.

In: a build, its best version, and how often this was tried. Out: the files of the best patch, or None. The patches of a
try are asked for at the same time, because several short answers cost a model here little more than one. Each one is
judged by the check that it is for, and then by all of them. Not here: questions and files (`generate.patch`), the
checks of a whole version (`verify`), which comes after this.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.builds.browser import Check
from service.builds.browser.process import look
from service.builds.build import Build, Candidate
from service.builds.generate import UnusableAnswer, patch
from service.builds.generate.edits import PAGE
from service.builds.generate.fetched_sources import hosts
from service.builds.generate.model_client import ModelClient
from service.builds.generate.write import require_no_check
from service.builds.store import Store
from service.errors import BuildError, SameboatError
from service.settings import Settings

log = logging.getLogger("sameboat.builds")
PROMPT = "build-patch"
SAMPLES = 4  # of a try
FEW = 2  # failed checks that a patch may mend, or half of all: a page that fails more needs another script
LOOK_S = 20.0  # of one look at a patch


@dataclass(frozen=True)
class Patcher:
    """`browser`: Chromium's path. Without a browser nobody could choose."""

    settings: Settings
    store: Store
    asking: ModelClient
    browser: str | None

    def patch(self, build: Build, best: Candidate, number: int) -> dict[str, bytes] | None:
        """The files of the version with the patch that passes most checks, if it passes more. `number` begins at 0.

        Raises:
            BuildError: if the build was cancelled.
        """
        files = self.store.files(build.id, best.files)
        checks, failed = _judged(best)
        if self.browser is None or not failed or not patch.can_patch(files):
            return None
        if len(failed) > max(FEW, len(checks) // 2):
            self.store.event(build.id, "making", f"No patch: {len(failed)} of {len(checks)} checks fail.")
            return None
        target, reason = failed[number % len(failed)]
        broken = {check for check, _ in failed}
        passing = [check.js for check in checks if check not in broken and check.js is not None]
        rules = patch.rules(build.brief, target.said, target.js or "", passing)
        page = files[PAGE].decode("utf-8", "replace")
        self.store.event(build.id, "making", f"Patches are written for a rule: {rules[0]}", maker="patch")
        with ThreadPoolExecutor(SAMPLES, "patch") as pool:
            answers = pool.map(
                lambda sample: self._asked(build, page, rules, reason, number, sample, checks), range(SAMPLES)
            )
            proposed = dict.fromkeys(answer for answer in answers if answer is not None)
        return self._chosen(build, files, tuple(proposed), target, checks, len(checks) - len(failed))

    def _asked(
        self,
        build: Build,
        page: str,
        rules: Sequence[str],
        reason: str,
        number: int,
        sample: int,
        checks: Sequence[Check],
    ) -> tuple[str, str] | None:
        """A rule and the lines for it. None if there is no usable answer; the reason is an event.

        The first sample of a try is greedy. All others are sampled.
        """
        rule = rules[(number + sample) % len(rules)]
        attempt = 1 if sample == 0 else 2 + number * SAMPLES + sample
        try:
            inputs = patch.inputs(page, rule, reason)
            result = self.asking.ask(build.id, PROMPT, inputs, build.budget, attempt=attempt)
            if result.problem is not None or result.answer.finish_reason == "length":
                raise UnusableAnswer(result.problem or "The answer was cut.")
            require_no_check(result.text, tuple(check.js for check in checks if check.js is not None))
            return rule, patch.lines_of(result.text)
        except UnusableAnswer as error:
            self.store.event(build.id, "unusable patch", str(error), maker="patch")
        except SameboatError as error:
            self.store.event(build.id, "model", str(error), maker="patch")
        return None

    def _chosen(
        self,
        build: Build,
        files: Mapping[str, bytes],
        proposed: Sequence[tuple[str, str]],
        target: Check,
        checks: Sequence[Check],
        passed: int,
    ) -> dict[str, bytes] | None:
        """The files with the patch that passes most checks, if these are more than `passed`. The first such one that
        passes all ends the search.
        """
        best: dict[str, bytes] | None = None
        for rule, lines in proposed:
            if build.budget.for_generation(time.time()) <= 0:
                break
            changed = patch.patched(files, rule, lines)
            site = {**files, **changed}
            if self._passed(site, [target]) == 0:
                continue
            now = self._passed(site, checks)
            if now > passed:
                best, passed = changed, now
            if passed == len(checks):
                break
        return best

    def _passed(self, site: Mapping[str, bytes], checks: Sequence[Check]) -> int:
        """How many of the checks pass. None does in a page that does not open, or throws errors while it does."""
        assert self.browser is not None
        network = hosts(self.settings.build_network)
        try:
            seen = look(
                site,
                checks,
                browser=self.browser,
                timeout_s=LOOK_S,
                network=network,
                namespace=self.settings.browser_namespace,
                patient=False,
            )
        except BuildError as error:  # the whole version is judged without a browser too
            log.warning("%s", error.message)
            return 0
        opened, *judged = seen.outcomes
        return sum(one.verdict == "passed" for one in judged) if opened.verdict == "passed" else 0


def _judged(version: Candidate) -> tuple[list[Check], list[tuple[Check, str]]]:
    """The checks of the page that were judged, and those that failed, each with its reason."""
    checks: list[Check] = []
    failed: list[tuple[Check, str]] = []
    outcomes: list[dict[str, Any]] = (version.report or {}).get("outcomes", [])
    for one in outcomes:
        if one.get("js") is None or one["verdict"] == "not judged":
            continue
        check = Check(one["said"], one["js"], one["translated"], one.get("round"))
        checks.append(check)
        if one["verdict"] == "failed":
            failed.append((check, one["reason"]))
    return checks, failed
