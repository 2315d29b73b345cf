"""Observations: what a check saw outside this program, kept in the recording beside the answer.

What comes in: a `python` check marked with `external_check`, a case, an answer. What goes out: a `Judgement` whose
choice is the score, and whose fingerprint covers the check's module, the case and the answer, so that it looks again
when one of them changes. The browser itself is not covered; a live run tells when it shows something else.
"""

from __future__ import annotations

import hashlib
import inspect

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.checks import CheckInput, function_of, score_of
from service.evaluation.recording import Judgement
from service.prompts.external_check import external_dependency
from service.prompts.fingerprint import canonical
from service.prompts.spec import Evaluator


def is_external(evaluator: Evaluator) -> bool:
    """Whether the check looks at more than the case and the answer. Raises EvaluationError if it cannot be imported."""
    return evaluator.python is not None and external_dependency(function_of(evaluator)) is not None


def observation_fingerprint(evaluator: Evaluator, case: Case, text: str) -> str:
    """What an observation is kept under: sha256 over the check and its module's source, the case's values, the answer.

    Raises EvaluationError for a check whose source cannot be read, since nobody could tell that it changed.
    """
    function = function_of(evaluator)
    try:
        source = inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError):
        raise EvaluationError(
            f"{evaluator.name}: the source of {evaluator.python} cannot be read.",
            key="python",
            remedy="Put the check into a module that is a file.",
        ) from None
    said = canonical([evaluator.python, source, dict(case.values), text])
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def observe(evaluator: Evaluator, case: Case, answered: CheckInput) -> Judgement:
    """Look. Raises EvaluationError when there is nothing to look with, which is never a pass."""
    score = score_of(evaluator, function_of(evaluator)(dict(case.values), answered.text, answered.value))
    return Judgement(repr(score), observation_fingerprint(evaluator, case, answered.text))
