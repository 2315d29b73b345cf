"""Authentication: every request gets its caller, and a request without a key is rejected if the settings demand one.

In: an ASGI request. Out: the request with `scope["state"]["caller"]` (`request.state.caller`), or 401 in the shape of
the API's errors.
Not here: how keys are made and compared (`service.keys`), and the secret of the routes of builds (`http.builds`). A key
does not open the routes of builds, and the secret does not open the others.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import keys
from service.exposure import Exposure
from service.http import paths, problems
from service.http.brute_force import FailedAttempts


@dataclass(frozen=True)
class Caller:
    """The caller of one request.

    name: the key's name, or None without a key.
    cache_salt: two requests share cached answers and prefixes only if their salts are equal. It is "" for the only user
        of a service on loopback without keys, constant for a key, and random for each request of a stranger.
    trusted: whether the caller may see details of the service.
    """

    name: str | None
    cache_salt: str
    trusted: bool = False


def stranger() -> Caller:
    """A caller without a key. Its salt is random, so not even its own later requests share anything with it."""
    return Caller(None, secrets.token_hex(16))


class Authentication:
    """ASGI middleware: sets the caller of every request, and rejects requests without a valid key (401)."""

    def __init__(
        self, app: ASGIApp, *, exposure: Exposure, attempts: FailedAttempts, rejected: Callable[[str], None]
    ) -> None:
        self.app = app
        self.exposure = exposure
        self.attempts = attempts
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit one request with its caller, or reject it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        key = bearer(Headers(scope=scope).get("authorization", ""))
        foreign = scope.get("state", {}).get("foreign_host", False)
        caller = stranger() if foreign else self.caller(key)
        scope.setdefault("state", {})["caller"] = caller or stranger()
        if caller is not None or not paths.needs_key(scope["path"]):
            await self.app(scope, receive, send)
        elif key is None and _opens_page(scope):
            await self.app(scope, receive, _with_status_401(send))
        else:
            await self._reject(scope, receive, send, wrong=key is not None)

    def caller(self, presented: str | None) -> Caller | None:
        """The caller with this key. None if the caller may not use the routes that need a key."""
        if self.exposure.private:
            return Caller(None, "", trusted=True)
        if presented is None:
            return stranger() if self.exposure.open else None
        if self.exposure.open and not self.exposure.keys:  # some clients cannot leave a key out
            return stranger()
        key = keys.match(self.exposure.keys, presented)
        return Caller(key.name, keys.salt(presented), trusted=True) if key is not None else None

    async def _reject(self, scope: Scope, receive: Receive, send: Send, *, wrong: bool) -> None:
        """401 for a missing or wrong key, 429 after too many wrong ones. The key is never repeated."""
        self.rejected("key")
        if wrong:
            if (refusal := self.attempts.refusal(scope)) is not None:
                await refusal(scope, receive, send)
                return
            self.attempts.failed(scope)
        problem = "The key is wrong." if wrong else "A key is needed."
        detail = f"{problem} Send it as Authorization: Bearer KEY. `sameboat key new NAME` makes one."
        headers = {"www-authenticate": 'Bearer realm="sameboat"' + (', error="invalid_token"' if wrong else "")}
        await problems.refuse(scope["path"], 401, "key", "Unauthorized", detail, headers)(scope, receive, send)


def bearer(header: str) -> str | None:
    """The token of an `Authorization: Bearer` header (RFC 6750). None without one, and for another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def _opens_page(scope: Scope) -> bool:
    """Whether a browser opens one of the static pages. The page asks for the key."""
    reads_page = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in paths.PAGES
    return reads_page and "text/html" in Headers(scope=scope).get("accept", "")


def _with_status_401(send: Send) -> Send:
    """Sends the same response with status 401."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message["status"] = 401
            MutableHeaders(scope=message)["www-authenticate"] = 'Bearer realm="sameboat"'
        await send(message)

    return sent
