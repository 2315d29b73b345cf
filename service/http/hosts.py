"""Which names this service answers to, and which web sites may send it requests.

In: an ASGI request's Host, Origin and Sec-Fetch-Site. Out: the request; 421 for a name that is not ours, 403 for a
request that another site's page sends.
Not here: who calls (`http.auth`), and the headers that let a named origin read answers (Starlette's CORSMiddleware).

A browser sends whatever page it has open to any address, so a service on loopback is reached by every web site. By DNS
rebinding a site's own name points to this machine, and then its page reads the answers too: only the Host header shows
that the name is foreign. Without rebinding, `Sec-Fetch-Site` (or `Origin`, in browsers that do not send it) shows it.
Programs that are no browsers send neither and are not affected.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.exposure import is_loopback
from service.http import problems
from service.http.paths import PROBES


def _unheard(kind: str) -> None:
    """Where nobody counts what is refused."""


HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+?)\.?)(?::[0-9]{0,5})?")


def name_of(host: str) -> str:
    """The name or address in a Host header, without its port; empty for what is not `name`, `name:port` or `[IPv6]`."""
    found = HOST.fullmatch(host.strip().lower())
    return (found["ipv6"] or found["name"]) if found is not None else ""


def admits(names: tuple[str, ...], host: str) -> bool:
    """Whether a Host header is one of this machine's own names or of `names`."""
    name = name_of(host)
    if is_loopback(name):
        return True
    return any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in names)


def from_another_site(headers: Headers, method: str) -> bool:
    """Whether a page of another site than this one sent the request.

    Following a link to a page of ours is not: the other site sees nothing of it, and looking changes nothing.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None:
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return site not in ("same-origin", "none") and not (followed and method in ("GET", "HEAD"))
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()


class AllowedHosts:
    """ASGI middleware: answers only to names that are ours (421), and `rejected` is called for the others.

    Probes are exempt: an orchestrator asks by address, and what they say (alive, ready) is no secret.
    """

    def __init__(self, app: ASGIApp, *, names: tuple[str, ...], rejected: Callable[[str], None] = _unheard) -> None:
        self.app = app
        self.names = names
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        known = scope["type"] == "lifespan" or admits(self.names, Headers(scope=scope).get("host", ""))
        if scope["type"] == "http" and not known and scope["path"] not in PROBES:
            self.rejected("host")
            detail = "This service does not answer to that host name. SAMEBOAT_ALLOWED_HOSTS names further ones."
            await problems.refuse(scope["path"], 421, "host", "Misdirected request", detail)(scope, receive, send)
            return
        if not known:
            scope.setdefault("state", {})["foreign_host"] = True
        await self.app(scope, receive, send)


class CrossSiteGuard:
    """ASGI middleware: no page of another site may send requests (403), except those of `origins` and of its own."""

    def __init__(
        self, app: ASGIApp, *, origins: tuple[str, ...], own: str | None, rejected: Callable[[str], None]
    ) -> None:
        self.app = app
        self.origins = {*origins, own} - {None}
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            headers = Headers(scope=scope)
            known = headers.get("origin", "").lower() in self.origins
            if not known and from_another_site(headers, scope["method"]):
                self.rejected("cross-site")
                detail = "A page of another site sent this. SAMEBOAT_CORS_ORIGINS names the origins that may."
                await problems.refuse(scope["path"], 403, "cross-site", "Forbidden", detail)(scope, receive, send)
                return
        await self.app(scope, receive, send)
