"""promptfoo's weights, thresholds, transforms and sets of assertions, where they decide whether a test passes.

In: a test's assertions. Out: the assertions that all have to pass, and a mistake for each part that lets a test pass
although an assertion fails, or judges another text than the answer. A check here judges the answer, and counts by
itself. In promptfoo 0.121 (AssertionsResult) a test passes if all assertions pass. With a threshold it passes if the
weighted mean of their scores reaches it. A weight of 0 fails nothing.
Not here: the assertions themselves (`promptfoo_checks`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from service.evaluation.promptfoo_files import Node, Source

PASS_OR_FAIL = re.compile(
    r"(?:not-)?(?:equals|i?contains(?:-any|-all)?|(?:is|contains)-(?:json|xml|html|sql)|starts-with|regex|levenshtein"
    r"|word-count|finish-reason|is-refusal|latency|cost)"
)
"""Assertions with a score of 1 or 0."""
CODE = ("javascript", "python", "ruby", "webhook")
"""Assertions whose score can be any number. That of every other one is at most 1."""
REMEDY = "Take it out, and each assertion has to pass."
TRANSFORMS = ("transform", "postprocess", "transformVars")


def assertions(lists: Sequence[Node], threshold: Node, source: Source) -> list[Node]:
    """The assertions of a test, those of its sets among them."""
    checks = [check for node in lists for check in _listed(node, source)]
    all_must_pass(threshold, checks, source)
    return [one for check in checks for one in _of_set(check, source)]


def _listed(node: Node, source: Source) -> Iterator[Node]:
    """The assertions of a list."""
    if node.value is not None and not isinstance(node.value, list):
        source.mistake(node, "assert must be a list.")
    for check in node.items():
        if not isinstance(check.value, dict) or not isinstance(check.value.get("type"), str):
            source.mistake(check, "an assertion must have a type.")
        else:
            yield check


def _of_set(check: Node, source: Source) -> list[Node]:
    """The assertions of a set. Any other assertion itself."""
    if check.value["type"] != "assert-set":
        return [check]
    if check.value.get("weight") == 0:
        source.note(check, "assert-set has the weight 0, so it fails nothing, and is left out.")
        return []
    inner = list(_listed(check.get("assert"), source))
    all_must_pass(check.get("threshold"), inner, source)
    return inner


def all_must_pass(threshold: Node, checks: Sequence[Node], source: Source) -> None:
    """A mistake if a test with this threshold can pass although an assertion fails, or fail although all pass.

    The threshold counts `checks`: a set counts as one of them.
    """
    least = _number(threshold.value)
    counted = [check for check in checks if check.value.get("weight") != 0]
    if not least or not counted:  # 0 is none
        return
    weights = [_number(check.value.get("weight", 1)) for check in counted]
    graded = [check.value["type"] for check in counted if not _is_pass_or_fail(check)]
    if least == 1:  # as a mean of scores up to 1
        for check in counted:
            if code := next(_code_in(check), None):
                source.note(threshold, f"threshold of 1: there, a score over 1 of {code} makes up for one below it.")
        for kind in dict.fromkeys(kind for kind in graded if kind not in (*CODE, "assert-set")):
            source.note(threshold, f"threshold of 1: there, {kind[:80]} must reach its full score, here it must pass.")
        graded = []
    if graded:
        source.mistake(threshold, f"threshold compares the mean of scores, one of them of {graded[0][:80]}. {REMEDY}")
    elif not all(weight > 0 for weight in weights) or least > 1:
        source.mistake(threshold, f"threshold cannot be met by assertions that pass. {REMEDY}")
    elif (sum(weights) - min(weights)) / sum(weights) >= least:
        source.mistake(threshold, f"threshold lets a test pass although an assertion fails. {REMEDY}")


def _is_pass_or_fail(check: Node) -> bool:
    """Whether the score of an assertion is 1 or 0."""
    kind = check.value.get("type") if isinstance(check.value, dict) else None
    return isinstance(kind, str) and PASS_OR_FAIL.fullmatch(kind) is not None


def _code_in(check: Node) -> Iterator[str]:
    """The kinds of an assertion, or of those in a set, whose score can be over 1."""
    kind = check.value.get("type") if isinstance(check.value, dict) else None
    if kind == "assert-set":
        for inner in check.get("assert").items():
            yield from _code_in(inner)
    elif isinstance(kind, str) and kind.removeprefix("not-") in CODE:
        yield kind


def _number(value: object) -> float:
    """A number, also as the text of a CSV file. 0 if it is none."""
    try:
        number = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def transforms_of_test(options: Sequence[Node], source: Source, *, judged: bool) -> None:
    """A mistake for each transform that a test has: the first of its options that names one decides.

    One of an answer that no assertion judges is noted only.
    """
    for key in TRANSFORMS:
        given = next((node for node in options if isinstance(node.value, dict) and key in node.value), None)
        if given is None or given.value[key] is None:
            continue
        if judged or key == "transformVars":
            transforms(given, "a test", source, (key,))
        else:
            source.note(given[key], f"{key} of a test is not read: no assertion judges the answer.")


def transforms(holder: Node, what: str, source: Source, keys: Sequence[str] = TRANSFORMS) -> None:
    """A mistake for each transform of the options of a test, of an assertion or of a provider."""
    for key in keys if isinstance(holder.value, dict) else ():
        if holder.value.get(key) is not None:
            changed = (
                "the variables before they are filled in"
                if key == "transformVars"
                else "the answer before it is judged"
            )
            source.mistake(
                holder[key], f"{key} of {what} changes {changed}, by code that is not run. Take it out of a copy, and "
                "let the checks judge the answer itself."
            )  # fmt: skip
