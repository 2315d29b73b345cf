"""The shares of a build's deadline, in exact seconds."""

from __future__ import annotations

import pytest

from service.builds.budget import Budget


@pytest.mark.parametrize(
    ("deadline_s", "generation", "publishing"),
    [
        (600.0, 420.0, 570.0),  # 150 s for publishing and 30 s for the callback are subtracted
        (1200.0, 1020.0, 1170.0),  # a longer deadline has the same reserves
        (500.0, 350.0, 475.0),  # a shorter one has shares: 30 %, and 5 %
        (60.0, 42.0, 57.0),
        (10.0, 7.0, 9.5),
        (0.0, 0.0, 0.0),
    ],
)
def test_each_phase_leaves_time_for_the_phases_after_it(
    deadline_s: float, generation: float, publishing: float
) -> None:
    budget = Budget(1000.0, deadline_s)
    assert budget.for_generation(1000.0) == pytest.approx(generation)
    assert budget.for_publishing(1000.0) == pytest.approx(publishing)
    assert budget.remaining(1000.0) == pytest.approx(deadline_s)
    assert budget.ends_s == 1000.0 + deadline_s


def test_time_that_passes_is_subtracted_from_every_phase() -> None:
    budget = Budget(1000.0, 600.0)
    later = 1000.0 + 100.0
    assert (budget.for_generation(later), budget.for_publishing(later), budget.remaining(later)) == (320, 470, 500)


def test_no_phase_has_negative_time() -> None:
    """Each phase ends at its own time: making after 420 s, publishing after 570 s, and all after 600 s."""
    budget = Budget(0.0, 600.0)
    assert [budget.for_generation(now) for now in (419.5, 420.0, 420.5, 9e9)] == [0.5, 0.0, 0.0, 0.0]
    assert [budget.for_publishing(now) for now in (569.5, 570.0, 570.5, 9e9)] == [0.5, 0.0, 0.0, 0.0]
    assert [budget.remaining(now) for now in (599.5, 600.0, 600.5, 9e9)] == [0.5, 0.0, 0.0, 0.0]
