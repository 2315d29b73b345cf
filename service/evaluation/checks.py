"""Checks: pure functions of a case and its answer, to pass or fail with a reason.

In: an evaluator of the prompt file, a case, an answer. Out: a `CheckResult`.
A truncated or unusable answer fails every check. The case's values are substituted once in the evaluator's strings.
A check that cannot be applied to one case fails there, with the reason, and is never a pass.
"""

from __future__ import annotations

import inspect
import json
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rapidfuzz import fuzz

from service import json_pointer
from service.engine.schema.validator import validator_for
from service.errors import CaseUnusable, EvaluationError, InputsError, SameboatError
from service.evaluation import regex, scorers
from service.evaluation.cases import Case
from service.prompts.external_check import external_dependency
from service.prompts.render import substitute
from service.prompts.spec import Evaluator, JsonCheck, JudgeCheck, SimilarityCheck, StringCheck

MAX_PROBLEM = 200  # characters of an exception in a user's check
FAILED = "failed: "  # begins the recorded result of an external check that gave no score


@dataclass(frozen=True)
class CheckResult:
    """The result of one check on one case. `score` is 0 to 1. `judged` is false if the check could not be applied."""

    name: str
    passed: bool
    reason: str
    score: float
    judged: bool = True


@dataclass(frozen=True)
class CheckInput:
    """The answer as a check reads it.

    `value` is the parsed JSON of an answer that must be JSON. `problem` says why an answer cannot be used. `judgements`
    holds the choices of judges and the scores of external checks, by the check's name.
    """

    text: str
    value: Any
    problem: str | None
    judgements: Mapping[str, str] = field(default_factory=dict)


def check(evaluator: Evaluator, case: Case, answer: CheckInput) -> CheckResult:
    """Apply one evaluator to the answer to a case. If it cannot be applied to this case, the case fails.

    Raises:
        EvaluationError: if it can be applied to no case. That is never a pass.
    """
    if answer.problem is not None:
        return CheckResult(evaluator.name, False, answer.problem, 0.0)
    try:
        passed, reason, score = _KINDS[evaluator.kind](evaluator, case, answer)
    except CaseUnusable as error:
        return CheckResult(evaluator.name, False, f"cannot be judged: {error}", 0.0, judged=False)
    return CheckResult(evaluator.name, passed, reason, score)


def fill(template: str, case: Case) -> str:
    """An evaluator's string with the case's values in place of its placeholders.

    Raises:
        CaseUnusable: if the case does not have a value of that name.
    """
    try:
        return substitute(template, case.values)
    except InputsError as error:
        raise CaseUnusable(str(error), key=error.key) from None


RawResult = tuple[bool, str, float]
"""Whether the check passes, the reason, and the score."""


def _plain(passed: bool, reason: str) -> RawResult:
    return passed, reason, float(passed)


def _string(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    """As GitHub does (gh-models cmd/eval): `equals` compares the trimmed answer exactly, the others ignore case."""
    spec = evaluator.string
    assert isinstance(spec, StringCheck)
    text = answer.text
    if spec.equals is not None:
        expected = fill(spec.equals, case)
        equal = text.strip() == expected
        close = ", which differs in case only" if not equal and text.strip().lower() == expected.lower() else ""
        return _plain(equal, f"expected {expected!r}, got {text.strip()!r}{close}")
    folded = text.lower()
    passes: Callable[[str], bool]
    for name, template, passes in (
        ("contains", spec.contains, folded.__contains__),
        ("startsWith", spec.startsWith, folded.startswith),
        ("endsWith", spec.endsWith, folded.endswith),
    ):
        if template is not None:
            expected = fill(template, case)
            return _plain(passes(expected.lower()), f"{name} {expected!r}")
    raise AssertionError("the file's validation lets exactly one through")


def _regex(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    try:
        matches = regex.search(fill(evaluator.regex or "", case), answer.text)
    except EvaluationError as error:
        raise CaseUnusable(f"{evaluator.name}: {error}", key=error.key) from None
    return _plain(matches, f"matches {evaluator.regex!r}")


def _not_contains(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    expected = fill(evaluator.notContains or "", case)
    return _plain(expected.lower() not in answer.text.lower(), f"must not contain {expected!r}")


def _one_of(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    allowed = [fill(option, case) for option in evaluator.oneOf or ()]
    return _plain(answer.text.strip() in allowed, f"one of {allowed}, got {answer.text.strip()!r}")


def _json(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    """Valid JSON, the schema, and the values at pointers. The score is the share of equal values."""
    spec = evaluator.json_
    assert isinstance(spec, JsonCheck)
    try:
        value = answer.value if answer.value is not None else json.loads(answer.text)
    except (ValueError, RecursionError) as error:
        return _plain(False, f"not JSON: {error}")
    if spec.schema_ is not None:
        problem = next(iter(validator_for(spec.schema_, formats=False).iter_errors(value)), None)
        if problem is not None:
            return _plain(False, f"schema: {problem.message}")
    wrong = []
    for pointer, template in spec.equals.items():
        expected, actual = expected_value(template, case), at_pointer(value, pointer)
        if not _equal(actual, expected):
            wrong.append(f"{pointer}: expected {expected!r}, got {actual!r}")
    score = 1 - len(wrong) / len(spec.equals) if spec.equals else 1.0
    return not wrong, "; ".join(wrong) or "as expected", score


def pointer_passes(answer: CheckInput, pointer: str, expected: Any) -> bool:
    """Whether a JSON answer has the expected value at a pointer. False for an answer that is not JSON."""
    try:
        value = answer.value if answer.value is not None else json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return _equal(at_pointer(value, pointer), expected)


def _equal(actual: Any, expected: Any) -> bool:
    """Equality in which true is not 1."""
    return bool(actual == expected) and isinstance(actual, bool) == isinstance(expected, bool)


def expected_value(template: Any, case: Case) -> Any:
    """The expected value. A string that is only a placeholder means the case's value itself, of any type.

    Raises:
        CaseUnusable: if the case does not have a value of that name.
    """
    if not isinstance(template, str):
        return template
    placeholder = re.fullmatch(r"\{\{\s*([\w.-]+)\s*\}\}", template)
    if placeholder is None:
        return fill(template, case)
    if placeholder[1] not in case.values:
        raise CaseUnusable(f"The case has no {placeholder[1]!r}.", key=placeholder[1])
    return case.values[placeholder[1]]


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def at_pointer(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901), or ABSENT."""
    try:
        return json_pointer.follow(value, pointer)[0]
    except LookupError:
        return ABSENT


def _similarity(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    spec = evaluator.similarity
    assert isinstance(spec, SimilarityCheck)
    expected = fill(spec.to, case)
    metrics: dict[str, Callable[[str, str], float]] = {
        "ratio": lambda a, b: float(fuzz.ratio(a, b)) / 100,
        "tokenSet": lambda a, b: float(fuzz.token_set_ratio(a, b)) / 100,
        "chrf": chrf,
    }
    score = metrics[spec.metric](answer.text, expected)
    return score >= spec.threshold, f"{spec.metric} {score:.3f}, needs {spec.threshold:g}", score


def chrf(answer: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """chrF: the F-score of character n-grams, n = 1 to 6, without spaces. 0 to 1.

    M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015: precision and recall are
    averaged over n and then combined with beta = 2.
    """
    left, right = "".join(answer.split()), "".join(reference.split())
    precisions, recalls = [], []
    for size in range(1, order + 1):
        mine = Counter(left[at : at + size] for at in range(len(left) - size + 1))
        theirs = Counter(right[at : at + size] for at in range(len(right) - size + 1))
        if not mine or not theirs:
            continue
        shared = sum((mine & theirs).values())
        precisions.append(shared / sum(mine.values()))
        recalls.append(shared / sum(theirs.values()))
    if not precisions:
        return float(left == right)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    if precision + recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def score_of(evaluator: Evaluator, value: Any) -> float:
    """The score of a function's return value, 0 to 1.

    Raises:
        CaseUnusable: if the value is no bool and no number from 0 to 1.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float)) and 0 <= value <= 1:
        return float(value)
    kind = type(value).__name__
    label = f"{value:g}" if isinstance(value, (int, float)) else "None" if value is None else f"a value of type {kind}"
    raise CaseUnusable(f"{evaluator.python} must return a bool or a score of 0..1, not {label}.", key="python")


def call_scorer(evaluator: Evaluator, case: Case, text: str, value: Any) -> float:
    """The score that a `python` check's function gives an answer.

    Raises:
        CaseUnusable: if the function raises or returns no score.
        SameboatError: that the function raises on purpose, for example because a browser is missing.
    """
    function = scorers.function_of(evaluator)
    try:
        returned = function(dict(case.values), text, value)
    except SameboatError:
        raise
    except Exception as error:  # noqa: BLE001 # the code is the user's, and any mistake in it fails this one case
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{last.lineno}"
        problem = f"{type(error).__name__}: {error}"[:MAX_PROBLEM]
        raise CaseUnusable(f"{evaluator.python} raised {problem} ({place}).", key="python") from None
    if inspect.iscoroutine(returned):
        returned.close()
        raise CaseUnusable(f"{evaluator.python} is async, and a check is a plain function.", key="python")
    return score_of(evaluator, returned)


def _python(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    """Calls `module:function` with (values, text, value). It returns a bool, or a score of 0 to 1 that passes at 1.

    The score of an external check is taken from the answer's judgements. `observation.py` ran it.
    """
    outside = external_dependency(scorers.function_of(evaluator))
    if outside is None:
        score = call_scorer(evaluator, case, answer.text, answer.value)
        return score >= 1, f"{evaluator.python} says {score:g}", score
    recorded = answer.judgements.get(evaluator.name)
    if recorded is None:
        raise EvaluationError(
            f"case {case.id}: {evaluator.name}: nothing is recorded of {outside}.",
            key="python",
            remedy="Run it instead of replaying it.",
        )
    if recorded.startswith(FAILED):
        raise CaseUnusable(recorded.removeprefix(FAILED), key="python")
    score = float(recorded)
    return score >= 1, f"{evaluator.python} saw {score:g} in {outside}", score


def _llm(evaluator: Evaluator, case: Case, answer: CheckInput) -> RawResult:
    """The score of the judge's choice. `judge.py` asked the judge when the answer was made."""
    spec = evaluator.llm
    assert isinstance(spec, JudgeCheck)
    chosen = answer.judgements.get(evaluator.name)
    scores = {choice.choice: choice.score for choice in spec.choices}
    if chosen not in scores:
        problem = "there is no judgement" if chosen is None else f"the judge's {chosen!r} is not among the choices"
        raise EvaluationError(
            f"case {case.id}: {evaluator.name}: {problem}.", key="llm", remedy="Run it with the judge, not as a replay."
        )
    return scores[chosen] >= spec.threshold, f"{spec.modelId} says {chosen!r}", scores[chosen]


_KINDS: dict[str, Callable[[Evaluator, Case, CheckInput], RawResult]] = {
    "string": _string,
    "regex": _regex,
    "notContains": _not_contains,
    "oneOf": _one_of,
    "json_": _json,
    "similarity": _similarity,
    "python": _python,
    "llm": _llm,
}
