"""How long to wait before another try.

In: how often it failed, the server's `Retry-After`, the time that is left. Out: seconds.
Not here: which requests may be repeated, and the waiting itself.

The waits grow by a factor, up to a longest one. Jitter keeps clients that failed together from coming back together
(M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). A part of each wait stays fixed, so that no
try follows at once.
"""

from __future__ import annotations

import math
import random
import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Backoff:
    """One schedule of waits, in seconds. `jitter` is the part of a wait, 0 to 1, that chance decides."""

    first_s: float
    longest_s: float
    factor: float = 2.0
    jitter: float = 0.0
    longest_asked_s: float = math.inf
    """The longest wait that a server may ask for."""

    def wait_s(self, failures: int, *, asked_s: float | None = None, left_s: float = math.inf) -> float:
        """Seconds to wait after this many failures, from 1.

        `asked_s` is the server's `Retry-After`. It makes the wait longer, never shorter. `left_s` is the budget, which
        no wait exceeds.
        """
        exponent = min(failures - 1, 64)  # a larger one overflows a float, and the longest wait is reached before
        wait_s = min(self.first_s * self.factor**exponent, self.longest_s)
        wait_s *= 1 - self.jitter * random.random()  # noqa: S311  (no secret)
        if asked_s is not None:
            wait_s = max(wait_s, min(asked_s, self.longest_asked_s))
        return max(0.0, min(wait_s, left_s))

    def waits_s(self, count: int) -> list[float]:
        """The first `count` waits."""
        return [self.wait_s(failures) for failures in range(1, count + 1)]


def parse_retry_after(header: str | None, now_s: float | None = None) -> float | None:
    """Seconds to wait, from the value of `Retry-After`: a number or an HTTP date (RFC 9110, section 10.2.3).

    Fractions of a second are read too, because some servers send them. None if the header is missing or neither.
    `now_s` is the Unix time, by default this moment.
    """
    text = (header or "").strip()
    if SECONDS.fullmatch(text):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
        if then.tzinfo is None:  # a zone of -0000 says "UTC, and nothing about the local time" (RFC 5322, section 3.3)
            then = then.replace(tzinfo=UTC)
        then_s = then.timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return max(0.0, then_s - (time.time() if now_s is None else now_s))
