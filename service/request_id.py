"""The id of the request that this task works for.

In: an id from the HTTP side. Out: the same id for log lines and for servers that are asked on the way.
Not here: headers and log formats (`http.access`, `http.logs`).
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "x-request-id"
USABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""A caller's id that is taken. Others could draw over log lines, or fill them."""

current: ContextVar[str] = ContextVar("request_id", default="")
"""The id. Empty outside of a request."""


def of(sent: str | None) -> str:
    """The id that the caller sent, if it is usable. Else a new one."""
    return sent if sent is not None and USABLE.fullmatch(sent) else secrets.token_hex(16)
