"""Guessing is slowed: wrong keys and wrong secrets are counted by address, and too many are refused unread.

In: what an address got wrong. Out: 429 with Retry-After, until it may try again.
Not here: what is right (`service.keys`, `builds.runtime`).

A wrong secret is refused before it is compared, so guesses that are too many learn nothing. A right key is let in
whatever its address did before: it cannot be guessed, and who shares an address with a guesser must not be shut out.
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
    """How many wrong ones an address may still show."""

    def __init__(self) -> None:
        self._left = PerAddress(lambda: TokenBucket(AT_ONCE, PER_MINUTE))

    def failed(self, scope: Scope) -> None:
        """Count one that was wrong."""
        self._left[client_address(scope)].take(1)

    def refusal(self, scope: Scope) -> JSONResponse | None:
        """What an address is told that has been wrong too often; None while it may go on."""
        wait_s = math.ceil(self._left[client_address(scope)].wait_s(1))
        if not wait_s:
            return None
        detail = f"Too many wrong keys or secrets came from this address. Come again in {wait_s} s."
        return problems.refuse(
            scope["path"], 429, "guessing", "Too many requests", detail, {"retry-after": str(wait_s)}
        )


class SecretThrottle:
    """ASGI middleware around the routes that take a secret."""

    def __init__(self, app: ASGIApp, *, attempts: FailedAttempts) -> None:
        self.app = app
        self.attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request try its secret, or say when it may."""
        if scope["type"] != "http" or not _shows_secret(scope):
            await self.app(scope, receive, send)
            return
        if (refusal := self.attempts.refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                self.attempts.failed(scope)
            await send(message)

        await self.app(scope, receive, seen)


def _shows_secret(scope: Scope) -> bool:
    """In the body of a brief, or in a header."""
    if scope["path"] in paths.BRIEFS and scope["method"] == "POST":
        return True
    return paths.takes_secret(scope["path"]) and "authorization" in Headers(scope=scope)
