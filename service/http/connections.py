"""Every connection of one port: how many there may be, and how long each may take for what it does.

In: connections as they come, go and are looked at once a second. Out: idle ones closed to make room, slow ones refused
with 408 or cut, those beyond the limits answered 503. Probes are answered beyond the limits as well, and so is
everything that comes from this machine itself.

Not here: what a request may hold (`admission`), how HTTP is spoken (`protocol`).
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
    """What connections may take. Times are in seconds."""

    connections: int = 1024
    per_address: int = 256
    """Of one client address; of one /64 network for IPv6. What stands for many clients is not limited."""
    reserve: int = 32
    """Beyond `connections`: for probes, and for everything that comes from this machine."""
    header_s: float = 20.0
    """From the first byte of a request, or from connecting, to the end of its header."""
    body_s: float = 20.0
    """For a body, and one second more for every `body_rate` bytes that arrived: Apache's RequestReadTimeout."""
    body_rate: int = 500
    body_longest_s: float = 600.0
    """For a body however fast it comes: 16 MiB at 28 kB/s."""
    stall_s: float = 30.0
    """While an answer waits to be read, `stall_bytes` have to be taken in this time."""
    stall_bytes: int = 16_384
    answer_longest_s: float = 3_700.0
    """From a request's end to its answer's end, once the answer has begun. Before that it is `Admission`'s."""
    look_s: float = 1.0


class Connection(Protocol):
    """What `Connections` asks of a connection."""

    def phase(self) -> Phase:
        """What it does now."""

    def peer(self) -> str:
        """Its address, empty when it has none."""

    def look(self, now: float, limits: ConnectionLimits) -> None:
        """End it when something took too long. `now` is the loop's clock, in seconds."""

    def close_idle(self) -> None:
        """Close it; it is in the middle of nothing."""

    def only_probes(self) -> None:
        """Answer its requests 503 unless they are probes, and close it after the first."""

    def cut(self) -> None:
        """Reset it at once."""


class Connections:
    """The connections of one port."""

    def __init__(
        self,
        limits: ConnectionLimits,
        shared: Callable[[str], bool] = lambda address: False,
        closed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.limits = limits
        self.shared = shared  # whether an address stands for many clients
        self.closed = closed  # called with the reason when a connection is refused or closed
        self._all: OrderedDict[Connection, str] = OrderedDict()  # with its address; least recently active first
        self._of_address: Counter[str] = Counter()
        self._next_look: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def entered(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """A new connection: let it in, make room for it, or keep it to probes."""
        peer = connection.peer()
        address = network(peer)
        self._all[connection] = address
        self._of_address[address] += 1
        if self._next_look is None:
            self._next_look = loop.call_later(self.limits.look_s, self._look, loop)
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
            self.left(idle)
            self.closed("idle")
            idle.close_idle()
        elif len(self._all) > self.limits.connections + self.limits.reserve:
            self.left(connection)
            self.closed("connections")
            connection.cut()
        elif crowded or not local(peer):
            connection.only_probes()

    def active(self, connection: Connection) -> None:
        """A connection has done something: it is the last one to be closed for room."""
        if connection in self._all:
            self._all.move_to_end(connection)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        address = self._all.pop(connection, None)
        if address is None:
            return
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._all):
            connection.look(now, self.limits)
        self._next_look = loop.call_later(self.limits.look_s, self._look, loop) if self._all else None


def trusts(listed: str) -> Callable[[str], bool]:
    """Whether an address is a proxy's that is trusted; `listed` as uvicorn's `forwarded_allow_ips`."""
    words = [word.strip() for word in listed.split(",") if word.strip()]
    networks = [found for word in words if (found := _network(word)) is not None]

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
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which one subscriber has to himself."""
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
