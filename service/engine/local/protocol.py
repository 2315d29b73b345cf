"""What the two processes say to each other: frames of four bytes of length, big-endian, and that much UTF-8 JSON.

Each is a flat object with `op`. The parent sends what to load, without an `op` and first of all; then `submit`,
`cancel`, `warm`, `count`, `embed`. The worker sends `loading`, `ready`, `failed`, `stats`, and with the id of what they
answer `begun`, `tokens`, `done`, `refused`, `counted`, `embedded`. Ids are the parent's and mean nothing here.
A prompt travels as pieces, (text, special): special pieces may become control tokens, the others never do.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, TypedDict

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 64 * 1024 * 1024

Pieces = list[tuple[str, bool]]


class Submit(TypedDict):
    """One request. `lark` is a grammar to enforce; `labels` a closed set to score instead of sampling."""

    op: str
    id: int
    pieces: Pieces
    sampling: dict[str, Any]
    lark: str | None
    labels: list[str]
    neutral: Pieces
    logprobs: int | None
    exact: bool
    background: bool
    salt: str
    force: bool


def encode(message: Any) -> bytes:
    """One frame. Half a surrogate pair is no UTF-8 but passes, as `json.loads` takes it: a caller may have sent one."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    return HEADER.pack(len(body)) + body


class Decoder:
    """Bytes in, messages out; keeps what is not whole yet."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Every message that `data` completes. Raises ValueError on a frame that cannot be one of ours."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._buffer)
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {size} bytes")
            if len(self._buffer) < HEADER.size + size:
                return
            body = bytes(self._buffer[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            yield json.loads(body)
