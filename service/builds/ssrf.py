"""The policy for callback URLs: only public addresses, resolved once, in every notation.

In: a URL that a sender chose, and the addresses that the operator allows in addition. Out: a `ResolvedUrl` with the
address to connect to and the name to send and verify, or UrlRefused.

A sender's URL is hostile (OWASP: server-side request forgery). A name is resolved once, and all of its addresses must
be public. The caller connects to the address from here, so a second answer of the sender's name server (DNS rebinding)
has no effect. Notations that only some parsers read as an address are refused.

Not here: the connection (`callback`) and the table of public addresses (`public_addresses`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from service.builds.public_addresses import Address, public
from service.errors import BuildError

LOOKUP_S = 1.0
PORTS = {80, 443, 8080}  # the web's ports. Hosts with an egress filter (Spaces) allow just these
Resolver = Callable[[str, int], list[str]]


class UrlRefused(BuildError):
    """This URL is never called."""


def resolve(host: str, port: int) -> list[str]:
    """All addresses of the name. `getaddrinfo` raises OSError if it has none now."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in addresses))


class AllowedAddresses:
    """Addresses that are allowed although they are not public: `host:port` or CIDR, separated by commas."""

    def __init__(self, setting: str = "") -> None:
        """Parse the setting.

        Raises:
            BuildError: if an item is neither `host:port` nor a network.
        """
        self.hosts: set[tuple[str, int]] = set()
        self.networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for item in filter(None, (part.strip() for part in setting.split(","))):
            host, _, port = item.rpartition(":")
            whole = host and (not host.count(":") or host.startswith("["))  # a bare IPv6 address has no port
            if whole and port.isdigit() and "/" not in item:
                self.hosts.add((host.strip("[]").lower(), int(port)))
                continue
            try:
                self.networks.append(ipaddress.ip_network(item))
            except ValueError:
                raise BuildError(
                    f"SAMEBOAT_CALLBACK_ALLOW: {item!r} is neither host:port nor a network.", key="callback_allow"
                ) from None

    def host(self, host: str, port: int) -> bool:
        """Whether this host and port are allowed by name."""
        return (host.lower(), port) in self.hosts

    def address(self, address: Address) -> bool:
        """Whether the address is in an allowed network."""
        return any(address.version == network.version and address in network for network in self.networks)


@dataclass(frozen=True)
class ResolvedUrl:
    """A checked URL. Connect to `address`; send and verify `host`."""

    scheme: str
    host: str
    port: int
    address: str
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header. The scheme's default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default(self.scheme) else f"{host}:{self.port}"


def check(url: str, allowed: AllowedAddresses, resolver: Resolver = resolve) -> ResolvedUrl:
    """Check the URL and resolve it once.

    Raises:
        UrlRefused: if it is malformed, or leads to an address or port that is not allowed.
        OSError: if the name does not resolve now.
    """
    parts, host, port = _plain(url)
    literal = _literal(host)
    by_name = allowed.host(host, port)
    addresses = [str(literal)] if literal is not None else resolver(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    name = f"[{host}]" if ":" in host else host
    remedy = f"The operator of this service can allow it with SAMEBOAT_CALLBACK_ALLOW={name}:{port}."
    for address in map(ipaddress.ip_address, addresses):
        if by_name or allowed.address(address):
            continue
        if not public(address):
            raise UrlRefused(
                f"The callback URL leads to {address}, which is not a public address.",
                remedy=remedy,
            )
        if port not in PORTS:
            raise UrlRefused(f"The callback URL's port {port} is not one of {sorted(PORTS)}.", remedy=remedy)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return ResolvedUrl(parts.scheme, host, port, addresses[0], f"{path}?{query}" if query else path)


def objection(url: str, allowed: AllowedAddresses, resolver: Resolver = resolve) -> str | None:
    """The reason why no callback will be sent to this URL, or None if no reason is known now.

    A name server has `LOOKUP_S` to answer, because the sender of the brief waits. The callback is checked again.
    """
    reasons: list[str] = []

    def look() -> None:
        try:
            check(url, allowed, resolver)
        except UrlRefused as refused:
            reasons.append(str(refused))
        except OSError:
            pass  # it does not resolve now, but may when the build is done

    thread = threading.Thread(target=look, name="callback-lookup", daemon=True)
    thread.start()
    thread.join(LOOKUP_S)
    return reasons[0] if reasons else None


def _plain(url: str) -> tuple[SplitResult, str, int]:
    """The URL's parts, its host in ASCII and its port. Raises UrlRefused if parsers read the URL differently."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise UrlRefused("A callback URL holds no spaces, control characters or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("The callback URL's host or port cannot be read.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UrlRefused("A callback URL starts with https:// or http:// and names a host.")
    if "@" in parts.netloc:
        raise UrlRefused("A callback URL must not carry a user name or password.")
    host = parts.hostname.rstrip(".")
    if _literal(host) is None:
        try:
            host = host.encode("idna").decode("ascii").lower()  # full-width digits and dots become plain ones here
        except UnicodeError:
            raise UrlRefused("The callback URL's host is not a name.") from None
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
            raise UrlRefused("The callback URL's host is not a name.")
        # inet_aton's other spellings of an address (127.1, 0x7f000001, 2130706433, 0177.0.0.1) are never names.
        if _literal(host) is None and re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", host.rsplit(".", 1)[-1]):
            raise UrlRefused("The callback URL's host is an address in an unusual notation.")
    return parts, host, port if port is not None else _default(parts.scheme)


def _default(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
