"""Generated pages in a headless browser: the checks, and the browser's observation.

In: files and JavaScript expressions. Out: a `PageObservation`. Not here: the rules for a repository (`verify`).
`process.look` starts the child process, and `page.look_at_all` runs in it. Only `page` imports Playwright.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from service.builds.check_code import IDS as IDS  # a promoted evaluator reads it here

Verdict = Literal["passed", "failed", "not judged"]
MOST_ERRORS, ERROR_CHARACTERS = 200, 500
MOST_NAMED, NAME_CHARACTERS = 10, 80


@dataclass(frozen=True)
class Check:
    """A check. `js` is its expression, given or translated. It is None in a check of the repository."""

    said: str
    js: str | None = None
    translated: bool = False
    round: int | None = None  # the earlier round that it is from


WRONG_TRANSLATION = "its translation to code is wrong"  # how the reason of such a check begins


@dataclass(frozen=True)
class PageCheckResult:
    """The result of one check."""

    said: str
    verdict: Verdict
    reason: str
    js: str | None = None
    translated: bool = False
    round: int | None = None


@dataclass
class PageObservation:
    """The results, errors and picture of a page."""

    outcomes: list[PageCheckResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    screenshot: bytes | None = None
    missing: list[str] = field(default_factory=list)  # files of its own that the page asked for in vain
    refused: list[str] = field(default_factory=list)  # other hosts that it asked for

    def note(self, error: str) -> None:
        """Add an error of the page. Long errors are cut, and only the first MOST_ERRORS are kept."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(error[:ERROR_CHARACTERS])

    def miss(self, path: str) -> None:
        """Add a missing file of the site that the page requested. The icon is the browser's own request."""
        if len(self.missing) < MOST_NAMED and "favicon.ico" not in path:
            self.missing.append(path[:NAME_CHARACTERS])

    def refuse(self, host: str) -> None:
        """Add a host that the page requested."""
        self.note(f"refused a request to {host}: generated code has no network here")
        if len(self.refused) < MOST_NAMED:
            self.refused.append(host[:NAME_CHARACTERS])

    @property
    def console(self) -> tuple[str, ...]:
        """Each error once, in order."""
        return tuple(dict.fromkeys(self.errors))
