"""Measures an engine's speed: prompt tokens per second, answer tokens per second alone and eight at a time.

In: a ready engine. Out: three rates from the worker's own counters, without HTTP and queue.
Not here: comparisons.

Every prompt differs from its first token on, so no prefix is reused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.engine.local.client import LocalEngine
from service.engine.types import Request, Sampling

PROMPTS, PROMPT_WORDS = 3, 90  # numbers of four digits, five tokens each with their space: about 450 a prompt
ANSWER_TOKENS = 48
TOGETHER = 8


@dataclass(frozen=True)
class Speed:
    """Tokens a second."""

    prefill: float
    decode_1: float
    decode_8: float


async def measure(engine: LocalEngine, round_: int = 0) -> Speed:
    """One round. `round_` gives it prompts that differ from other rounds."""
    seed = 1000 * (1 + round_ % 8)
    before = dict(engine.stats())
    for number in range(PROMPTS):
        words = " ".join(f"{seed + number * 7 + at}" for at in range(PROMPT_WORDS))
        await engine.answer(_ask(f"{seed + number} {words}", 1))
    prefill = _rate(engine, before, "prompt")
    before = dict(engine.stats())
    await engine.answer(_ask(f"{seed + 11} ships, {seed + 12} ships, {seed + 13} ships,", ANSWER_TOKENS))
    alone = _rate(engine, before, "answer")
    before = dict(engine.stats())
    asked = [_ask(f"{seed + 50 + index} boats, {seed + 51 + index} boats,", ANSWER_TOKENS) for index in range(TOGETHER)]
    await asyncio.gather(*(engine.answer(request) for request in asked))
    return Speed(prefill, alone, _rate(engine, before, "answer"))


def _ask(text: str, tokens: int) -> Request:
    return Request(text=text, sampling=Sampling(max_tokens=tokens), reuse=False)


def _rate(engine: LocalEngine, before: dict[str, float], kind: str) -> float:
    """Tokens per second since `before`."""
    now = engine.stats()
    tokens = now[f"{kind}_tokens"] - before.get(f"{kind}_tokens", 0.0)
    return tokens / max(1e-9, now[f"{kind}_seconds"] - before.get(f"{kind}_seconds", 0.0))
