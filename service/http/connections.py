"""The connections of one port: their number, and time-outs for each phase of a connection.

In: connections that open and close. Out: each is checked once a second. Idle ones are closed to make room, slow ones
get 408 or a reset, and connections beyond the limits get 503. Probes and clients on this machine are served beyond the
limits.
Not here: the size and number of requests (`admission`), and HTTP itself (`h11_protocol`).
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

log = logging.getLogger("sameboat.http")

Phase = Literal["idle", "header", "body", "answer"]


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections. Times are in seconds."""

    connections: int = 1024
    per_address: int = 256
    """Connections of one client address, or of one /64 network for IPv6. Addresses of many clients have no limit."""
    reserve: int = 32
    """Connections beyond `connections`, for probes and for clients on this machine."""
    header_s: float = 20.0
    """From the first byte of a request, or from connecting, to the end of its header."""
    body_s: float = 20.0
    """For a body. Every `body_rate` bytes that arrive add a second, as in Apache's RequestReadTimeout."""
    body_rate: int = 500
    body_longest_s: float = 600.0
    """For a body at any speed: 16 MiB at 28 kB/s."""
    stall_s: float = 30.0
    """Time in which a client must read `stall_bytes` of an answer that waits."""
    stall_bytes: int = 16_384
    answer_longest_s: float = 3_700.0
    """From the end of a request to the end of its answer. Until the answer begins, `Admission` has a deadline."""
    check_s: float = 1.0


class Connection(Protocol):
    """The methods of a connection that `Connections` calls."""

    def phase(self) -> Phase:
        """Its phase now."""

    def peer(self) -> str:
        """The client's address. Empty if unknown."""

    def check(self, now: float, limits: ConnectionLimits) -> None:
        """Close it if its phase took too long. `now` is the loop's clock, in seconds."""

    def close_idle(self) -> None:
        """Close it. It has no request in progress."""

    def only_probes(self) -> None:
        """Answer 503 to its first request unless that is a probe, then close it."""

    def cut(self) -> None:
        """Reset it now."""


class Connections:
    """The connections of one port."""

    def __init__(
        self,
        limits: ConnectionLimits,
        shared: Callable[[str], bool] = lambda address: False,
        closed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.limits = limits
        self.shared = shared  # whether many clients use an address
        self.closed = closed  # called with the reason when a connection is refused or closed
        self._all: OrderedDict[Connection, str] = OrderedDict()  # with its address, least recently active first
        self._of_address: Counter[str] = Counter()
        self._next_check: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def opened(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Accept a new connection, close an idle one for it, or restrict it to probes."""
        peer = connection.peer()
        address = network(peer)
        self._all[connection] = address
        self._of_address[address] += 1
        if self._next_check is None:
            self._next_check = loop.call_later(self.limits.check_s, self._check, loop)
        crowded = self._of_address[address] > self.limits.per_address and not self.shared(peer)
        full = len(self._all) > self.limits.connections
        if not crowded and not full:
            return
        idle = next(
            (
                other
                for other, where in self._all.items()
                if other is not connection and (not crowded or where == address) and other.phase() in ("idle", "header")
            ),
            None,
        )
        if idle is not None:
            self.forget(idle)
            self.closed("idle")
            idle.close_idle()
        elif len(self._all) > self.limits.connections + self.limits.reserve:
            self.forget(connection)
            self.closed("connections")
            connection.cut()
        elif crowded or not local(peer):
            connection.only_probes()

    def active(self, connection: Connection) -> None:
        """Note that a connection was active: others are closed first to make room."""
        if connection in self._all:
            self._all.move_to_end(connection)

    def forget(self, connection: Connection) -> None:
        """Forget a closed connection."""
        address = self._all.pop(connection, None)
        if address is None:
            return
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._all):
            connection.check(now, self.limits)
        self._next_check = loop.call_later(self.limits.check_s, self._check, loop) if self._all else None


def trusts(listed: str) -> Callable[[str], bool]:
    """A function that tells whether an address is a trusted proxy's. `listed`: as uvicorn's `forwarded_allow_ips`."""
    words = [word.strip() for word in listed.split(",") if word.strip()]
    networks = [parsed for word in words if (parsed := _network(word)) is not None]

    @functools.lru_cache(maxsize=4096)
    def trusted(address: str) -> bool:
        if "*" in words or address in words:
            return True
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in networks)

    return trusted


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The address for counting: an IPv4 address, or an IPv6 /64 network, because one subscriber has it."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False))
    return address


@functools.lru_cache(maxsize=4096)
def local(address: str) -> bool:
    """Whether this is a loopback address."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return not address  # a Unix socket has none
    mapped = getattr(known, "ipv4_mapped", None)
    return (mapped or known).is_loopback
