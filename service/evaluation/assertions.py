r"""promptfoo's assertions: a cell of `__expected`, and the regular expression that judges as an assertion does.

In: a cell, or an assertion's type and value. Out: type and value, or a pattern of Python's `re` that is found in
exactly the answers that pass.
promptfoo 0.121 (src/assertions) compares exactly and with upper and lower case, if the type does not begin with `i`.
Not here: the tests of a configuration (`promptfoo_tests`).
"""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from service.errors import EvaluationError
from service.evaluation.javascript_patterns import from_javascript

# The names that a cell of `__expected` may begin with
ASSERTION = re.compile(
    r"(?P<name>(?:not-)?(?:equals|i?contains(?:-any|-all|-json|-sql|-xml)?|starts-with|regex|is-json|is-sql|is-xml|javascript"
    r"|fn|eval|python|ruby|llm-rubric|grade|factuality|similar|levenshtein|latency|cost|webhook|classifier|moderation"
    r"|answer-relevance|context-[a-z-]+|model-graded-[a-z]+|rouge-n|bleu|gleu|meteor|perplexity(?:-score)?|g-eval"
    r"|is-refusal|is-valid-[a-z-]+))(?:\([^)]*\))?(?::\s*(?P<value>.*))?",
    re.DOTALL,
)
WITH_VALUE = ("equals", "contains", "icontains", "starts-with", "regex")
EXACT_INTEGER = 2**53  # a larger integer is rounded in JavaScript
ANYTHING = "(?:)"
"""A pattern that is found in every answer, as an empty text is."""


def of_cell(cell: str, where: str) -> tuple[str, str | None]:
    """The assertion's type and value of a cell. A cell without a type is compared as a whole.

    Raises:
        EvaluationError: if the cell names a file.
    """
    match = ASSERTION.fullmatch(cell.strip())
    if match is None or (match["value"] is None and match["name"].removeprefix("not-") in WITH_VALUE):
        if cell.strip().startswith("file://"):
            raise EvaluationError(f"{where}: __expected names a file, which is not read.", key="__expected")
        return "equals", cell.strip()
    return match["name"], None if match["value"] is None else match["value"].strip()


def pattern(kind: str, value: Any) -> str | None:
    """The pattern for an assertion about the answer's text. None if there is none for its type or value."""
    base = kind.removeprefix("not-")
    inner: str | None
    texts = [text_of(item) for item in _list(value)] if base.endswith(("-any", "-all")) else [text_of(value)]
    literal = [re.escape(text) for text in texts]
    match base:
        case "equals":
            inner = rf"\A{literal[0]}\Z"
        case "contains" | "contains-any":
            inner = "|".join(literal)
        case "icontains" | "icontains-any":
            inner = f"(?i:{'|'.join(literal)})"
        case "contains-all" | "icontains-all":
            inner = r"\A" + "".join(rf"(?=[\s\S]*{text})" for text in literal)
            inner = f"(?i:{inner})" if base.startswith("i") else inner
        case "starts-with":
            inner = rf"\A{literal[0]}"
        case "regex":
            inner = from_javascript(texts[0])
        case _:
            return None
    if inner is None:
        return None
    inner = rf"\A(?![\s\S]*(?:{inner}))" if kind != base else inner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(inner)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        return None
    return inner


def text_of(value: Any) -> str:
    """A value as JavaScript writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > EXACT_INTEGER):
        return _number_text(float(value))
    return str(value)


def _number_text(value: float) -> str:
    """ECMAScript's Number::toString: the shortest digits, with an exponent from 1e21 and below 1e-6."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value and not 1e-6 <= abs(value) < 1e21:
        return re.sub(r"e([+-])0*", r"e\1", repr(value))
    text = format(Decimal(repr(value)), "f")
    return "0" if not value else text.removesuffix(".0")


def _list(value: Any) -> Sequence[Any]:
    """The items of a list, or of a text with commas between them."""
    if isinstance(value, (list, tuple)):
        return value
    rows = list(csv.reader([text_of(value)], skipinitialspace=True))
    return [cell.strip() for cell in rows[0]] if rows else []
