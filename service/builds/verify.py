"""Verification before publishing: the repository's own checks, and the page in a browser without a network.

In: candidate files, checks. Out: a `VerificationReport`: each check passed or failed with a reason, console errors, a
screenshot. A sentence about licence, README or an attachment is judged here. A sentence about the page was translated
to JavaScript before, or it is reported as not judged.

Not here: the making of the files (`generate`), and how a page is opened (`browser`).
"""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from service.builds import page_elements
from service.builds.brief import Attachment
from service.builds.browser import WRONG_TRANSLATION, Check, PageCheckResult
from service.builds.browser.process import look
from service.builds.file_sentences import as_code
from service.builds.generate.scaffold import README_SECTIONS
from service.errors import BuildError, SettingsError

log = logging.getLogger("sameboat.builds")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LICENCE, README, IDENTICAL = "LICENSE is MIT", "README.md has its sections", "attachments are identical"
ELEMENTS, MOST_NAMED = "the page has the elements that the brief names", 20
WRONG_CODE = re.compile(r"ReferenceError: (?P<name>[\w$]+) is not defined|SyntaxError\b(?!(?s:.*)\bJSON\b)")
TOOLS = {"assert", "browser", "cy", "driver", "expect", "fs", "module", "page", "path", "process", "require", "test"}
"""Names of Node and of test tools. Pages have none of them, though sentences have such words."""
LIBRARIES = {"Chart", "L", "Papa", "Plotly", "React", "THREE", "Vue", "bootstrap", "d3", "hljs", "marked"}
"""Names that a page has when it loads its library."""
NAMED = r"`%s\b|(?<![\w$])%s\(|\b(?:window\.|functions?\s(?:(?:called|named)\s)?[`'\"]?)%s\b|\b%s[`'\"]?\sfunction\b"
# Sentences of senders that mean one of our own checks.
MEANT = (
    (LICENCE, re.compile(r"\blicen[cs]e\b", re.IGNORECASE)),
    (README, re.compile(r"\breadme\b", re.IGNORECASE)),
    (IDENTICAL, re.compile(r"\bas[- ]is\b|matches the attached|identical to the attached", re.IGNORECASE)),
)


@dataclass(frozen=True)
class VerificationReport:
    """The results of all checks. `console`: errors that the page logged or threw, and refused requests."""

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
        """How many checks of earlier rounds passed."""
        return sum(outcome.verdict == "passed" and outcome.round is not None for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence per failed check, for people and for a repair."""
        return self._sentences("failed")

    @property
    def not_judged(self) -> tuple[str, ...]:
        """One sentence per check that could not be judged."""
        return self._sentences("not judged")

    def _sentences(self, verdict: str) -> tuple[str, ...]:
        results = [result for result in self.outcomes if result.verdict == verdict]
        return tuple(f"{_origin(result)}{result.said}: {result.reason}" for result in results)

    def plain(self) -> dict[str, Any]:
        """As JSON, without the screenshot."""
        return {
            "passed": self.passed,
            "failed": list(self.failures),
            "outcomes": [asdict(result) for result in self.outcomes],
            "console": list(self.console),
            "browser": self.browser,
        }


def _origin(outcome: PageCheckResult) -> str:
    return f"check of round {outcome.round}: " if outcome.round is not None else ""


def find_browser(setting: str | None) -> tuple[str | None, str]:
    """Chromium's path and the reason for this one. The path is None if Playwright, which drives it, is not installed.

    Raises:
        SettingsError: if the setting names no program.
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


def is_about_repository(sentence: str) -> bool:
    """Whether a sentence is about the licence, the README or an unchanged attachment, and not about the page."""
    return any(pattern.search(sentence) for _, pattern in MEANT)


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
    named: Iterable[str] = (),
    brief: str = "",
) -> VerificationReport:
    """Run all checks within about `timeout_s`.

    `network`: the hosts (with port) that the page may reach. `namespace`: open it only if the kernel keeps it from all
    other hosts. `to_change`: the attachments that the brief says to change. `named`: the ids that it names. Names
    that only `brief` has are no wrong translation. If no browser is there or runs, its checks are reported as not
    judged, with the reason.
    """
    checks = list(checks)
    ours = check_repository(files, list(attachments), to_change)
    outcomes = [*ours.values(), *_sentences(checks, ours), *_elements(files, tuple(named))]
    in_page = [check for check in checks if check.js is not None]
    why = "there is no browser here"
    if browser is not None:
        try:
            seen = look(files, in_page, browser=browser, timeout_s=timeout_s, network=network, namespace=namespace)
            judged = [_by_right_translation(result, brief) for result in seen.outcomes]
            return VerificationReport((*outcomes, *judged), seen.console[:50], browser, seen.screenshot)
        except BuildError as error:  # the site is not to blame, and is published with what could be judged
            why = error.message
            log.warning("%s", why)
    outcomes += [
        PageCheckResult(check.said, "not judged", why, check.js, check.translated, check.round) for check in in_page
    ]
    return VerificationReport(tuple(outcomes), browser="none")


def _by_right_translation(result: PageCheckResult, brief: str) -> PageCheckResult:
    """The result. A translation that is wrong in itself judges no page: it has unknown names, or is no code.

    A name that the page should have, and a file that is no JSON, are the page's faults. The translation of an earlier
    round worked there.
    """
    if not result.translated or result.verdict != "failed" or result.round is not None:
        return result
    wrong = WRONG_CODE.match(result.reason)
    if wrong is None or result.js is None or result.js == as_code(result.said):
        return result
    if (name := wrong["name"]) and not _invented(name, result, brief):
        return result
    return replace(result, verdict="not judged", reason=f"{WRONG_TRANSLATION}: {result.reason}")


def _invented(name: str, result: PageCheckResult, brief: str) -> bool:
    """Whether the code itself uses this name, and neither sentence nor brief nor a library has it."""
    word = re.escape(name)
    if name in LIBRARIES or not re.search(rf"(?<![\w$.#'\"-]){word}(?![\w$])", result.js or ""):
        return False
    asked = re.compile(NAMED.replace("%s", word))
    if asked.search(result.said) or asked.search(brief):
        return False
    return name in TOOLS or not re.search(rf"(?<![\w$]){word}(?![\w$])", result.said)


def check_repository(
    files: Mapping[str, bytes], attachments: list[Attachment], to_change: Iterable[Attachment] = ()
) -> dict[str, PageCheckResult]:
    """The checks of every repository, by name. Each attachment of `to_change` must differ from the sent one."""

    def judged(sentence: str, good: bool, reason: str) -> PageCheckResult:
        return PageCheckResult(sentence, "passed" if good else "failed", "as it should be" if good else reason)

    licence = files.get("LICENSE", b"").decode("utf-8", "replace")
    readme = files.get("README.md", b"").decode("utf-8", "replace").lower()
    missing = [section for section in README_SECTIONS if f"# {section.lower()}" not in readme]
    changed = [attachment.name for attachment in attachments if files.get(attachment.name) != attachment.data]
    outcomes = [
        judged(LICENCE, "MIT License" in licence and "WITHOUT WARRANTY" in licence, "it is not"),
        judged(README, not missing, f"it lacks {', '.join(missing)}"),
        judged(IDENTICAL, not changed, f"{', '.join(changed)} differ"),
        judged("index.html is there", "index.html" in files, "it is not"),
    ]
    for attachment in to_change:
        same = files.get(attachment.name) == attachment.data
        outcomes.append(judged(f"{attachment.name} is changed as the brief asks", not same, "it is as it was sent"))
    return {result.said: result for result in outcomes}


def _elements(files: Mapping[str, bytes], named: tuple[str, ...]) -> list[PageCheckResult]:
    """Whether the site has the elements that the brief names. Nothing, if it names none."""
    if not named:
        return []
    lacks = page_elements.missing(files, named)
    if not lacks:
        return [PageCheckResult(ELEMENTS, "passed", "as it should be")]
    told = ", ".join(f"#{one}" for one in lacks[:MOST_NAMED])
    if page_elements.computes_ids(files):
        return [PageCheckResult(ELEMENTS, "not judged", f"the page computes ids, and may make {told}")]
    return [PageCheckResult(ELEMENTS, "failed", f"nothing makes {told}")]


def _sentences(checks: list[Check], ours: Mapping[str, PageCheckResult]) -> list[PageCheckResult]:
    """The checks without code. Each one is judged by our own check that it means, or reported as not judged."""
    results = []
    for check in checks:
        if check.js is not None:
            continue
        meant = next((name for name, pattern in MEANT if pattern.search(check.said)), None)
        if meant is None:
            results.append(PageCheckResult(check.said, "not judged", "nobody here has translated it to code"))
        else:
            results.append(PageCheckResult(check.said, ours[meant].verdict, f"{meant}: {ours[meant].reason}"))
    return results
