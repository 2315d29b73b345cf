"""Verification before publishing: the files' own checks, and the page in a real browser that reaches nothing.

What comes in: candidate files, checks. What goes out: a `Report`: each check passed or failed with a reason, console
errors, a screenshot. The page is answered from memory at an address that does not exist; every other request is
refused, names resolve to nothing and a dead proxy takes the rest, so generated code has no network, and its origin is
never ours. A check that is a sentence is judged here only when it is about the repository; others are translated to
JavaScript before, or are reported as not judged.
"""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from service.builds.brief import Attachment
from service.builds.generate.frame import README_SECTIONS
from service.errors import BuildError, SettingsError

ORIGIN = "https://build.invalid"  # RFC 2606: never resolves
CHECK_S = 10.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ISOLATED = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",  # the discard port: what a route does not answer ends there
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)

Verdict = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True)
class Check:
    """A check to run. `js` is the expression, given or translated; None for one about the repository."""

    said: str
    js: str | None = None
    translated: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    said: str
    verdict: Verdict
    reason: str
    js: str | None = None
    translated: bool = False


@dataclass(frozen=True)
class Report:
    """All outcomes. `console` are errors that the page logged or threw."""

    outcomes: tuple[Outcome, ...]
    console: tuple[str, ...] = ()
    browser: str = ""
    screenshot: bytes | None = field(default=None, repr=False)

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(outcome.verdict == "passed" for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[str, ...]:
        """What failed, for people and for a repair."""
        return tuple(f"{each.said}: {each.reason}" for each in self.outcomes if each.verdict == "failed")

    def plain(self) -> dict[str, Any]:
        """As JSON, without the screenshot."""
        return {
            "passed": self.passed,
            "failed": list(self.failures),
            "outcomes": [asdict(each) for each in self.outcomes],
            "console": list(self.console),
            "browser": self.browser,
        }


def find_browser(setting: str | None) -> tuple[str | None, str]:
    """Chromium's path and why that one. Raises SettingsError when the setting names none."""
    if setting:
        if not (path := shutil.which(setting)):
            raise SettingsError(f"SAMEBOAT_BROWSER names {setting!r}, which is no program.", key="SAMEBOAT_BROWSER")
        return path, "set by SAMEBOAT_BROWSER"
    for name in BROWSERS:
        if path := shutil.which(name):
            return path, f"{name} is on PATH"
    return None, f"none of {', '.join(BROWSERS)} is on PATH"


def about_the_repository(said: str) -> bool:
    """Whether a sentence is about licence, README or an attachment as it is, and not about the page."""
    return bool(re.search(r"\blicen[cs]e\b|readme|\bas[- ]is\b|matches the attached", said, re.IGNORECASE))


def verify(
    files: Mapping[str, bytes],
    checks: Iterable[Check],
    attachments: Iterable[Attachment],
    *,
    browser: str | None,
    timeout_s: float,
) -> Report:
    """Run everything within about `timeout_s`."""
    checks = list(checks)
    outcomes = _repository(files, list(attachments))
    console: list[str] = []
    screenshot: bytes | None = None
    in_page = [check for check in checks if check.js is not None]
    if browser is None:
        outcomes += [
            Outcome(check.said, "not judged", "there is no browser here", check.js, check.translated)
            for check in in_page
        ]
    else:
        more, console, screenshot = _in_browser(files, in_page, browser, timeout_s)
        outcomes += more
    outcomes += [
        Outcome(check.said, "not judged", "no model here can translate it to code")
        for check in checks
        if check.js is None and not about_the_repository(check.said)
    ]
    return Report(tuple(outcomes), tuple(console[:50]), browser or "none", screenshot)


def _repository(files: Mapping[str, bytes], attachments: list[Attachment]) -> list[Outcome]:
    """What every repository must hold."""

    def judged(said: str, good: bool, reason: str) -> Outcome:
        return Outcome(said, "passed" if good else "failed", "as it should be" if good else reason)

    licence = files.get("LICENSE", b"").decode("utf-8", "replace")
    readme = files.get("README.md", b"").decode("utf-8", "replace").lower()
    missing = [section for section in README_SECTIONS if f"# {section.lower()}" not in readme]
    changed = [each.name for each in attachments if files.get(each.name) != each.data]
    return [
        judged("LICENSE is MIT", "MIT License" in licence and "WITHOUT WARRANTY" in licence, "it is not"),
        judged("README.md has its sections", not missing, f"it lacks {', '.join(missing)}"),
        judged("attachments are identical", not changed, f"{', '.join(changed)} differ"),
        judged("index.html is there", "index.html" in files, "it is not"),
    ]


def _in_browser(
    files: Mapping[str, bytes], checks: list[Check], browser: str, timeout_s: float
) -> tuple[list[Outcome], list[str], bytes | None]:
    """The page, opened once per check so that no check disturbs the next."""
    from playwright.sync_api import Error, Route, sync_playwright

    console: list[str] = []

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        path = unquote(url.path).lstrip("/") or "index.html"
        if f"{url.scheme}://{url.netloc}" != ORIGIN:
            console.append(f"refused a request to {url.scheme}://{url.netloc}: generated code has no network here")
            route.abort("blockedbyclient")
        elif path in files or f"{path.rstrip('/')}/index.html" in files:
            path = path if path in files else f"{path.rstrip('/')}/index.html"
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            route.fulfill(status=200, body=files[path], content_type=_charset(kind))
        else:
            route.fulfill(status=404, body=b"not found", content_type="text/plain")

    outcomes: list[Outcome] = []
    picture: bytes | None = None
    step_ms = 1000 * min(CHECK_S, max(2.0, timeout_s / (len(checks) + 1)))
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser,
                headless=True,
                args=list(ISOLATED),
                chromium_sandbox=os.geteuid() != 0,  # Chromium refuses its sandbox to root
                timeout=60_000,
            )
            try:
                context = chromium.new_context(service_workers="block", accept_downloads=False, bypass_csp=True)
                context.route("**/*", answer)
                for check in [None, *checks]:
                    page = context.new_page()
                    page.on("pageerror", lambda error: console.append(f"uncaught: {error}"))
                    page.on("console", lambda said: console.append(said.text) if said.type == "error" else None)
                    try:
                        page.goto(f"{ORIGIN}/", timeout=step_ms, wait_until="load")
                        if check is None:
                            picture = page.screenshot(timeout=step_ms)
                            outcomes.append(_loads(console))
                        else:
                            page.wait_for_function(f"() => ({check.js}\n)", timeout=step_ms)
                            outcomes.append(Outcome(check.said, "passed", "is true", check.js, check.translated))
                    except Error as error:
                        said = "the page opens without errors" if check is None else check.said
                        js, translated = (check.js, check.translated) if check is not None else (None, False)
                        outcomes.append(Outcome(said, "failed", _words(error), js, translated))
                    finally:
                        page.close(run_before_unload=False)
            finally:
                chromium.close()
    except Error as error:
        raise BuildError(f"The browser {browser} does not run: {_words(error)}") from None
    return outcomes, list(dict.fromkeys(console)), picture


def _loads(console: list[str]) -> Outcome:
    said = "the page opens without errors"
    thrown = [each for each in console if each.startswith("uncaught")]
    return Outcome(said, "failed", thrown[0][:300]) if thrown else Outcome(said, "passed", "it does")


def _words(error: Exception) -> str:
    """The first line of Playwright's message, in our words where it only timed out."""
    first = str(error).splitlines()[0].removeprefix("Page.wait_for_function: ")
    return "did not become true in time" if "Timeout" in first else first[:300]


def _charset(kind: str) -> str:
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith(("javascript", "json")) else kind
