"""Rate limits per caller and minute: requests, and tokens of prompts and answers.

In: the caller of a request, and its tokens after they are known. Out: 429 with Retry-After, and on every answer the
`RateLimit` headers of draft-ietf-httpapi-ratelimit-headers-10 and OpenAI's headers.
Not here: the number of concurrent requests (`http.admission`), and the engine's own queue.

A request counts when it arrives, and its tokens when they are computed. So a balance may become negative, and then the
next request waits longer. Cached tokens count too, so the headers say nothing about the requests of other callers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.exposure import Exposure
from service.http import paths, problems
from service.http.auth import Caller
from service.http.token_bucket import MINUTE_S, PerAddress, TokenBucket, client_address


class Quota:
    """The requests and tokens that one caller has left. A limit of 0 means no limit."""

    def __init__(self, requests: int, tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        limits = {"requests": requests, "tokens": tokens}
        self._buckets = {unit: TokenBucket(limit, limit, clock) for unit, limit in limits.items() if limit}

    def wait_s(self) -> int:
        """Whole seconds until the next request may come. 0 if it may come now."""
        return math.ceil(max((bucket.wait_s(1) for bucket in self._buckets.values()), default=0.0))

    def take(self, unit: str, amount: int) -> None:
        """Count an amount of `requests` or `tokens`."""
        if unit in self._buckets:
            self._buckets[unit].take(amount)

    def headers(self) -> dict[str, str]:
        """The limits, the amounts left, and the seconds until each bucket is full again."""
        policy, state = [], []
        openai: dict[str, str] = {}
        for unit, bucket in self._buckets.items():
            limit, left = f"{bucket.size:.0f}", str(max(0, math.floor(bucket.left())))
            full_s = math.ceil(bucket.wait_s(bucket.size))
            policy.append(f'"{unit}";q={limit};w={MINUTE_S}')
            state.append(f'"{unit}";r={left};t={full_s}')
            openai |= {
                f"x-ratelimit-limit-{unit}": limit,
                f"x-ratelimit-remaining-{unit}": left,
                f"x-ratelimit-reset-{unit}": f"{full_s}s",
            }
        return {"ratelimit-policy": ", ".join(policy), "ratelimit": ", ".join(state), **openai} if openai else {}


class RateLimit:
    """ASGI middleware behind the authentication: counts requests, or rejects them (429).

    A key has its own limits, or else those of the settings. Callers without a key count by address. The only user of a
    service on loopback is not counted. A route counts the tokens of its answer with `charge`.
    """

    def __init__(
        self, app: ASGIApp, *, exposure: Exposure, requests: int, tokens: int, rejected: Callable[[str], None]
    ) -> None:
        self.app = app
        self.rejected = rejected
        self._named = {
            key.name: Quota(
                requests if key.requests is None else key.requests, tokens if key.tokens is None else key.tokens
            )
            for key in exposure.keys
        }
        self._strangers = PerAddress(lambda: Quota(requests, tokens))

    def _quota(self, scope: Scope) -> Quota | None:
        caller: Caller = scope["state"]["caller"]
        if caller.name is not None:
            return self._named[caller.name]
        return None if caller.trusted else self._strangers[client_address(scope)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count and pass on one request, or reject it."""
        counted = scope["type"] == "http" and paths.needs_key(scope["path"])
        quota = self._quota(scope) if counted else None
        if quota is None:
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(quota.headers())
            await send(message)

        if wait_s := quota.wait_s():
            self.rejected("rate")
            detail = f"The requests or tokens of this minute are used up. Try again in {wait_s} s."
            after = {"retry-after": str(wait_s)}
            answer = problems.refuse(scope["path"], 429, "rate", "Too many requests", detail, after)
            await answer(scope, receive, send_with_headers)
            return
        quota.take("requests", 1)
        scope["state"]["charge"] = lambda tokens: quota.take("tokens", tokens)
        await self.app(scope, receive, send_with_headers)


def charge(request: Request, tokens: int) -> None:
    """Count tokens for the caller, if the caller has limits."""
    count = getattr(request.state, "charge", None)
    if count is not None:
        count(tokens)
