"""The real starter model, loaded once for this directory, on an event loop that outlives single tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service import settings as settings_module
from service.engine.local.client import LocalEngine
from service.engine.types import Answer, Message, Request, Sampling
from service.models.catalog import Catalog
from tests.engine.local.watched import Watched


def make(**overrides: Any) -> LocalEngine:
    """An engine of the default model, small enough for a test. Its fast answers depend on no measured time."""
    settings = settings_module.load(**{"context": 512, "parallel": 4, "speculation": "off", **overrides})
    catalog = Catalog.load(settings.data_dir / "models.toml")
    return LocalEngine(catalog[catalog.default], settings)


def ask(text: str, *, tokens: int = 24, **fields: Any) -> Request:
    """A greedy request of one user message."""
    sampling = fields.pop("sampling", None) or Sampling(max_tokens=tokens)
    return Request(messages=(Message("user", text),), sampling=sampling, **fields)


@asynccontextmanager
async def running(**overrides: Any) -> AsyncIterator[LocalEngine]:
    """An engine that is ready, and stopped afterwards."""
    engine = make(**overrides)
    await engine.ready()
    try:
        yield engine
    finally:
        await engine.stop(0)


@dataclass
class Loaded:
    """The engine and the loop it lives on."""

    engine: LocalEngine
    runner: asyncio.Runner

    def run(self, *requests: Request) -> list[Answer]:
        """All of them at the same time."""

        async def together() -> list[Answer]:
            return list(await asyncio.gather(*(self.engine.answer(request) for request in requests)))

        return self.runner.run(together())


@pytest.fixture(scope="package")
def loaded() -> Iterator[Loaded]:
    with asyncio.Runner() as runner:
        engine = make()
        runner.run(engine.ready())
        yield Loaded(engine, runner)
        runner.run(engine.stop(0))


@pytest.fixture(scope="package")
def loaded_worker(starter: Path) -> Iterator[Watched]:
    engine = make(context=1024, parallel=4, threads=1, prefix_cache_bytes=0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = Watched(theirs, engine.template)
        worker._load(engine.load_message(starter, other_engines_bytes=0))
        worker.watch()
        yield worker
        worker.context.close()


@pytest.fixture
def worker(loaded_worker: Watched) -> Iterator[Watched]:
    """The loaded worker with nothing to do and nothing recorded."""
    loaded_worker.steps.clear()
    loaded_worker.said.clear()
    loaded_worker.batches = 0
    yield loaded_worker
    loaded_worker.during = lambda: None
    for identifier in list(loaded_worker._requests):
        loaded_worker.leave(identifier)
    loaded_worker._receive(wait=False)
