"""The answer at the end of an engine's stream.

In: the items of `Engine.stream`. Out: its `Answer`.
Not here: how a stream is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from service.engine.types import Answer, Chunk


async def answer_of(stream: AsyncGenerator[Chunk | Answer, None]) -> Answer:
    """Read a stream to its end and return the answer. It is closed in any case, which cancels an unfinished request.

    Raises:
        AssertionError: if the stream breaks the contract: it ends with neither an answer nor an error.
    """
    async with contextlib.aclosing(stream) as items:
        async for item in items:
            if isinstance(item, Answer):
                return item
    raise AssertionError("a stream ends with an answer or an error")
