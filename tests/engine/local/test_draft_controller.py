"""Drafts are as long as they pay: by acceptance, by the measured price of a row, and by nothing else."""

from __future__ import annotations

import random

import pytest

from service.engine.local.draft_controller import (
    CHEAPEST,
    DEAREST,
    LENGTHS,
    PRICE_ALONE,
    PRICE_TOGETHER,
    PRIOR_RATES,
    PROBE_EVERY,
    PROBE_LENGTH,
    DraftController,
    StepTimes,
    best_length,
    match_class,
    no_rates,
)

LONG = LENGTHS[-1]


def learned(*, plain: float, row: float, sequences: int = 1, noise: float = 0.0, steps: int = 400) -> DraftController:
    """A controller that has seen steps with these times."""
    controller, draw = DraftController(), random.Random(1)
    for number in range(steps):
        extra = draw.randrange(1, 17) if number % 2 else 0
        seconds = (plain + row * extra) * draw.uniform(1 - noise, 1 + noise)
        controller.record_step(sequences, extra, seconds)
    return controller


@pytest.mark.parametrize("rate", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize("price", [0.1, 0.4, 0.7, 0.95])
def test_the_best_length_has_the_highest_expected_speed(rate: float, price: float) -> None:
    """The gain of k tokens is rate + rate^2 + ... + rate^k, at the price of k rows."""

    def gain(count: int) -> float:
        return sum(rate**at - price for at in range(1, count + 1))

    best = max(range(200), key=gain)
    assert gain(min(199, best_length(rate, price))) == pytest.approx(gain(best))


def test_what_is_always_right_is_drafted_without_end_unless_a_row_costs_a_token() -> None:
    assert best_length(1.0, 0.99) >= 1_000
    assert best_length(1.0, 1.0) == 0


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize(("sequences", "plain", "row"), [(1, 0.09, 0.017), (1, 0.0084, 0.0055), (8, 0.06, 0.0072)])
def test_the_price_is_learned_from_the_times_of_steps(sequences: int, plain: float, row: float, noise: float) -> None:
    controller = learned(plain=plain, row=row, sequences=sequences, noise=noise)
    assert controller.price(sequences) == pytest.approx(row * sequences / plain, rel=0.02 + noise)


def test_the_price_is_a_guess_until_steps_of_both_kinds_were_timed() -> None:
    controller = DraftController()
    for _ in range(50):
        controller.record_step(1, 0, 1.0)
        controller.record_step(4, 3, 1.0)
    assert (controller.price(1), controller.price(4)) == (PRICE_ALONE, PRICE_TOGETHER)


def test_the_price_is_bounded() -> None:
    assert learned(plain=0.01, row=0.0).price(1) == CHEAPEST
    assert learned(plain=0.001, row=1.0).price(1) == DEAREST


def test_one_step_that_took_a_hundred_times_as_long_hardly_counts() -> None:
    controller = learned(plain=0.09, row=0.018)
    before = controller.price(1)
    controller.record_step(1, 4, 16.2)
    assert controller.price(1) == pytest.approx(before, rel=0.3)


def test_a_machine_that_became_slower_is_learned_again() -> None:
    times = StepTimes()
    for factor in (1.0, 3.0):
        for number in range(600):
            extra = number % 9
            times.record(extra, factor * (0.09 + 0.018 * extra))
    line = times.line()
    assert line is not None
    assert line == pytest.approx((0.27, 0.054), rel=0.05)


def test_longer_matches_are_drafted_further() -> None:
    controller = learned(plain=0.09, row=0.018)
    lengths = [controller.length(match, no_rates(), 1) for match in (3, *LENGTHS)]
    assert lengths == sorted(lengths)
    assert lengths[0] >= 1
    assert lengths[-1] > 2 * lengths[0]
    assert [match_class(match) for match in (3, *LENGTHS)] == list(range(len(PRIOR_RATES)))


def test_a_sequence_whose_drafts_fail_stops_drafting_and_the_others_go_on() -> None:
    controller = learned(plain=0.09, row=0.018)
    bad, good = no_rates(), no_rates()
    for _ in range(60):
        controller.record_draft(LONG, bad, 4, 0)
        controller.record_draft(LONG, good, 16, 16)
    assert controller.length(LONG, bad, 1) == 0
    assert controller.length(LONG, good, 1) > 4


def test_a_new_sequence_begins_with_what_the_engine_knows() -> None:
    controller = learned(plain=0.09, row=0.018)
    before = controller.length(LONG, no_rates(), 1)
    for _ in range(60):
        controller.record_draft(LONG, no_rates(), 4, 0)
    assert controller.length(LONG, no_rates(), 1) == 0 < before


def test_where_a_row_costs_a_token_there_is_a_probe_now_and_then_and_nothing_else() -> None:
    controller = learned(plain=0.06, row=0.0078, sequences=8)
    lengths = [controller.length(LONG, no_rates(), 8) for _ in range(4 * PROBE_EVERY)]
    assert sorted(set(lengths)) == [0, PROBE_LENGTH]
    assert lengths.count(PROBE_LENGTH) == 4


def test_probes_find_out_that_drafting_pays_now() -> None:
    """The rows of an engine became cheap. Probes alone bring drafting back."""
    controller = learned(plain=0.06, row=0.0078, sequences=8)
    drafted = 0
    for _ in range(60 * PROBE_EVERY):
        count = controller.length(LONG, no_rates(), 8)
        drafted += count > 0
        controller.record_step(8, count, 0.06 + 0.001 * count)
    assert drafted > 60 * 2
