"""Reads the JSON body of a request, for every route.

In: a request. Out: the JSON value, or RequestError.
Not here: the validation of the value.

Before a large body is parsed, its values are counted in a thread, piece by piece. A body with more than `MAX_SIGNS` is
refused without parsing, so the time for parsing is bounded. Long texts are cheap to parse, many small values are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service import strict_json
from service.errors import RequestError

MAX_SIGNS = 65_536  # the characters , : [ { outside of texts. Each value, and each key but the first, needs one
MAX_OUTSIDE = 2_097_152  # bytes outside of texts: numbers, white space
MAX_ESCAPES = 1_000_000  # backslashes in texts. An escape takes ten times as long to parse as a character
PIECE = 262_144  # bytes counted in one call. Other threads run in between
_QUOTE, _SIGNS = ord('"'), tuple(b",:[{")


class JsonRoute(APIRoute):
    """A route with `JsonRequest` as its request: `APIRouter(route_class=JsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, called after the body is read."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_first(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            await request.json()
            return await handle(request)

        return read_first


class JsonRequest(Request):
    """A request with a strict and bounded `json()`."""

    async def json(self) -> Any:
        """The value of the body. Raises RequestError."""
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
        # A body of MAX_SIGNS bytes cannot have more than MAX_SIGNS signs.
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
    """Signs outside of texts, bytes outside of texts, and backslashes. Stops soon after one limit is exceeded."""
    import numpy as np  # at the first large body: a fifth of the time that the service's imports take

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
