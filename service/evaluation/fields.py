"""The fields of a JSON answer, each with its own pass rate.

In: a prompt with a `json` check, and outcomes. Out: (field, right, n) for each pointer that a check compares.
One check with three pointers passes only if all three are right. Here each is counted alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.errors import CaseUnusable
from service.evaluation.checks import expected_value, pointer_passes
from service.evaluation.runner import CaseOutcome
from service.prompts.conditions import judges
from service.prompts.file import Prompt


class FieldRate(NamedTuple):
    """The number of answers that have the expected value at a pointer."""

    check: str
    pointer: str
    right: int
    n: int


def field_rates(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[FieldRate]:
    """The rate of each pointer of each `json` check. Empty if no check compares two or more pointers.

    A case without a usable answer has every field wrong. A case that lacks the expected value is left out there.
    """
    rates = []
    for check in prompt.spec.evaluators:
        if check.json_ is None or len(check.json_.equals) < 2:
            continue
        for pointer, template in check.json_.equals.items():
            right, n = 0, 0
            for outcome in outcomes:
                if not judges(check, outcome.case.values):
                    continue
                try:
                    expected = expected_value(template, outcome.case)
                except CaseUnusable:
                    continue
                n += 1
                answer = outcome.record.check_input(prompt)
                right += answer.problem is None and pointer_passes(answer, pointer, expected)
            if n:
                rates.append(FieldRate(check.name, pointer, right, n))
    return rates
