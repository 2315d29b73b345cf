"""`suffix` on a model that knows it: Qwen2.5-Coder writes the part between, with its own tokens."""

from __future__ import annotations

import asyncio

import pytest

from service import settings as settings_module
from service.engine.local.client import LocalEngine
from service.engine.types import Request, Sampling
from service.models.cache import Cache
from service.models.catalog import Catalog

CODER = "qwen2.5-coder-1.5b-instruct"
CASES = [
    ("def add(a, b):\n    ", "\n\nprint(add(1, 2))\n", "return a + b"),
    ("def is_even(n):\n    return ", " == 0\n", "n % 2"),
    ("numbers = [1, 2, 3]\nfor number in ", ":\n    print(number)\n", "numbers"),
    ("import json\n\ndef read(path):\n    with open(path) as file:\n        return ", "(file)\n", "json.load"),
]


@pytest.mark.model
def test_the_middle_is_filled_in_between_prefix_and_suffix(catalog: Catalog) -> None:
    """And a prompt that writes the tokens itself, with `parse_special`, is the same prompt."""
    settings = settings_module.load(context=512, parallel=1)
    if Cache(settings.cache_dir).find(catalog[CODER]) is None:
        pytest.skip(f"{CODER} is not in the cache: sameboat model pull {CODER}")

    async def answers() -> tuple[list[str], bool]:
        engine = LocalEngine(catalog[CODER], settings)
        try:
            await engine.ready()
            requests = [
                Request(text=before, suffix=after, sampling=Sampling(max_tokens=12, stop=("\n",)))
                for before, after, _ in CASES
            ]
            texts = [(await engine.answer(request)).text for request in requests]
            before, after, _ = CASES[0]
            written = f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"
            by_hand = await engine.tokenize(Request(text=written, parse_special=True))
            return texts, by_hand == await engine.tokenize(requests[0])
        finally:
            await engine.stop(0)

    texts, same = asyncio.run(answers())
    assert [middle in text for text, (_, _, middle) in zip(texts, CASES, strict=True)] == [True] * len(CASES), texts
    assert same
