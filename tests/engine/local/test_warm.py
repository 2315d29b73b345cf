"""Prefixes with the real model: warmed up, shared, saved, restored, and never different in any bit."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from service.engine.local.client import LocalEngine
from service.engine.types import Answer, Message, Request, Sampling
from tests.engine.local.conftest import running

pytestmark = pytest.mark.model

SYSTEM = "You answer questions about boats and rivers, and the people who live beside them, in plain words. " * 12


def asked(text: str) -> Request:
    return Request(
        messages=(Message("system", SYSTEM), Message("user", text)),
        sampling=Sampling(max_tokens=12), logprobs=0, mode="exact",
    )  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, starter: Path) -> Path:
    """A cache of its own with the model in it, so that saved prefixes are this test's."""
    (tmp_path / "models").mkdir()
    shutil.copyfile(starter, tmp_path / "models" / starter.name)  # no link: the cache may be another volume
    return tmp_path


async def until(engine: LocalEngine, name: str, least: float) -> None:
    """Wait for the worker's own numbers."""
    async with asyncio.timeout(60):
        while engine.stats().get(name, 0) < least:
            await engine.count(asked(""))  # a round trip: the worker has sent all of its messages


def same(left: Iterable[Answer], right: Iterable[Answer]) -> bool:
    return [(a.tokens, a.logprobs) for a in left] == [(a.tokens, a.logprobs) for a in right]


def test_a_prefix_decoded_ahead_is_saved_restored_verified_and_changes_no_bit(cache: Path) -> None:
    """Cold, decoded ahead, read from the volume, and computed again after the file was damaged: one answer."""
    folder = cache / "prefixes"

    async def ask(*, warm: bool, cached: bool) -> tuple[Answer, dict[str, float]]:
        async with running(cache_dir=cache, parallel=2) as engine:
            if warm:
                await engine.warm_up([[asked("Aa"), asked("7,")]])
                await until(engine, "prefixes", 1)
            answer = await engine.answer(asked("Where does it flow?"))
            assert (answer.usage.cached > 0) == cached
            return answer, dict(engine.stats())

    cold, _ = asyncio.run(ask(warm=False, cached=False))
    ahead, _ = asyncio.run(ask(warm=True, cached=True))
    (path,) = folder.glob("*/*.prefix")
    restored, numbers = asyncio.run(ask(warm=False, cached=True))
    assert numbers["prefix_restored"] == 1
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    again, numbers = asyncio.run(ask(warm=False, cached=False))
    assert numbers["prefix_lost"] == 1
    assert not path.exists()
    assert same([cold] * 3, [ahead, restored, again])


def test_a_cache_that_cannot_be_written_to_is_survived(cache: Path) -> None:
    shutil.rmtree(cache / "prefixes", ignore_errors=True)
    (cache / "prefixes").write_text("no folder")

    async def ask() -> Answer:
        async with running(cache_dir=cache, parallel=2) as engine:
            await engine.warm_up([[asked("Aa"), asked("7,")]])
            await until(engine, "prefixes", 1)
            return await engine.answer(asked("Where does it flow?"))

    assert asyncio.run(ask()).usage.cached > 0


def test_a_shared_beginning_outlives_the_slots_that_held_it(cache: Path) -> None:
    """Shared twice, it is kept. Other prompts then take every slot, and it is still there."""

    async def ask() -> Answer:
        async with running(cache_dir=cache, parallel=1) as engine:
            for text in ("Who?", "Where?", "When?"):
                await engine.answer(asked(text))
            await engine.answer(Request(text="Something else entirely. " * 30, sampling=Sampling(max_tokens=1)))
            return await engine.answer(asked("Why?"))

    assert asyncio.run(ask()).usage.cached >= 128
