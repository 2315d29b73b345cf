"""Sequences in one cache and in streams of their own: the same room, and the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from service.engine.local.context import Context

pytestmark = pytest.mark.model
PROMPT = [1, 4093, 253, 5345, 282, 260, 8192, 28, 284, 1194, 553, 4093]


@pytest.fixture(scope="module", params=["portable", "avx512-bf16"])
def context(starter: Path, request: pytest.FixtureRequest) -> Iterator[Context]:
    """The name decides the recipe. The portable kernels compute in both cases, with one thread. More would spin on
    between the tests."""
    made = Context(starter, n_ctx=300, slots=3, threads=1, kernels=request.param, one_cache=True)
    assert made.shares == (request.param != "portable")
    yield made
    made.close()


def after(context: Context, slot: int, *tokens: int) -> npt.NDArray[np.float32]:
    """The logits behind the prompt and these tokens in this slot."""
    for place, token in enumerate(tokens, len(PROMPT)):
        context.decode([(token, place, slot, True)])
    return context.logits(0).copy()


def test_a_sequence_has_the_same_room_in_both(context: Context) -> None:
    assert context.n_ctx == 512


def test_a_copy_goes_on_as_its_source_does_and_neither_changes_the_other(context: Context) -> None:
    context.cut(0, 0)
    context.decode([(token, place, 0, False) for place, token in enumerate(PROMPT)])
    assert context.copy(0, 1, len(PROMPT))
    assert context.copy(0, 2, len(PROMPT))
    one, other = after(context, 1, 28, 253), after(context, 2, 30, 253)
    assert np.abs(one - other).max() > 1
    context.cut(2, 0)
    np.testing.assert_allclose(after(context, 0, 28, 253), one, atol=0.02)
    context.cut(0, len(PROMPT))
    np.testing.assert_allclose(after(context, 0, 30, 253), other, atol=0.02)


def test_a_copy_that_stays_on_a_device_has_the_bits_of_one_through_the_cpus_memory(context: Context) -> None:
    """It is made at once: the source is emptied next. A CPU stands in for the device."""
    if context.shares:
        pytest.skip("sequences in one cache are not copied")
    results = []
    for on_device in (False, True):
        for slot in range(3):
            context.cut(slot, 0)
        context.decode([(token, place, 0, False) for place, token in enumerate(PROMPT)])
        context.copies_on_device = on_device
        assert context.copy(0, 1, len(PROMPT) - 2)
        context.copies_on_device = False
        context.cut(0, 0)
        context.cut(1, len(PROMPT) - 2)
        tokens = PROMPT[-2:]
        context.decode([(token, len(PROMPT) - 2 + place, 1, place == 1) for place, token in enumerate(tokens)])
        results.append((context.logits(1).copy(), context.state(1)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_state_is_that_of_its_sequence_also_where_another_lies_between_its_tokens(context: Context) -> None:
    """Restored, the tokens lie in another order, so that last digits of their sums differ."""
    for slot in range(3):
        context.cut(slot, 0)
    for place, token in enumerate(PROMPT):
        context.decode([(token, place, 0, False), (token + 1, place, 1, False)])
    assert context.restore(2, context.state(0))
    restored, real, other = (after(context, slot, 28, 253) for slot in (2, 0, 1))
    assert np.abs(restored - real).mean() < 0.3
    assert np.abs(restored - other).mean() > 1
