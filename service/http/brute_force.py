"""Protection against guessing: wrong keys and secrets are counted per address, and too many are answered 429.

In: failed attempts of an address. Out: 429 with Retry-After, until the address may try again.
Not here: whether a key or a secret is right (`service.keys`, `builds.runtime`).

Over the limit a secret is rejected before it is compared, so further guesses learn nothing. A right key is always
admitted: keys cannot be guessed, and other users of the attacker's address must not be locked out.
"""

from __future__ import annotations

import math

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http import paths, problems
from service.http.token_bucket import PerAddress, TokenBucket, client_address

AT_ONCE, PER_MINUTE = 20, 20


class FailedAttempts:
    """The number of wrong keys and secrets that each address may still send."""

    def __init__(self) -> None:
        self._left = PerAddress(lambda: TokenBucket(AT_ONCE, PER_MINUTE))

    def failed(self, scope: Scope) -> None:
        """Count one wrong key or secret."""
        self._left[client_address(scope)].take(1)

    def refusal(self, scope: Scope) -> JSONResponse | None:
        """The 429 for an address with too many failed attempts. None while it may try."""
        wait_s = math.ceil(self._left[client_address(scope)].wait_s(1))
        if not wait_s:
            return None
        detail = f"Too many wrong keys or secrets came from this address. Try again in {wait_s} s."
        return problems.refuse(
            scope["path"], 429, "guessing", "Too many requests", detail, {"retry-after": str(wait_s)}
        )


class SecretThrottle:
    """ASGI middleware: limits the attempts at the routes that take a secret."""

    def __init__(self, app: ASGIApp, *, attempts: FailedAttempts) -> None:
        self.app = app
        self.attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 429."""
        if scope["type"] != "http" or not _has_secret(scope):
            await self.app(scope, receive, send)
            return
        if (refusal := self.attempts.refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                self.attempts.failed(scope)
            await send(message)

        await self.app(scope, receive, counted_send)


def _has_secret(scope: Scope) -> bool:
    """Whether the request has a secret: in the body of a brief, or in a header."""
    if scope["path"] in paths.BRIEFS and scope["method"] == "POST":
        return True
    return paths.takes_secret(scope["path"]) and "authorization" in Headers(scope=scope)
