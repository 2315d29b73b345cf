"""Cases are divided evenly, repeatably, and without a row on both sides."""

from __future__ import annotations

from collections import Counter

import pytest

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.split import split

CASES = [Case(f"c{i}", {"text": f"text {i}", "expected": "rare" if i < 5 else "frequent"}) for i in range(50)]


def test_every_class_keeps_its_share_and_the_seed_decides() -> None:
    dev, deciding = split(CASES, 0.4)
    assert Counter(case.values["expected"] for case in dev) == {"rare": 2, "frequent": 18}
    assert [case.id for case in CASES if case in dev or case in deciding] == [case.id for case in CASES]
    assert not {case.id for case in dev} & {case.id for case in deciding}
    assert split(CASES, 0.4) == (dev, deciding)
    assert split(CASES, 0.4, seed=1) != (dev, deciding)
    assert len(split(CASES, 0.5, by=None)[0]) == 25


def test_equal_inputs_stay_on_one_side() -> None:
    """Else the draft has seen the question that judges it."""
    twins = [Case(f"{i}-{copy}", {"text": f"text {i}", "expected": "x"}) for i in range(20) for copy in "ab"]
    for side in split(twins, 0.5):
        assert set(Counter(case.values["text"] for case in side).values()) == {2}


@pytest.mark.parametrize(
    ("cases", "options", "problem"),
    [
        (CASES, {"dev": 1.5}, "between 0 and 1"),
        (CASES[:1], {}, "leave one side empty"),
        (CASES, {"by": "expcted"}, r"No case has a value 'expcted'. Did you mean 'expected'\?"),
    ],
)
def test_a_division_that_cannot_be_made_is_an_error(
    cases: list[Case], options: dict[str, object], problem: str
) -> None:
    with pytest.raises(EvaluationError, match=problem):
        split(cases, **options)
