"""The physical limits beside the rows of the bench: bytes over bandwidth, or multiply-adds over their peak."""

from __future__ import annotations

import pytest

from tests.bench.limits import ANSWER, OWN_INPUT, PARAMETERS, Machine, limit

MODEL = "smollm2-135m-instruct"
SIZE = 100_000_000
READING = Machine(bytes_per_s=10e9, multiply_adds_per_s=1e30, integers=True)
COUNTING = Machine(bytes_per_s=1e30, multiply_adds_per_s=1e12, integers=True)


def test_a_machine_that_only_reads_makes_a_token_for_each_sequence_in_each_step() -> None:
    steps_s = (ANSWER + 1) * SIZE / 10e9  # and one step for the inputs
    assert limit(READING, "W tokens/s", 8, MODEL, SIZE) == pytest.approx(8 * ANSWER / steps_s)
    assert limit(READING, "P decoded tokens/s", 1, MODEL, SIZE) == pytest.approx(100)


def test_a_machine_that_only_multiplies_gains_nothing_by_a_batch() -> None:
    alone, together = (limit(COUNTING, "W tokens/s", clients, MODEL, SIZE) for clients in (1, 8))
    assert alone == pytest.approx(together)
    assert alone == pytest.approx(ANSWER / ((ANSWER + OWN_INPUT) * PARAMETERS[MODEL] / 1e12))
    assert limit(COUNTING, "L requests/s", 8, MODEL, SIZE) == pytest.approx(1e12 / (OWN_INPUT * PARAMETERS[MODEL]))


def test_memory_has_the_weights_and_other_rows_have_no_limit() -> None:
    assert limit(READING, "W memory PSS MiB", 0, MODEL, 2**20) == 1
    assert limit(READING, "S right answers %", 8, MODEL, SIZE) is None
    assert limit(READING, "W tokens/s", 8, "another model", SIZE) is None
