"""Each check passes or fails as it should, gives a reason, and fails with one if it cannot be applied."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.checks import CheckInput, at_pointer, check, chrf
from service.prompts.spec import Evaluator

CASE = Case("one", {"expected": "Paris", "n": 3, "nothing": None, "yes": True})


def passes(text: str, value: Any = None, **evaluator: Any) -> bool:
    made = Evaluator.model_validate({"name": "it", **evaluator})
    return check(made, CASE, CheckInput(text, value, None)).passed


def unjudged(text: str, value: Any = None, **evaluator: Any) -> str:
    """The reason of a check that could not be applied."""
    result = check(Evaluator.model_validate({"name": "it", **evaluator}), CASE, CheckInput(text, value, None))
    assert (result.passed, result.judged, result.score) == (False, False, 0.0)
    return result.reason


def test_string_checks_have_githubs_semantics() -> None:
    """equals: case-sensitive on the trimmed answer. The other three: case-insensitive."""
    assert passes("  Paris\n", string={"equals": "{{expected}}"})
    assert not passes("paris", string={"equals": "{{expected}}"})
    assert not passes("Paris.", string={"equals": "{{expected}}"})
    assert passes("It is PARIS.", string={"contains": "{{expected}}"})
    assert passes("pARIS it is", string={"startsWith": "{{expected}}"})
    assert passes("it is paris", string={"endsWith": "{{expected}}"})
    assert not passes("it is paris", string={"startsWith": "{{expected}}"})


def test_regex_not_contains_and_one_of() -> None:
    """Each way round. An invalid pattern is an error."""
    assert passes("answer: 42", regex=r"\b\d+$")
    assert not passes("answer: none", regex=r"\b\d+$")
    assert passes("fine", notContains="sorry")
    assert not passes("I am SORRY", notContains="sorry")
    assert passes(" b ", oneOf=["a", "b"])
    assert not passes("ab", oneOf=["a", "b"])
    assert "not a regular expression" in unjudged("x", regex="(")


def test_json_compares_values_and_their_types() -> None:
    """true is not 1, null is not absent, and a placeholder alone stands for the case's own value."""
    answer = {"city": "Paris", "n": 3, "list": [{"a/b": None}], "t": True}
    assert passes("", answer, json={"equals": {"/city": "{{expected}}", "/n": "{{n}}", "/list/0/a~1b": "{{nothing}}"}})
    assert not passes("", answer, json={"equals": {"/t": 1}})
    assert not passes("", answer, json={"equals": {"/n": "3"}})
    assert not passes("", answer, json={"equals": {"/absent": None}})
    assert passes('{"n": 3}', json={"schema": {"type": "object", "required": ["n"]}})
    assert not passes('{"n": 3}', json={"schema": {"type": "object", "required": ["m"]}})
    assert not passes('{"n": 3', json={"valid": True})
    assert "no 'other'" in unjudged("{}", {}, json={"equals": {"/n": "{{other}}"}})


def test_a_json_score_is_the_share_of_pointers_that_are_right() -> None:
    """Graded, with each difference in the reason."""
    made = Evaluator.model_validate({"name": "it", "json": {"equals": {"/a": 1, "/b": 2, "/c": 3, "/d": 4}}})
    found = check(made, CASE, CheckInput("", {"a": 1, "b": 2, "c": 0}, None))
    assert (found.passed, found.score) == (False, 0.5)
    assert "/c: expected 3, got 0" in found.reason
    assert "/d: expected 4, got nothing" in found.reason


def test_pointers_follow_rfc_6901() -> None:
    """Its own examples."""
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, " ": 7}
    for pointer, wanted in (("", document), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/m~0n", 8), ("/ ", 7)):
        assert at_pointer(document, pointer) == wanted


def test_similarity_is_graded_against_a_threshold() -> None:
    """Each metric gives 1 to the same text and passes at its threshold."""
    for metric in ("ratio", "tokenSet", "chrf"):
        assert passes("Paris", similarity={"to": "{{expected}}", "metric": metric, "threshold": 1})
        assert not passes("Oslo", similarity={"to": "{{expected}}", "metric": metric, "threshold": 0.8})


def test_chrf_is_symmetric_at_beta_one_bounded_and_exact_on_a_worked_example() -> None:
    """ "abc" against "abd": precision and recall are 2/3, 1/2 and 0 for n = 1, 2, 3. Their mean is 7/18."""
    assert chrf("abc", "abd") == pytest.approx(7 / 18, abs=1e-12)
    generator = random.Random(1)
    for _ in range(500):
        left, right = (
            "".join(generator.choices(string.ascii_lowercase[:4] + " ", k=generator.randint(0, 30))) for _ in "ab"
        )
        assert 0 <= chrf(left, right) <= 1
        assert chrf(left, right, beta=1) == pytest.approx(chrf(right, left, beta=1), abs=1e-12)
        assert chrf(left, left) == 1


def is_short(values: dict[str, Any], text: str, value: Any) -> bool:
    return len(text) < 10 and values["n"] == 3


def half(values: dict[str, Any], text: str, value: Any) -> float:
    return 0.5


def word(values: dict[str, Any], text: str, value: Any) -> str:
    return "fine"


def nothing(values: dict[str, Any], text: str, value: Any) -> None:
    return None


def percent(values: dict[str, Any], text: str, value: Any) -> float:
    return 85.0


def numpy_bool(values: dict[str, Any], text: str, value: Any) -> Any:
    return np.array([text])[0] == "x"


def breaks(values: dict[str, Any], text: str, value: Any) -> bool:
    return values["nothing"].lower() == text


async def later(values: dict[str, Any], text: str, value: Any) -> bool:
    return True


def test_a_python_check_is_a_function_of_values_text_and_value() -> None:
    """A bool or a score, of numpy too. Another value or an exception is a failed case, a failed import an error."""
    assert passes("short", python=f"{__name__}:is_short")
    assert not passes("not short at all", python=f"{__name__}:is_short")
    assert not passes("x", python=f"{__name__}:half")
    assert passes("x", python=f"{__name__}:numpy_bool")
    for function, reason in (
        ("word", "not a value of type str"), ("nothing", "not None"), ("percent", "not 85"), ("later", "is async"),
        ("breaks", f"breaks raised AttributeError: 'NoneType' object has no attribute 'lower' ({Path(__file__).name}:"),
    ):  # fmt: skip
        assert reason in unjudged("x", python=f"{__name__}:{function}")
    for function in (f"{__name__}:absent", "no_such_module:f"):
        with pytest.raises(EvaluationError, match=r"cannot be imported: .*\. Put .*\.py beside the prompt file"):
            passes("x", python=function)


def test_values_of_a_case_are_never_expanded_again() -> None:
    """A value that looks like a placeholder is text."""
    case = Case("one", {"expected": "{{secret}}", "secret": "x"})
    made = Evaluator.model_validate({"name": "it", "string": {"equals": "{{expected}}"}})
    assert check(made, case, CheckInput("{{secret}}", None, None)).passed


def test_an_unusable_answer_passes_no_check_and_a_judge_without_an_engine_is_an_error() -> None:
    """With any text."""
    made = Evaluator.model_validate({"name": "it", "notContains": "x"})
    found = check(made, CASE, CheckInput("", None, "the answer was cut"))
    assert (found.passed, found.reason) == (False, "the answer was cut")
    choices = [{"choice": "1", "score": 0}, {"choice": "5", "score": 1}]
    with pytest.raises(EvaluationError, match="judge"):
        passes("x", llm={"modelId": "m", "prompt": "p", "choices": choices})
