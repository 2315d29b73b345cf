"""The host names of this service, and the web sites whose pages may send it requests.

In: the headers Host, Origin and Sec-Fetch-Site. Out: the request, or 421 for a foreign host name, or 403 for a request
from a page of another site.
Not here: authentication (`http.auth`), and the headers that let an origin read answers (Starlette's CORSMiddleware).

Any page in a browser can send requests to any address, so every web site reaches a service on loopback. With DNS
rebinding a site points its own name to this machine. Then its page can read the answers too, and only the Host header
shows the foreign name. Without rebinding, `Sec-Fetch-Site` shows the other site, or `Origin` in older browsers. Other
programs send neither header and are not affected.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.exposure import is_loopback
from service.http import problems
from service.http.paths import PROBES

HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+?)\.?)(?::[0-9]{0,5})?")


def name_of(host: str) -> str:
    """The name or address in a Host header without its port. Empty unless it is `name`, `name:port` or `[IPv6]`."""
    match = HOST.fullmatch(host.strip().lower())
    return (match["ipv6"] or match["name"]) if match is not None else ""


def is_allowed(names: tuple[str, ...], host: str) -> bool:
    """Whether a Host header has a loopback name, or one of `names`."""
    name = name_of(host)
    if is_loopback(name):
        return True
    return any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in names)


def from_another_site(headers: Headers, method: str) -> bool:
    """Whether a page of another site sent the request.

    A link to one of our pages does not count: the other site cannot read the page, and a GET changes nothing.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None:
        link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return site not in ("same-origin", "none") and not (link and method in ("GET", "HEAD"))
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()


class AllowedHosts:
    """ASGI middleware: rejects requests to a foreign host name (421).

    Probes are exempt: an orchestrator uses the address as name, and the state of the service is no secret.
    """

    def __init__(
        self, app: ASGIApp, *, names: tuple[str, ...], rejected: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.app = app
        self.names = names
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit or reject one request."""
        known = scope["type"] == "lifespan" or is_allowed(self.names, Headers(scope=scope).get("host", ""))
        if scope["type"] == "http" and not known and scope["path"] not in PROBES:
            self.rejected("host")
            detail = "This service does not answer to that host name. SAMEBOAT_ALLOWED_HOSTS lists further names."
            await problems.refuse(scope["path"], 421, "host", "Misdirected request", detail)(scope, receive, send)
            return
        if not known:
            scope.setdefault("state", {})["foreign_host"] = True
        await self.app(scope, receive, send)


class CrossSiteGuard:
    """ASGI middleware: rejects requests from pages of other sites (403), except those of `origins` and `own`."""

    def __init__(
        self, app: ASGIApp, *, origins: tuple[str, ...], own: str | None, rejected: Callable[[str], None]
    ) -> None:
        self.app = app
        self.origins = {*origins, own} - {None}
        self.rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit or reject one request."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            headers = Headers(scope=scope)
            known = headers.get("origin", "").lower() in self.origins
            if not known and from_another_site(headers, scope["method"]):
                self.rejected("cross-site")
                detail = "A page of another site sent this request. SAMEBOAT_CORS_ORIGINS lists the origins that may."
                await problems.refuse(scope["path"], 403, "cross-site", "Forbidden", detail)(scope, receive, send)
                return
        await self.app(scope, receive, send)
