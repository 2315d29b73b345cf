"""Checks: pure functions of a case and its answer, to pass or fail with a reason.

What comes in: an evaluator of the prompt file, a case, a result. What goes out: a `CheckResult`. An answer that was cut
or cannot be used fails every check. Strings in evaluators are templated with the case's values, once.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz import fuzz

from service import json_pointer
from service.engine.schema.grammar import validator_for
from service.errors import EvaluationError, InputsError
from service.evaluation import regex
from service.evaluation.cases import Case
from service.prompts.external_check import external_dependency
from service.prompts.render import substitute
from service.prompts.spec import Evaluator, JsonCheck, JudgeCheck, SimilarityCheck, StringCheck


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check on one case."""

    name: str
    passed: bool
    reason: str
    score: float


@dataclass(frozen=True)
class CheckInput:
    """What a check looks at: the text, the parsed value if there is one, why it cannot be used, if so, and what judges
    chose or observing checks saw, by the check's name."""

    text: str
    value: Any
    problem: str | None
    judgements: Mapping[str, str] = field(default_factory=dict)


def check(evaluator: Evaluator, case: Case, answered: CheckInput) -> CheckResult:
    """Apply one evaluator. Raises EvaluationError when it cannot be applied, which is never a pass."""
    if answered.problem is not None:
        return CheckResult(evaluator.name, False, answered.problem, 0.0)
    passed, reason, score = _KINDS[evaluator.kind](evaluator, case, answered)
    return CheckResult(evaluator.name, passed, reason, score)


def fill(template: str, case: Case) -> str:
    """An evaluator's string with the case's values. Raises EvaluationError for an unknown name."""
    try:
        return substitute(template, case.values)
    except InputsError as error:
        raise EvaluationError(f"case {case.id}: {error}", key=error.key) from None


RawResult = tuple[bool, str, float]


def _plain(passed: bool, reason: str) -> RawResult:
    return passed, reason, float(passed)


def _string(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    """GitHub's semantics (gh-models cmd/eval): equals is exact on the trimmed answer, the others ignore case."""
    spec = evaluator.string
    assert isinstance(spec, StringCheck)
    text = answered.text
    if spec.equals is not None:
        wanted = fill(spec.equals, case)
        close = ", which differs in case only" if text.strip().lower() == wanted.lower() else ""
        return _plain(text.strip() == wanted, f"expected {wanted!r}, got {text.strip()!r}{close}")
    folded = text.lower()
    passes: Callable[[str], bool]
    for name, template, passes in (
        ("contains", spec.contains, folded.__contains__),
        ("startsWith", spec.startsWith, folded.startswith),
        ("endsWith", spec.endsWith, folded.endswith),
    ):
        if template is not None:
            wanted = fill(template, case)
            return _plain(passes(wanted.lower()), f"{name} {wanted!r}")
    raise AssertionError("the file's validation lets exactly one through")


def _regex(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    try:
        found = regex.search(fill(evaluator.regex or "", case), answered.text)
    except EvaluationError as error:
        raise EvaluationError(f"case {case.id}: {evaluator.name}: {error}", key=error.key) from None
    return _plain(found, f"matches {evaluator.regex!r}")


def _not_contains(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    wanted = fill(evaluator.notContains or "", case)
    return _plain(wanted.lower() not in answered.text.lower(), f"must not contain {wanted!r}")


def _one_of(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    allowed = [fill(option, case) for option in evaluator.oneOf or ()]
    return _plain(answered.text.strip() in allowed, f"one of {allowed}, got {answered.text.strip()!r}")


def _json(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    """Valid JSON, the schema, and the values at pointers; the score is the share of pointers that are equal."""
    spec = evaluator.json_
    assert isinstance(spec, JsonCheck)
    try:
        value = answered.value if answered.value is not None else json.loads(answered.text)
    except (ValueError, RecursionError) as error:
        return _plain(False, f"not JSON: {error}")
    if spec.schema_ is not None:
        problem = next(iter(validator_for(spec.schema_, formats=False).iter_errors(value)), None)
        if problem is not None:
            return _plain(False, f"schema: {problem.message}")
    wrong = []
    for pointer, wanted in spec.equals.items():
        expected = _expected(wanted, case)
        found = at_pointer(value, pointer)
        if found != expected or isinstance(found, bool) != isinstance(expected, bool):
            wrong.append(f"{pointer}: expected {expected!r}, got {found!r}")
    score = 1 - len(wrong) / len(spec.equals) if spec.equals else 1.0
    return not wrong, "; ".join(wrong) or "as expected", score


def _expected(wanted: Any, case: Case) -> Any:
    """A string that is one placeholder stands for the case's value itself, whatever its type."""
    if isinstance(wanted, str):
        whole = re.fullmatch(r"\{\{\s*([\w.-]+)\s*\}\}", wanted)
        if whole:
            if whole[1] not in case.values:
                raise EvaluationError(f"case {case.id} has no {whole[1]!r}.", key=whole[1])
            return case.values[whole[1]]
        return fill(wanted, case)
    return wanted


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


def _similarity(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    spec = evaluator.similarity
    assert isinstance(spec, SimilarityCheck)
    wanted = fill(spec.to, case)
    metrics: dict[str, Callable[[str, str], float]] = {
        "ratio": lambda a, b: float(fuzz.ratio(a, b)) / 100,
        "tokenSet": lambda a, b: float(fuzz.token_set_ratio(a, b)) / 100,
        "chrf": chrf,
    }
    score = metrics[spec.metric](answered.text, wanted)
    return score >= spec.threshold, f"{spec.metric} {score:.3f}, needs {spec.threshold:g}", score


def chrf(answer: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """chrF: the F-score of character n-grams, n = 1..6, spaces left out; 0..1.

    M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015: precision and recall averaged
    over n, then combined with beta = 2.
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


def function_of(evaluator: Evaluator) -> Callable[..., Any]:
    """The function of a `python: module:function` check. Raises EvaluationError if it cannot be imported."""
    module, _, name = (evaluator.python or "").partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise EvaluationError(
            f"{evaluator.name}: {evaluator.python} cannot be imported: {error}.", key="python"
        ) from None
    return function


def score_of(evaluator: Evaluator, said: Any) -> float:
    """The score that a function's value stands for, 0..1. Raises EvaluationError for anything else."""
    if isinstance(said, (bool, int, float)) and 0 <= said <= 1:
        return float(said)
    raise EvaluationError(f"{evaluator.python} must return a bool or a score of 0..1, not {said!r}.", key="python")


def _python(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    """`module:function`, called with (values, text, value); it returns a bool, or a score of 0..1 that passes at 1.

    What a check with the mark `external_check` saw is taken from the answer's judgements: `observation.py` looked.
    """
    function = function_of(evaluator)
    looks_at = external_dependency(function)
    if looks_at is None:
        score = score_of(evaluator, function(dict(case.values), answered.text, answered.value))
        return score >= 1, f"{evaluator.python} says {score:g}", score
    seen = answered.judgements.get(evaluator.name)
    if seen is None:
        raise EvaluationError(
            f"case {case.id}: {evaluator.name}: nothing is recorded of {looks_at}.",
            key="python",
            remedy="Run it instead of replaying it.",
        )
    return float(seen) >= 1, f"{evaluator.python} saw {float(seen):g} in {looks_at}", float(seen)


def _llm(evaluator: Evaluator, case: Case, answered: CheckInput) -> RawResult:
    """The score of what the judge chose, which `judge.py` asked for when the answer was made."""
    spec = evaluator.llm
    assert isinstance(spec, JudgeCheck)
    chosen = answered.judgements.get(evaluator.name)
    scores = {each.choice: each.score for each in spec.choices}
    if chosen not in scores:
        said = "there is no judgement" if chosen is None else f"the judge's {chosen!r} is not among the choices"
        raise EvaluationError(
            f"case {case.id}: {evaluator.name}: {said}.", key="llm", remedy="Run it with the judge, not as a replay."
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
