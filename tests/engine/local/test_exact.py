"""`exact` in a crowd: whatever else is asked, in whatever order, on whatever prefix, the answer has the same bits."""

from __future__ import annotations

import asyncio
import random

import pytest

from service.engine.types import Answer, Message, Request, Sampling
from tests.engine.local.conftest import Loaded, ask

pytestmark = pytest.mark.model

SHARED = "You answer questions about the boats of a small ferry company, in a few plain words. " * 9


def test_sixty_requests_in_a_crowd_equal_their_solo_answers(loaded: Loaded) -> None:
    """Twelve questions, each asked five times at random concurrency and order, beside fast requests that push prefixes
    out of their slots. `make bench ARGS="--only determinism"` asks a thousand."""
    rule = random.Random(11)
    asked = [
        Request(
            messages=(Message("system", SHARED), Message("user", f"Which boat is number {n}?")),
            sampling=Sampling(max_tokens=6), mode="exact", logprobs=0, reuse=False,
        )
        for n in range(12)
    ]  # fmt: skip

    async def run() -> tuple[list[Answer], list[tuple[int, Answer]]]:
        engine = loaded.engine
        alone = [await engine.answer(request) for request in asked]
        left = [n for n in range(12) for _ in range(5)]
        rule.shuffle(left)
        found: list[tuple[int, Answer]] = []
        while left:
            some = [left.pop() for _ in range(min(len(left), rule.choice((1, 2, 5, 9))))]
            others = [ask("Count. " * rule.randint(1, 40), tokens=3) for _ in range(rule.choice((0, 1, 3)))]
            answers = await asyncio.gather(*map(engine.answer, [*(asked[n] for n in some), *others]))
            found += zip(some, answers[: len(some)], strict=True)
        return alone, found

    alone, found = loaded.runner.run(run())
    assert len(found) == 60
    assert any(answer.usage.cached for _, answer in found)
    for n, answer in found:
        assert (answer.tokens, answer.logprobs) == (alone[n].tokens, alone[n].logprobs)
