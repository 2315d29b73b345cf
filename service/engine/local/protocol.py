"""What the two processes say to each other: frames of four bytes of length, big-endian, and that much UTF-8 JSON.

Each is a flat object with `op`. The parent sends what to load, without an `op` and first of all; then `submit`,
`cancel`, `warm`, `count`, `embed`, `ping`. The worker sends `loading`, `ready`, `failed`, `stats`, `pong`, and with the
id of what they answer `begun`, `tokens`, `done`, `refused`, `broken`, `counted`, `embedded`. Ids are the parent's and
mean nothing here; those that are not positive are the worker's own.
A prompt travels as pieces, (text, special): special pieces may become control tokens, the others never do.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from service.errors import PromptTooLong, RequestError, SchemaUnsupported

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 64 * 1024 * 1024

Segments = list[tuple[str, bool]]


class Submit(TypedDict):
    """One request. `lark` is a grammar to enforce; `labels` a closed set to score instead of sampling."""

    op: str
    id: int
    pieces: Segments
    sampling: dict[str, Any]
    lark: str | None
    labels: list[str]
    neutral: Segments
    logprobs: int | None
    exact: bool
    background: bool
    salt: str
    force: bool


class FrameTooLarge(ValueError):
    """A message is larger than a frame may be. `size` is in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a frame of {size} bytes, and at most {MAX_FRAME_BYTES} may be sent")
        self.size = size


def encode(message: Any) -> bytes:
    """One frame. Raises FrameTooLarge: the other side ends at one, so it is refused where it is written.

    Half a surrogate pair is no UTF-8 but passes, as `json.loads` takes it: a caller may have sent one.
    """
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(body))
    return HEADER.pack(len(body)) + body


def refusal_frame(error: RequestError) -> dict[str, Any]:
    """The `refused` message of an error, without an id; `refusal_error` makes it an error again."""
    made: dict[str, Any] = {"op": "refused", "kind": "request", "message": error.message, "remedy": error.remedy}
    made["key"] = error.key
    if isinstance(error, PromptTooLong):
        made |= {"kind": "too_long", "limit": error.limit, "count": error.count, "at_least": error.at_least}
    elif isinstance(error, SchemaUnsupported):
        made |= {"kind": "schema", "keyword": error.keyword}
    return made


def refusal_error(message: Mapping[str, Any]) -> RequestError:
    """The error of a `refused` message."""
    text, remedy = message["message"], message["remedy"]
    if message["kind"] == "too_long":
        return PromptTooLong(
            text, limit=message["limit"], count=message["count"], at_least=message["at_least"], remedy=remedy
        )
    if message["kind"] == "schema":
        return SchemaUnsupported(text, pointer=message["key"] or "", keyword=message["keyword"], remedy=remedy)
    return RequestError(text, key=message["key"], remedy=remedy)


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
                raise FrameTooLarge(size)
            if len(self._buffer) < HEADER.size + size:
                return
            body = bytes(self._buffer[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            yield json.loads(body)
