"""Who calls: a key is asked for where the settings say so, and every request knows its caller.

In: an ASGI request. Out: the same with `scope["state"]["caller"]` set, so `request.state.caller`; or 401, in the
API's own error shape.
Not here: how keys are made and compared (`service.keys`), and the secret of the build routes (`http.builds`). The two
do not replace each other: a key opens what answers, the secret opens what builds, and neither opens the other.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service import keys
from service.exposure import Exposure
from service.http import problems

PROBES = frozenset({"/healthz", "/readyz"})
OPEN = ("/assets/", "/docs/assets/", "/git/")
"""Without a key: the page's and Swagger UI's own files, which are the same everywhere, and repositories, which are
public and take the forge's token for a push."""
BUILDS = ("/api-endpoint", "/builds", "/builds/")
"""Without a key, because they ask for the secret of builds."""


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

    def __init__(self, app: ASGIApp, *, exposure: Exposure) -> None:
        self.app = app
        self.exposure = exposure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in with its caller, or say why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        shown = bearer(Headers(scope=scope).get("authorization", ""))
        caller = self.caller(shown)
        if caller is None and not needs_no_key(scope["path"]):
            await refuse(scope, receive, send, wrong=shown is not None)
            return
        scope.setdefault("state", {})["caller"] = caller or stranger()
        await self.app(scope, receive, send)

    def caller(self, shown: str | None) -> Caller | None:
        """Who shows this; None for somebody who is not let in to what needs a key."""
        if self.exposure.private:
            return Caller(None, "", trusted=True)
        if shown is None:
            return stranger() if self.exposure.open else None
        if self.exposure.open and not self.exposure.keys:  # clients that cannot leave a key out send any
            return stranger()
        key = keys.shown(self.exposure.keys, shown)
        return Caller(key.name, keys.salt(shown), trusted=True) if key is not None else None


def bearer(header: str) -> str | None:
    """What an `Authorization: Bearer` header shows (RFC 6750); None for none and for another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def needs_no_key(path: str) -> bool:
    """Whether a path is for everybody, or asks for something else than a key."""
    return path in PROBES or path.startswith(OPEN) or path in BUILDS[:2] or path.startswith(BUILDS[2])


async def refuse(scope: Scope, receive: Receive, send: Send, *, wrong: bool) -> None:
    """401, which says whether a key is missing or wrong, and never repeats it."""
    said = "The key is wrong." if wrong else "A key is needed."
    detail = f"{said} Send it as Authorization: Bearer KEY; sameboat key new NAME makes one."
    body: dict[str, Any] = (
        problems.openai_error(401, "invalid_api_key", detail, None)
        if scope["path"].startswith("/v1/")
        else problems.problem(401, "key", "Unauthorized", detail)
    )
    headers = {"www-authenticate": 'Bearer realm="sameboat"' + (', error="invalid_token"' if wrong else "")}
    await problems.respond(scope["path"], 401, body, headers)(scope, receive, send)
