"""Evaluators of the build prompts. The prompt files name them as `python` checks.

In: the values of a case, the answer's text and its parsed value. Out: True or False.

A case holds `js` (expressions that must become true), `given` (attachments by name), `previous` (the files that are
edited or repaired), and `good` and `bad` (a page of which a sentence is true, and one of which it is false).

Not here: how a page is opened (`browser`), and how observations are recorded (`evaluation.observation`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.builds.browser import IDS, Check
from service.builds.browser.process import look
from service.builds.generate import UnusableAnswer
from service.builds.generate.answer_parser import parse_answer
from service.builds.generate.patch import lines_of, patched
from service.builds.generate.scaffold import STYLE, style
from service.builds.verify import find_browser
from service.errors import EvaluationError
from service.prompts.external_check import external_check

TIMEOUT_S = 20.0


def parses(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The answer holds files, or edits that match exactly once."""
    return _site(values, text) is not None


def names_ids(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """Every id that the checks name is in the page, with the same spelling."""
    site = _site(values, text)
    ids = {first or second for check in values["js"] for first, second in IDS.findall(check)}
    page = site["index.html"].decode() if site else ""
    return all(re.search(rf"""["'`\s#=]{re.escape(name)}["'`\s>]""", page) for name in ids)


@external_check("a browser")
def works(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """Every expression of the case becomes true in the page, in a browser, and the page throws no error.

    Raises:
        EvaluationError: if there is no browser.
    """
    site = _site(values, text)
    return site is not None and _all_pass(site, values["js"])


def patches(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The answer holds a rule for a page."""
    return _patched(values, text) is not None


@external_check("a browser")
def patch_works(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """With the rule, every expression of the case becomes true in the page, and the page throws no error.

    Raises:
        EvaluationError: if there is no browser.
    """
    site = _patched(values, text)
    return site is not None and _all_pass(site, values["js"])


@external_check("a browser")
def tells_apart(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The expression is true in the good page and false in the bad one.

    Raises:
        EvaluationError: if there is no browser.
    """
    js = value.get("js") if isinstance(value, dict) else None
    if not isinstance(js, str):
        return False
    return _all_pass({"index.html": values["good"].encode()}, [js]) and not _all_pass(
        {"index.html": values["bad"].encode()}, [js]
    )


def is_about(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """The plan repeats a word of the brief. Words of five letters or more are compared by their first five."""
    brief = {word[:5] for word in re.findall(r"[a-z]{5,}", values["brief"].lower())} - {
        "creat",
        "publi",
        "shows",
        "expla",
    }
    plan = {word[:5] for word in re.findall(r"[a-z]{5,}", text.lower())}
    return not brief or bool(brief & plan)


def _site(values: Mapping[str, Any], text: str) -> dict[str, bytes] | None:
    """The whole site, or None if the answer cannot be read."""
    given = {name: body.encode() for name, body in values.get("given", {}).items()}
    previous = {name: body.encode() for name, body in values.get("previous", {}).items()}
    try:
        written = parse_answer(text, previous, set(given))
    except UnusableAnswer:
        return None
    return {STYLE: style(), **previous, **written, **given}


def _patched(values: Mapping[str, Any], text: str) -> dict[str, bytes] | None:
    """The site of the case with the rule of this answer, or None if it holds none."""
    previous = {name: body.encode() for name, body in values["previous"].items()}
    try:
        return {STYLE: style(), **previous, **patched(previous, values["rule"], lines_of(text))}
    except UnusableAnswer:
        return None


def _all_pass(files: Mapping[str, bytes], js: list[str]) -> bool:
    browser, why = find_browser(None)
    if browser is None:
        raise EvaluationError(f"The cases run in a browser, and {why}.", key="python", remedy="Install Chromium.")
    checks = [Check(expression, expression) for expression in js]
    observation = look(files, checks, browser=browser, timeout_s=TIMEOUT_S)
    return all(outcome.verdict == "passed" for outcome in observation.outcomes)
