"""Short looks at versions of a page in the browser, to choose among the answers of one try.

In: the files of some sites, and checks. Out: the checks that pass on each. Not here: the look at a whole version, with
its report and picture (`verify`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.builds.browser import Check, PageObservation
from service.builds.browser.process import look_at_all
from service.builds.build import Build, Candidate
from service.builds.generate.fetched_sources import hosts
from service.errors import BuildError
from service.settings import Settings

log = logging.getLogger("sameboat.builds")
LOOK_S = 20.0  # of a look at one site, at most
LONGER = 1.5  # a look takes at most so much more than its time


@dataclass(frozen=True)
class ShortLooks:
    """`browser`: Chromium's path. `load` gives a build as it is now."""

    settings: Settings
    browser: str
    load: Callable[[str], Build]

    def passing(
        self, build: Build, sites: Sequence[Mapping[str, bytes]], checks: Sequence[Check], *, until_passed: bool = False
    ) -> list[frozenset[Check] | None]:
        """The checks that pass, for each site. None for a page that throws errors or does not open in time.

        Sites that were not looked at are left out at the end: there was no time, or the browser ended.

        `until_passed`: no site is looked at after one that passes all checks.

        Raises:
            BuildError: if the build was cancelled.
        """
        self.load(build.id)
        left_s = build.budget.for_generation(time.time())
        if left_s <= 0 or not sites:
            return []
        try:
            observations = look_at_all(
                sites,
                checks,
                browser=self.browser,
                timeout_s=min(LOOK_S, left_s / LONGER / len(sites)),
                network=hosts(self.settings.build_network),
                namespace=self.settings.browser_namespace,
                patient=False,
                until_passed=until_passed,
            )
        except BuildError as error:  # the whole version is judged without a browser too
            log.warning("%s", error.message)
            return []
        return [_passed(seen, checks) for seen in observations]


def _passed(seen: PageObservation, checks: Sequence[Check]) -> frozenset[Check] | None:
    opened, *judged = seen.outcomes
    if opened.verdict != "passed":
        return None
    return frozenset(check for check, one in zip(checks, judged, strict=True) if one.verdict == "passed")


def judged(version: Candidate) -> tuple[list[Check], list[tuple[Check, str]]]:
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
