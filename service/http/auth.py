"""Who calls: a key is asked for where the settings say so, and every request knows its caller.

In: an ASGI request. Out: the same with `scope["state"]["caller"]` set, so `request.state.caller`; or 401, in the
API's own error shape.
Not here: how keys are made and compared (`service.keys`), and the secret of the build routes (`http.builds`). The two
do not replace each other: a key opens what answers, the secret opens what builds, and neither opens the other.
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
    """Who asks. What callers compute is kept apart by `cache_salt`: equal for two requests only if they may share.

    `name` is the key's, or None without one. `cache_salt` is "" for the only user of a service on loopback without
    keys, the same at every start for a key, and another one for every request of a stranger. `trusted`: may be told
    details.
    """

    name: str | None
    cache_salt: str
    trusted: bool = False


def stranger() -> Caller:
    """Somebody without a key, who shares nothing with anybody, the next request of the same person included."""
    return Caller(None, secrets.token_hex(16))


class Authentication:
    """ASGI middleware: names the caller of every request, and asks for a key where one is needed (401)."""

    def __init__(
        self, app: ASGIApp, *, exposure: Exposure, attempts: FailedAttempts, rejected: Callable[[str], None]
    ) -> None:
        self.app = app
        self.exposure = exposure
        self.attempts = attempts
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in with its caller, or say why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        shown = bearer(Headers(scope=scope).get("authorization", ""))
        foreign = scope.get("state", {}).get("foreign_host", False)
        caller = stranger() if foreign else self.caller(shown)
        scope.setdefault("state", {})["caller"] = caller or stranger()
        if caller is not None or not paths.needs_key(scope["path"]):
            await self.app(scope, receive, send)
        elif shown is None and _opens_page(scope):
            await self.app(scope, receive, _as_refusal(send))
        else:
            await self._refuse(scope, receive, send, wrong=shown is not None)

    def caller(self, shown: str | None) -> Caller | None:
        """Who shows this; None for somebody who is not let in to what needs a key."""
        if self.exposure.private:
            return Caller(None, "", trusted=True)
        if shown is None:
            return stranger() if self.exposure.open else None
        if self.exposure.open and not self.exposure.keys:  # clients that cannot leave a key out send any
            return stranger()
        key = keys.match(self.exposure.keys, shown)
        return Caller(key.name, keys.salt(shown), trusted=True) if key is not None else None

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, wrong: bool) -> None:
        """401, which says whether a key is missing or wrong and never repeats it; 429 after too many wrong ones."""
        self.rejected("key")
        if wrong:
            if (refusal := self.attempts.refusal(scope)) is not None:
                await refusal(scope, receive, send)
                return
            self.attempts.failed(scope)
        said = "The key is wrong." if wrong else "A key is needed."
        detail = f"{said} Send it as Authorization: Bearer KEY; `sameboat key new NAME` makes one."
        headers = {"www-authenticate": 'Bearer realm="sameboat"' + (', error="invalid_token"' if wrong else "")}
        await problems.refuse(scope["path"], 401, "key", "Unauthorized", detail, headers)(scope, receive, send)


def bearer(header: str) -> str | None:
    """What an `Authorization: Bearer` header shows (RFC 6750); None for none and for another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def _opens_page(scope: Scope) -> bool:
    """Whether a browser opens one of the static pages, which asks for the key itself."""
    looks = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in paths.PAGES
    return looks and "text/html" in Headers(scope=scope).get("accept", "")


def _as_refusal(send: Send) -> Send:
    """The same answer with the status that says that a key is missing."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message["status"] = 401
            MutableHeaders(scope=message)["www-authenticate"] = 'Bearer realm="sameboat"'
        await send(message)

    return sent
