"""The cases that a check judges: all of them, or those that its `when` names.

In: checks and the values of a case. Out: the checks that judge this case.
Not here: the checks themselves (`evaluation.checks`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from service.prompts.render import text_of
from service.prompts.spec import Evaluator


def usable(value: Any) -> bool:
    """Whether a value is neither null nor NaN. Their texts would be compared as if they were labels."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def judges(check: Evaluator, values: Mapping[str, Any]) -> bool:
    """Whether a check judges the case with these values.

    A name stands for a value that is there and not empty. A mapping gives the values that each name may have. They are
    compared as texts, because every cell of a CSV file is one.
    """
    if check.when is None:
        return True
    if isinstance(check.when, str):
        value = values.get(check.when)
        return usable(value) and value != ""
    return all(
        usable(values.get(name))
        and text_of(values[name]) in map(text_of, allowed if isinstance(allowed, tuple) else [allowed])
        for name, allowed in check.when.items()
    )


def judging(checks: Iterable[Evaluator], values: Mapping[str, Any]) -> tuple[Evaluator, ...]:
    """The checks that judge the case with these values, in their order."""
    return tuple(check for check in checks if judges(check, values))
