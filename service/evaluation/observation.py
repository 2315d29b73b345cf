"""External checks: the result of a check that looks outside this program, recorded beside the answer.

In: a `python` check that is marked as external, a case, an answer. Out: a `Judgement` with the score as its choice.
Its fingerprint covers the check's code, the case and the answer, so the check runs again after a change of these.
It does not cover the outside, for example the version of a browser. A live run shows whether that changed the result.
"""

from __future__ import annotations

import hashlib

from service.errors import CaseUnusable, EvaluationError
from service.evaluation.cases import Case
from service.evaluation.check_code import code_of
from service.evaluation.checks import FAILED, CheckInput, call_scorer
from service.evaluation.recording import Judgement
from service.evaluation.scorers import function_of
from service.prompts.external_check import external_dependency
from service.prompts.fingerprint import canonical
from service.prompts.spec import Evaluator


def is_external(evaluator: Evaluator) -> bool:
    """Whether the check depends on more than the case and the answer.

    Raises:
        EvaluationError: if the check cannot be imported.
    """
    return evaluator.python is not None and external_dependency(function_of(evaluator)) is not None


def observation_fingerprint(evaluator: Evaluator, case: Case, text: str) -> str:
    """sha256 over the check's name and code (`check_code`), the case's values and the answer.

    Raises:
        EvaluationError: if the source cannot be read, since a change of the check would then go unnoticed.
    """
    function = function_of(evaluator)
    try:
        code = code_of(function)
    except (OSError, TypeError):
        raise EvaluationError(
            f"{evaluator.name}: the source of {evaluator.python} cannot be read.",
            key="python",
            remedy="Put the check into a module that is a file.",
        ) from None
    content = canonical([function.__name__, code, dict(case.values), text])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def observe(evaluator: Evaluator, case: Case, check_input: CheckInput) -> Judgement:
    """Run an external check. If it raises or returns no score, that is recorded as a failure of this case.

    Raises:
        EvaluationError: if it cannot run, for example because a browser is missing. That is never a pass.
    """
    digest = observation_fingerprint(evaluator, case, check_input.text)
    try:
        return Judgement(repr(call_scorer(evaluator, case, check_input.text, check_input.value)), digest)
    except CaseUnusable as error:
        return Judgement(f"{FAILED}{error}", digest)
