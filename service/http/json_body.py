"""A request's body as JSON: the one reader of every route that takes any.

In: a request. Out: the value, or RequestError in words, before a model or a validator meets it. How long reading takes
is bounded before it begins: the body's values are counted in a thread, piece by piece, and a body of more than
`MAX_SIGNS` is refused unread. Long texts are no problem; many small values are. Not here: what the value must be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from fastapi import Request, Response
from fastapi.routing import APIRoute

from service import strict_json
from service.errors import RequestError

MAX_SIGNS = 65_536  # of , : [ { outside of texts: every value and every key but the first needs one
MAX_OUTSIDE = 2_097_152  # bytes that stand outside of texts: numbers, white space
MAX_ESCAPES = 1_000_000  # backslashes inside of texts: an escape takes ten times as long to read as a character
PIECE = 262_144  # bytes that are counted at a time; whoever waits for the interpreter gets it in between
_QUOTE, _SIGNS = ord('"'), tuple(b",:[{")


class JsonRoute(APIRoute):
    """A route whose body is read here, and not by FastAPI. For routers: `APIRouter(route_class=JsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, which finds the body already read."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_first(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            await request.json()
            return await handle(request)

        return read_first


class JsonRequest(Request):
    """A request whose `json()` is strict and bounded."""

    async def json(self) -> Any:
        """The body's value. Raises RequestError."""
        if not hasattr(self, "_json"):
            self._json = await body_of(self)
        return self._json


async def body_of(request: Request) -> Any:
    """The JSON value that was sent.

    Raises:
        RequestError: if the body is no JSON, or too large to be read. Nothing of the body is repeated.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestError("Send JSON with Content-Type: application/json (curl --json).", key="Content-Type")
    data = await request.body()
    try:
        # A body of so few bytes cannot hold more signs.
        return strict_json.loads(data) if len(data) <= MAX_SIGNS else await asyncio.to_thread(_large, data)
    except strict_json.NotJson as error:
        raise RequestError(f"The body {error}.", key="") from None


def _large(data: bytes) -> Any:
    signs, outside, escapes = measured(data)
    if signs > MAX_SIGNS:
        raise strict_json.NotJson(f"has more than {MAX_SIGNS} keys and values")
    if outside > MAX_OUTSIDE:
        raise strict_json.NotJson(f"has more than {MAX_OUTSIDE} bytes outside of texts")
    if escapes > MAX_ESCAPES:
        raise strict_json.NotJson(f"has more than {MAX_ESCAPES} escapes in its texts")
    return strict_json.loads(data)


def measured(data: bytes) -> tuple[int, int, int]:
    """Signs that separate values, bytes outside of texts, and backslashes; counting ends soon after a limit."""
    signs = outside = escapes = 0
    inside = escaped = False
    for start in range(0, len(data), PIECE):
        piece = data[start : start + PIECE]
        if b"\\" in piece or escaped:
            escapes += piece.count(b"\\")
            if escaped:
                piece = b" " + piece[1:]
            piece = piece.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
            escaped = piece.endswith(b"\\")
        codes = np.frombuffer(piece, np.uint8)
        within = (np.cumsum(codes == _QUOTE, dtype=np.uint8) + inside) & 1
        outer = codes[within == 0]
        inside = bool(within[-1])
        outside += len(outer)
        signs += int(np.count_nonzero(np.isin(outer, _SIGNS)))
        if signs > MAX_SIGNS or outside > MAX_OUTSIDE or escapes > MAX_ESCAPES:
            break
    return signs, outside, escapes
