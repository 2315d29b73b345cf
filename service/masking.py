"""Replaces private parts of texts that are kept for operators: e-mail addresses, numbers and keys.

In: a text, or a JSON value. Out: the same with marks in place of these.
Not here: the decision to keep a text (`http.access`, `drift`), and the search before a push (`builds.secrets_scan`).

A small documented set, and no promise: names, places and topics stay. Rules:

* `[email]`: an e-mail address.
* `[number]`: five digits or more, with spaces, dots, dashes, slashes or brackets between them (phone numbers, cards,
  dates, account numbers), and international account numbers (ISO 13616).
* `[key]`: a private key in PEM, a JSON web token, a key with a known beginning (the formats of the issuers' docs), the
  credentials in a URL, and 32 or more characters of letters and digits mixed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LONGEST = 2000  # characters of one text that are kept
READ = 2 * LONGEST  # characters that are looked at, so that a key at the cut is seen whole
RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,8000}(?:-----END [A-Z ]{0,30}-----)?"), "[key]"),
    (re.compile(r"(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}(?=@)"), "[key]"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), "[key]"),
    (
        re.compile(
            r"\b(?:sk|pk|rk|whsec|hf|ghp|gho|ghs|ghu|glpat|github_pat|xox[abprs]|npm|pypi|sb)[-_][\w-]{8,}"
            r"|\bAKIA[0-9A-Z]{12,}|\bAIza[\w-]{20,}"
        ),
        "[key]",
    ),
    (re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"), "[key]"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[email]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), "[number]"),
    (re.compile(r"(?<![\w+/=-])(?=[\w+/=-]{0,200}?\d)(?=[\w+/=-]{0,200}?[A-Za-z])[\w+/=-]{32,}"), "[key]"),
    (re.compile(r"\+?(?:\d[ .()/-]{0,3}){4,40}\d"), "[number]"),
)


def masked(text: str) -> str:
    """The text with marks, cut after `LONGEST` characters."""
    text = text[:READ]
    for pattern, mark in RULES:
        text = pattern.sub(mark, text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def masked_value(value: Any) -> Any:
    """A JSON value with every text masked. A number of five digits or more is masked too."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(name)): masked_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_value(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and masked(str(value)) != str(value):
        return masked(str(value))
    return value
