"""Verification before publishing: the repository's own checks, and the page in a browser that reaches nothing.

In: candidate files, checks. Out: a `VerificationReport`: each check passed or failed with a reason, console
errors, a screenshot. A sentence about licence, README or an attachment is judged here; one about the page was
translated to JavaScript before, or is reported as not judged. It does not know who made the files, or how.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from service.builds.brief import Attachment
from service.builds.browser import Check, PageCheckResult
from service.builds.browser.process import look
from service.builds.generate.scaffold import README_SECTIONS
from service.errors import BuildError, SettingsError

log = logging.getLogger("sameboat.builds")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LICENCE, README, IDENTICAL = "LICENSE is MIT", "README.md has its sections", "attachments are identical"
# Sentences that mean one of our own checks, as senders write them.
MEANT = (
    (LICENCE, re.compile(r"\blicen[cs]e\b", re.IGNORECASE)),
    (README, re.compile(r"\breadme\b", re.IGNORECASE)),
    (IDENTICAL, re.compile(r"\bas[- ]is\b|matches the attached|identical to the attached", re.IGNORECASE)),
)


@dataclass(frozen=True)
class VerificationReport:
    """All outcomes. `console` are errors that the page logged or threw, and requests that were refused."""

    outcomes: tuple[PageCheckResult, ...]
    console: tuple[str, ...] = ()
    browser: str = ""
    screenshot: bytes | None = field(default=None, repr=False)

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(outcome.verdict == "passed" for outcome in self.outcomes)

    @property
    def kept(self) -> int:
        """How many of them are checks of earlier rounds."""
        return sum(outcome.verdict == "passed" and outcome.round is not None for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[str, ...]:
        """What failed, for people and for a repair."""
        return tuple(f"{_of(each)}{each.said}: {each.reason}" for each in self.outcomes if each.verdict == "failed")

    @property
    def not_judged(self) -> tuple[str, ...]:
        """What nobody could judge, and why."""
        return tuple(f"{_of(each)}{each.said}: {each.reason}" for each in self.outcomes if each.verdict == "not judged")

    def plain(self) -> dict[str, Any]:
        """As JSON, without the screenshot."""
        return {
            "passed": self.passed,
            "failed": list(self.failures),
            "outcomes": [asdict(each) for each in self.outcomes],
            "console": list(self.console),
            "browser": self.browser,
        }


def _of(outcome: PageCheckResult) -> str:
    return f"check of round {outcome.round}: " if outcome.round is not None else ""


def find_browser(setting: str | None) -> tuple[str | None, str]:
    """Chromium's path and why that one; none where Playwright, which drives it, is not installed.

    Raises SettingsError when the setting names none.
    """
    if setting:
        if not (path := shutil.which(setting)):
            raise SettingsError(f"SAMEBOAT_BROWSER names {setting!r}, which is no program.", key="SAMEBOAT_BROWSER")
        return path, "set by SAMEBOAT_BROWSER"
    if importlib.util.find_spec("playwright") is None:
        return None, "playwright, the extra `browser`, is not installed"
    for name in BROWSERS:
        if path := shutil.which(name):
            return path, f"{name} is on PATH"
    return None, f"none of {', '.join(BROWSERS)} is on PATH"


def is_about_repository(said: str) -> bool:
    """Whether a sentence is about licence, README or an attachment as it is, and not about the page."""
    return any(pattern.search(said) for _, pattern in MEANT)


def verify(
    files: Mapping[str, bytes],
    checks: Iterable[Check],
    attachments: Iterable[Attachment],
    *,
    browser: str | None,
    timeout_s: float,
    network: frozenset[str] = frozenset(),
    namespace: bool = False,
    to_change: Iterable[Attachment] = (),
) -> VerificationReport:
    """Run everything within about `timeout_s`. `network` are the hosts (with port) that the page may reach; with
    `namespace` it is opened only where the kernel keeps it from all others. `to_change` are the attachments that the
    brief says to work on.

    Where no browser is, or the one that is does not run, what it would judge is reported as not judged, and why.
    """
    checks = list(checks)
    ours = check_repository(files, list(attachments), to_change)
    outcomes = [*ours.values(), *_sentences(checks, ours)]
    in_page = [check for check in checks if check.js is not None]
    why = "there is no browser here"
    if browser is not None:
        try:
            seen = look(files, in_page, browser=browser, timeout_s=timeout_s, network=network, namespace=namespace)
            return VerificationReport((*outcomes, *seen.outcomes), seen.console[:50], browser, seen.screenshot)
        except BuildError as error:  # the site is not to blame, and is published with what could be judged
            why = error.message
            log.warning("%s", why)
    outcomes += [
        PageCheckResult(check.said, "not judged", why, check.js, check.translated, check.round) for check in in_page
    ]
    return VerificationReport(tuple(outcomes), browser="none")


def check_repository(
    files: Mapping[str, bytes], attachments: list[Attachment], to_change: Iterable[Attachment] = ()
) -> dict[str, PageCheckResult]:
    """What every repository must hold, by name; of `to_change` each must differ from what was sent."""

    def judged(said: str, good: bool, reason: str) -> PageCheckResult:
        return PageCheckResult(said, "passed" if good else "failed", "as it should be" if good else reason)

    licence = files.get("LICENSE", b"").decode("utf-8", "replace")
    readme = files.get("README.md", b"").decode("utf-8", "replace").lower()
    missing = [section for section in README_SECTIONS if f"# {section.lower()}" not in readme]
    changed = [each.name for each in attachments if files.get(each.name) != each.data]
    outcomes = [
        judged(LICENCE, "MIT License" in licence and "WITHOUT WARRANTY" in licence, "it is not"),
        judged(README, not missing, f"it lacks {', '.join(missing)}"),
        judged(IDENTICAL, not changed, f"{', '.join(changed)} differ"),
        judged("index.html is there", "index.html" in files, "it is not"),
    ]
    for each in to_change:
        same = files.get(each.name) == each.data
        outcomes.append(judged(f"{each.name} is changed as the brief asks", not same, "it is as it was sent"))
    return {each.said: each for each in outcomes}


def _sentences(checks: list[Check], ours: Mapping[str, PageCheckResult]) -> list[PageCheckResult]:
    """The sentences that no code stands for: judged by what they mean of ours, or not judged, and never dropped."""
    found = []
    for check in checks:
        if check.js is not None:
            continue
        meant = next((name for name, pattern in MEANT if pattern.search(check.said)), None)
        if meant is None:
            found.append(PageCheckResult(check.said, "not judged", "nobody here has translated it to code"))
        else:
            found.append(PageCheckResult(check.said, ours[meant].verdict, f"{meant}: {ours[meant].reason}"))
    return found
