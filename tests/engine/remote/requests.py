"""A remote engine in front of a scripted server, and a plain question to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.engine.remote import RemoteEngine
from service.engine.types import Answer, Message, Request, Sampling
from service.settings import load
from tests.servers.openai_server import OpenAIServer

KEY = "sk-very-secret-000"
ASK = Request(messages=(Message("user", "Hi"),), sampling=Sampling(max_tokens=16, stop=("END",), seed=5))


@asynccontextmanager
async def engine(url: str, **values: Any) -> AsyncIterator[RemoteEngine]:
    made = RemoteEngine(load(engine="remote", remote_base_url=url, remote_api_key=KEY, **values), "small")
    try:
        yield made
    finally:
        await made.stop(0)


def ask(server: OpenAIServer, request: Request = ASK, **values: Any) -> Answer:
    async def main() -> Answer:
        async with engine(server.base_url, **values) as made:
            return await made.answer(request)

    return asyncio.run(main())
