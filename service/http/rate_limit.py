"""How much one caller may ask for in a minute: requests, and tokens of prompts and answers.

In: who asks, and what it cost when that is known. Out: 429 with Retry-After, and on every answer the `RateLimit`
headers of draft-ietf-httpapi-ratelimit-headers-10 with OpenAI's beside them.
Not here: how many requests are inside at once (`http.admission`), and the engine's own queue.

A request counts when it comes in, its tokens when they are made. So a balance may fall below zero; then the next
request waits longer. Tokens count whether or not they had to be computed, so the headers tell nothing of what others
asked.
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
    """What one caller has left. A limit of 0 is none."""

    def __init__(self, requests: int, tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        limits = {"requests": requests, "tokens": tokens}
        self._buckets = {what: TokenBucket(limit, limit, clock) for what, limit in limits.items() if limit}

    def wait_s(self) -> int:
        """Whole seconds until one more request may come; 0 when it may come now."""
        return math.ceil(max((bucket.wait_s(1) for bucket in self._buckets.values()), default=0.0))

    def take(self, what: str, amount: int) -> None:
        """Count this many `requests` or `tokens`."""
        if what in self._buckets:
            self._buckets[what].take(amount)

    def headers(self) -> dict[str, str]:
        """What is left, and after how many seconds nothing will have been used."""
        policy, state = [], []
        openai: dict[str, str] = {}
        for what, bucket in self._buckets.items():
            limit, left = f"{bucket.size:.0f}", str(max(0, math.floor(bucket.left())))
            full_s = math.ceil(bucket.wait_s(bucket.size))
            policy.append(f'"{what}";q={limit};w={MINUTE_S}')
            state.append(f'"{what}";r={left};t={full_s}')
            openai |= {
                f"x-ratelimit-limit-{what}": limit,
                f"x-ratelimit-remaining-{what}": left,
                f"x-ratelimit-reset-{what}": f"{full_s}s",
            }
        return {"ratelimit-policy": ", ".join(policy), "ratelimit": ", ".join(state), **openai} if openai else {}


class RateLimit:
    """ASGI middleware behind the authentication: counts what a caller asks for, or refuses it (429).

    A key has its own limits or everybody's; strangers count by address; who is alone on loopback is not counted. A
    route charges the tokens of its answer with `scope["state"]["charge"](tokens)`.
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
        """Count one request, or say when to come again."""
        counted = scope["type"] == "http" and paths.needs_key(scope["path"])
        quota = self._quota(scope) if counted else None
        if quota is None:
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(quota.headers())
            await send(message)

        if wait_s := quota.wait_s():
            self.rejected("rate")
            detail = f"The requests or tokens of this minute are used up. Come again in {wait_s} s."
            after = {"retry-after": str(wait_s)}
            answer = problems.refuse(scope["path"], 429, "rate", "Too many requests", detail, after)
            await answer(scope, receive, told)
            return
        quota.take("requests", 1)
        scope["state"]["charge"] = lambda tokens: quota.take("tokens", tokens)
        await self.app(scope, receive, told)


def charge(request: Request, tokens: int) -> None:
    """Count tokens for the caller, where callers are counted."""
    counted = getattr(request.state, "charge", None)
    if counted is not None:
        counted(tokens)
