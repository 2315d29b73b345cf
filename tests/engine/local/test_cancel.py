"""A cancelled request is in no further step: the worker's own loop on the real model, inspected step by step.

A cancellation arrives at the worst moment, when a step has just begun. That step is the last one with its sequence.
"""

from __future__ import annotations

import json

import pytest

from service.engine.local.recipe import CHUNK, FORCED_RUN
from service.engine.types import Sampling
from tests.engine.local.conftest import ask
from tests.engine.local.watched import Watched

pytestmark = pytest.mark.model


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_the_step_that_had_begun_is_its_last(worker: Watched, mode: str) -> None:
    """Four sequences are answering. The last one is cancelled while the first one's step is computed. The others
    continue.
    """
    worker.submit(*(ask(f"Tell a long story about {n}.", tokens=300, mode=mode) for n in range(4)))
    worker.until(lambda: worker.part(4) >= 3)
    worker.until(lambda: {1, 2, 3, 4} <= set().union(*(rows for _, rows in worker.steps[-4:])))
    gone: list[int] = []

    def first_step_of_the_round() -> None:
        if not gone:
            gone.append(len(worker.steps))
            worker.leave(4)

    worker.during = first_step_of_the_round
    others = worker.part(1)
    worker.until(lambda: worker.part(1) >= others + 5)
    after = worker.steps[gone[0] + 1 :]
    assert sum(1 in rows for _, rows in after) >= 4
    assert all(4 not in rows for _, rows in after)
    assert worker.counted("steps") == worker._step - len(after), "told at once, before the next step"


def test_in_the_middle_of_a_long_prompt_the_chunk_that_had_begun_is_the_last(worker: Watched) -> None:
    worker.submit(ask("leave " * 700))
    worker.until(lambda: worker.part(1, "prompt") == 2)
    worker.during = lambda: worker.leave(1)
    worker._round()
    worker.during = lambda: None
    worker._receive(wait=False)
    assert worker._requests == {}
    assert [kind for kind, _ in worker.steps] == ["prompt"] * 3
    assert worker.steps[-1] == ("prompt", {1: CHUNK})
    assert worker.batches == 3


def test_in_the_middle_of_a_long_forced_text_the_run_that_had_begun_is_the_last(worker: Watched) -> None:
    """A grammar with no alternative for hundreds of tokens: they are computed a few at a time, so one can leave."""
    text = " ".join(f"item {n}" for n in range(90))
    properties = {"text": {"const": text}, "number": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    worker.submit(ask("Say it.", tokens=500, schema=json.dumps(schema)))
    worker.until(lambda: worker.part(1) == 3)
    batches = worker.batches
    worker.during = lambda: worker.leave(1)
    worker._round()
    worker.during = lambda: None
    worker._receive(wait=False)
    assert worker._requests == {}
    assert worker.batches == batches + 1
    assert [rows[1] for kind, rows in worker.steps if kind == "answer"] == [FORCED_RUN] * 4


def test_its_place_is_free_for_the_next_step(worker: Watched) -> None:
    """Five for four limiter: the fifth begins in the very step after the one in which somebody left."""
    worker.submit(*(ask(f"Count to {n}.", sampling=Sampling(max_tokens=300)) for n in range(90, 95)))
    worker.until(lambda: worker.part(4) >= 2)
    assert worker.part(5, "prompt") == 0
    worker.during = lambda: worker.leave(2)
    worker._round()
    worker.during = lambda: None
    steps = len(worker.steps)
    worker.until(lambda: worker.part(5, "prompt") == 1)
    assert len(worker.steps) <= steps + 2, "a prompt has every second step at the latest"
    assert all(2 not in rows for _, rows in worker.steps[steps:])
