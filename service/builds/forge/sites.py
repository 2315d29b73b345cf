"""Where published sites are reached: each on a host name of its own, or on one host under its name.

In: the pattern of their URLs, `http://*.localhost:7861` or `https://pages.example`. Out: a site's URL, the site that a
Host header names, and how a program on this machine reaches a URL.

A browser keeps storage and cookies apart by host name, and sends every name that ends in `.localhost` to this machine
without asking a resolver (RFC 6761, section 6.3). Other programs may not, so the live check connects by address.

Not here: serving the files (`serve`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

from service.exposure import is_loopback

LONGEST_LABEL = 63  # of a host name, RFC 1035
HASH_LETTERS = 12


class SiteAddresses:
    """The addresses of all sites. `names` gives the names of all repositories."""

    def __init__(self, pattern: str, names: Callable[[], list[str]]) -> None:
        self.pattern = pattern.rstrip("/")
        self.names = names
        scheme, _, rest = self.pattern.partition("://")
        self.wildcard = rest.startswith("*.")
        self._scheme, self._domain = scheme, rest.removeprefix("*")  # with its dot and port
        self._ending = (urlsplit(f"//x{self._domain}").hostname or "").removeprefix("x") if self.wildcard else ""

    def url(self, name: str) -> str:
        """A site's URL, with a slash at its end."""
        if self.wildcard:
            return f"{self._scheme}://{label(name)}{self._domain}/"
        return f"{self.pattern}/{name}/"

    def name(self, host: str) -> str | None:
        """The site that a Host header names, None when it names none."""
        if not self.wildcard:
            return None
        first, ending = host.lower().rpartition(":")[0] or host.lower(), self._ending
        first = first.removesuffix(".")
        if not first.endswith(ending) or "." in (asked := first.removesuffix(ending)) or not asked:
            return None
        if len(asked) < LONGEST_LABEL - 1:  # shorter than any that was cut
            return asked
        return next((name for name in self.names() if label(name) == asked), asked)


def label(name: str) -> str:
    """A repository's name as one label of a host name: cut and told apart by a hash where it is too long."""
    if len(name) <= LONGEST_LABEL:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:HASH_LETTERS]
    return f"{name[: LONGEST_LABEL - HASH_LETTERS - 1]}-{mark}"


def pattern_of(pages_url: str | None, host: str, port: int) -> str:
    """The setting, or the URL pattern of the address that this service listens on.

    On loopback, or on all addresses, every site has its own name. On one address there is one host for all of them.
    """
    if pages_url:
        return pages_url
    if host in ("0.0.0.0", "::", "") or is_loopback(host):  # noqa: S104
        return f"http://*.localhost:{port}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reached(url: str, host: str) -> tuple[str, dict[str, str]]:
    """The URL by which a program on this machine reaches a site, and the headers for it.

    `host` is the address that the service listens on.
    """
    parts = urlsplit(url)
    if not (parts.hostname or "").endswith(".localhost"):
        return url, {}
    address = host if is_loopback(host) and host != "localhost" else "127.0.0.1"
    if ":" in address:
        address = f"[{address}]"
    port = f":{parts.port}" if parts.port is not None else ""
    return parts._replace(netloc=f"{address}{port}").geturl(), {"host": parts.netloc}
