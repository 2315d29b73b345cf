"""The protocol between service and worker: frames of four bytes of length, big-endian, and a body of UTF-8 JSON.

Each body is a flat object with `op`. The first frame from the parent is the load message, without `op`. Then follow
`submit`, `cancel`, `share`, `warm`, `tokenize`, `detokenize`, `embed`, `ping`. The worker sends `loading`, `ready`,
`failed`, `stats`, `pong`, and with the id of a request `begun`, `echo`, `tokens`, `done`, `refused`, `broken`,
`tokenized`, `detokenized`, `embedded`. The parent chooses the ids. Ids that are not positive are the worker's own.
A prompt consists of segments (text, special). Special segments may become control tokens, other segments never do.
Instead of segments it can have token ids. With a suffix the answer stands between the segments and the suffix.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypedDict

from service.errors import PromptTooLong, RequestError, SchemaUnsupported

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 64 * 1024 * 1024

Segments = list[tuple[str, bool]]


class WirePrompt(TypedDict):
    """The prompt in a message."""

    segments: Segments
    ids: list[int] | None
    suffix: str | None


class Submission(WirePrompt):
    """A `submit` message without its id.

    `lark` is a grammar to enforce, `labels` a closed set to score. `marks` are texts of control tokens that stay in the
    answer's text. `calibration` is the scale and the bias of each label.
    """

    op: Literal["submit"]
    sampling: dict[str, Any]
    lark: str | None
    labels: list[str]
    marks: list[str]
    neutral: Segments
    calibration: list[float] | None
    logprobs: int | None
    prompt_logprobs: bool
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
    """One frame of a message. Half a surrogate pair is no UTF-8 but passes, since `json.loads` of a caller's text may
    give it.

    Raises:
        FrameTooLarge: if it is larger than the other side accepts.
    """
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(body))
    return HEADER.pack(len(body)) + body


def refusal_frame(error: RequestError) -> dict[str, Any]:
    """The `refused` message of an error, without an id. `refusal_error` is the inverse."""
    frame: dict[str, Any] = {"op": "refused", "kind": "request", "message": error.message, "remedy": error.remedy}
    frame["key"] = error.key
    if isinstance(error, PromptTooLong):
        frame |= {"kind": "too_long", "limit": error.limit, "count": error.count, "at_least": error.at_least}
    elif isinstance(error, SchemaUnsupported):
        frame |= {"kind": "schema", "keyword": error.keyword}
    return frame


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
    """Turns bytes into messages, and keeps an incomplete message until its rest arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Every message that `data` completes.

        Raises:
            FrameTooLarge: if a frame announces more bytes than allowed. It is a ValueError, like the error of invalid
            JSON.
        """
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
