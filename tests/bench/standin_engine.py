"""A remote engine for drills: OpenAI's chat route with right answers, a latency, and a limit of requests.

    python -m tests.bench.standin_engine PORT [--latency 0.05] [--per-second 0] [--asked FILE]

The answer to "... item N" is the N-th label, so a client knows the right one. Above `--per-second` requests, counted
over a tenth of a second, it answers 429 with `Retry-After: 1`. `--asked` gets one byte of a file per N, the number of
answers that were begun for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LABELS = ("red", "green", "blue", "yellow")
MODEL = "standin"
ITEMS = 1_000_000


def label(number: int) -> str:
    """The right answer about an item."""
    return LABELS[number * 7919 % len(LABELS)]


def number_of(body: dict[str, Any]) -> int:
    """The item that a request asks about."""
    return int(body["messages"][-1]["content"].rpartition("item ")[2].rstrip("?. "))


class StandinEngine:
    """The routes and their limit."""

    def __init__(self, latency_s: float, per_second: int, asked: Path | None) -> None:
        self.latency_s = latency_s
        self.per_second = per_second
        self.limited = 0  # requests that were answered 429
        self._window, self._taken = 0, 0
        self._asked: mmap.mmap | None = None
        if asked is not None:
            if not asked.exists():
                asked.write_bytes(bytes(ITEMS))
            self._file = asked.open("r+b")
            self._asked = mmap.mmap(self._file.fileno(), ITEMS)

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/v1/stats", self._stats),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _stats(self, request: Request) -> Response:
        return JSONResponse({"limited": self.limited})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        if self.per_second:
            window = int(10 * time.monotonic())
            if window != self._window:
                self._window, self._taken = window, 0
            if self._taken >= self.per_second / 10:
                self.limited += 1
                error = {"error": {"message": "Rate limit reached.", "code": "rate_limit_exceeded"}}
                return JSONResponse(error, 429, {"retry-after": "1"})
            self._taken += 1
        number = number_of(body)
        if self._asked is not None:
            self._asked[number] = min(255, self._asked[number] + 1)
        return StreamingResponse(self._events(number), media_type="text/event-stream")

    async def _events(self, number: int) -> AsyncIterator[bytes]:
        await asyncio.sleep(self.latency_s)
        for choice in (
            {"delta": {"content": label(number)}, "finish_reason": None},
            {"delta": {}, "finish_reason": "stop"},
        ):
            yield _event({"choices": [{"index": 0, **choice}]})
        yield _event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})
        yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'id': 'x', **value})}\n\n".encode()


def main() -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(description="A remote engine for drills")
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--per-second", type=int, default=0)
    parser.add_argument("--asked", type=Path, default=None)
    given = parser.parse_args()
    engine = StandinEngine(given.latency, given.per_second, given.asked)
    uvicorn.run(engine.app(), host="127.0.0.1", port=given.port, log_level="critical", lifespan="off")


if __name__ == "__main__":
    main()
