"""The callback: one signed POST to an address that was checked, and what its answer means.

What comes in: URL, body, id, signing key. What goes out: an `Attempt`. It does not retry and does not wait; that is
the workflow's. A sender chooses the URL, so it is treated as hostile (OWASP: server-side request forgery): the name is
resolved once, every address must be public, the connection goes to the very address that was checked, redirects are
not followed, proxies of the environment are not used, and little of the answer is read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx

from service.errors import BuildError

TIMEOUT_S = 20.0  # Standard Webhooks: between 15 and 30 s
MAX_ANSWER_BYTES = 2048
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: reaches any IPv4 address
# Client errors after which the same request may still succeed; every other 4xx is permanent.
RETRIED = {408, 409, 425, 429}
PORTS = {80, 443, 8080}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]


class Refused(BuildError):
    """This callback URL is not called, now or later."""


@dataclass(frozen=True)
class Attempt:
    """What came of one POST. `said` is the beginning of the answer's text, or why there was none."""

    verdict: Literal["delivered", "again", "never"]
    status: int | None
    said: str
    retry_after_s: float | None = None


def resolve(host: str, port: int) -> list[str]:
    """Every address of the name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Allowed:
    """What may be reached although it is not public: `host:port` or CIDR, comma-separated, as the setting has it."""

    def __init__(self, setting: str = "") -> None:
        self.hosts: set[tuple[str, int]] = set()
        self.networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for item in filter(None, (part.strip() for part in setting.split(","))):
            host, _, port = item.rpartition(":")
            if host and port.isdigit() and "/" not in item:
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


def public(address: Address) -> bool:
    """Whether anyone on the internet could reach it: global, not multicast, and not IPv4 in an IPv6 disguise."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or address in NAT64:
            return False
        if address.scope_id is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True)
class Target:
    """A URL that was checked: `address` is what to connect to, `host` what to say and verify."""

    scheme: str
    host: str
    port: int
    address: str
    path: str


def check(url: str, allowed: Allowed, resolver: Resolver = resolve) -> Target:
    """Where the URL leads, resolved once. Raises Refused; raises OSError when the name does not resolve now."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise Refused("The callback URL's port is not a number.") from None
    if parts.scheme not in ("https", "http") or not host:
        raise Refused("A callback URL starts with https:// or http:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise Refused("A callback URL must not carry a user name or password.")
    by_name = allowed.host(host, port)
    literal = _literal(host)
    # inet_aton's other spellings of an address (127.1, 0x7f000001, 2130706433, 0177.0.0.1) are never names.
    if literal is None and re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", host.rsplit(".", 1)[-1], re.IGNORECASE):
        raise Refused("The callback URL's host is an address in an unusual notation.")
    addresses = [str(literal)] if literal is not None else resolver(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    parsed = [ipaddress.ip_address(address) for address in addresses]
    reachable = [by_name or allowed.address(address) for address in parsed]
    if not all(reachable):
        unknown = [address for address, known in zip(parsed, reachable, strict=True) if not known]
        if hidden := next((address for address in unknown if not public(address)), None):
            raise Refused(
                f"The callback URL leads to {hidden}, which is not a public address.",
                remedy="An operator can allow it with SAMEBOAT_CALLBACK_ALLOW.",
            )
        if port not in PORTS:
            raise Refused(f"The callback URL's port {port} is not one of {sorted(PORTS)}.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, addresses[0], path)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def signature(key: bytes, identity: str, timestamp_s: int, body: bytes) -> str:
    """The Standard Webhooks signature: HMAC-SHA256 over id, timestamp and body."""
    signed = hmac.new(key, f"{identity}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def key_of(setting: str) -> bytes:
    """The signing key's bytes: `whsec_` and base64 as Standard Webhooks writes it, or any text as it is."""
    if setting.startswith("whsec_"):
        try:
            return base64.b64decode(setting.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise BuildError("SAMEBOAT_CALLBACK_SIGNING_KEY: what follows whsec_ is not base64.") from None
    return setting.encode()


def post(
    url: str, body: bytes, identity: str, key: bytes | None, allowed: Allowed, *, resolver: Resolver = resolve
) -> Attempt:
    """POST the body once and say what came of it."""
    try:
        target = check(url, allowed, resolver)
    except Refused as error:
        return Attempt("never", None, str(error))
    except OSError as error:
        return Attempt("again", None, f"The name could not be resolved: {error}")
    now_s = int(time.time())
    default = 443 if target.scheme == "https" else 80
    bracketed = f"[{target.host}]" if ":" in target.host else target.host
    headers = {
        "host": bracketed if target.port == default else f"{bracketed}:{target.port}",
        "content-type": "application/json",
        "user-agent": "sameboat",
        "webhook-id": identity,
        "webhook-timestamp": str(now_s),
        "accept-encoding": "identity",  # a compressed answer could be a bomb
    }
    if key is not None:
        headers["webhook-signature"] = signature(key, identity, now_s, body)
    at = f"[{target.address}]" if ":" in target.address else target.address
    # One connection, no pool: a kept connection could be to an address that was checked for another name.
    transport = httpx.HTTPTransport(trust_env=False, retries=0)
    extensions = {"sni_hostname": target.host} if _literal(target.host) is None else {}
    try:
        with (
            httpx.Client(transport=transport, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "POST",
                f"{target.scheme}://{at}:{target.port}{target.path}",
                content=body,
                headers=headers,
                extensions=extensions,
            ) as response,
        ):
            return judge(response.status_code, _beginning(response), response.headers.get("retry-after"))
    except (httpx.HTTPError, OSError) as error:
        return Attempt("again", None, f"{type(error).__name__}: {error}")


def _beginning(response: httpx.Response) -> str:
    """The first bytes of the answer, read no longer than one time-out in all, however slowly they drip."""
    ends = time.monotonic() + TIMEOUT_S
    found = b""
    for chunk in response.iter_raw(512):
        found += chunk
        if len(found) >= MAX_ANSWER_BYTES or time.monotonic() > ends:
            break
    return found[:MAX_ANSWER_BYTES].decode("utf-8", "replace")


def judge(status: int, said: str, retry_after: str | None) -> Attempt:
    """What a status means for a sender: 2xx is delivered, most 4xx are for ever, the rest may pass."""
    after = float(retry_after) if retry_after and retry_after.isdigit() else None
    if 200 <= status < 300:
        return Attempt("delivered", status, said)
    if 400 <= status < 500 and status not in RETRIED:
        return Attempt("never", status, said)
    return Attempt("again", status, said, after)


def gap_s(attempt: int, retry_after_s: float | None = None) -> float:
    """Seconds between attempt number `attempt` (from 1) and the next: 1, 2, 4, 8, ... 60, or what the answer asked."""
    gap = float(min(60, 2 ** min(attempt - 1, 10)))
    return max(gap, min(retry_after_s, 3600.0)) if retry_after_s is not None else gap


LATE_GAPS_S = (300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)
