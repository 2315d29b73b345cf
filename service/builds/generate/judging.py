"""What the build prompts' answers are worth: checks of their cases, called by name from the prompt files.

What comes in: a case's values, the answer's text and parsed value. What goes out: True or False, or raises
EvaluationError where there is no browser to tell. A case holds `js` (expressions that must become true), `given`
(attachments by name), `previous` (the files that are edited or repaired), `good` and `bad` (pages a sentence is true
of, and not).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.builds.browser import IDS, Check
from service.builds.browser.process import look
from service.builds.generate import Unusable
from service.builds.generate.frame import STYLE, style
from service.builds.generate.write import read
from service.builds.verify import find_browser
from service.errors import EvaluationError
from service.prompts.observes import observes

TIMEOUT_S = 20.0


def parses(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The answer holds files, or edits that match exactly once."""
    return _made(values, text) is not None


def names_ids(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """Every id that the checks name is in the page, as they spell it."""
    made = _made(values, text)
    wanted = {first or second for check in values["js"] for first, second in IDS.findall(check)}
    page = made["index.html"].decode() if made else ""
    return all(re.search(rf"""["'`\s#=]{re.escape(each)}["'`\s>]""", page) for each in wanted)


@observes("a browser")
def works(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """Every expression of the case becomes true in the page, in a browser, and the page throws nothing."""
    made = _made(values, text)
    return made is not None and _all_pass(made, values["js"])


@observes("a browser")
def tells_apart(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The expression is true in the page of which the sentence is true, and not in the other."""
    js = value.get("js") if isinstance(value, dict) else None
    if not isinstance(js, str):
        return False
    return _all_pass({"index.html": values["good"].encode()}, [js]) and not _all_pass(
        {"index.html": values["bad"].encode()}, [js]
    )


def is_about(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The plan takes up a word of the brief, of five letters or more, by its first five."""
    said = {word[:5] for word in re.findall(r"[a-z]{5,}", values["brief"].lower())} - {
        "creat",
        "publi",
        "shows",
        "expla",
    }
    plan = {word[:5] for word in re.findall(r"[a-z]{5,}", text.lower())}
    return not said or bool(said & plan)


def _made(values: Mapping[str, Any], text: str) -> dict[str, bytes] | None:
    """The whole site, or None when the answer cannot be read."""
    given = {name: body.encode() for name, body in values.get("given", {}).items()}
    previous = {name: body.encode() for name, body in values.get("previous", {}).items()}
    try:
        made = read(text, previous, set(given))
    except Unusable:
        return None
    return {STYLE: style(), **previous, **made, **given}


def _all_pass(files: Mapping[str, bytes], js: list[str]) -> bool:
    browser, why = find_browser(None)
    if browser is None:
        raise EvaluationError(f"The cases run in a browser, and {why}.", key="python", remedy="Install Chromium.")
    checks = [Check(each, each) for each in js]
    seen = look(files, checks, browser=browser, timeout_s=TIMEOUT_S)
    return all(outcome.verdict == "passed" for outcome in seen.outcomes)
