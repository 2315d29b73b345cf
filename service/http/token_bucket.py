"""Token buckets: limits per minute, one for each of a bounded number of addresses.

In: amounts, and a clock in seconds. Out: the amount left, and the seconds to wait.
Not here: the limits themselves (`http.rate_limit`, `http.brute_force`).

Counters live in this process. Several processes count apart.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.types import Scope

from service.http.connections import network

T = TypeVar("T")
MINUTE_S = 60
ADDRESSES = 4096


class TokenBucket:
    """Holds at most `size`, is full at first, and is refilled evenly with `per_minute`."""

    def __init__(self, size: float, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        self._per_second = per_minute / MINUTE_S
        self._clock = clock
        self._left, self._at = size, clock()

    def left(self) -> float:
        """The amount in it now. It is negative if more was taken than it held."""
        now = self._clock()
        self._left = min(self.size, self._left + (now - self._at) * self._per_second)
        self._at = now
        return self._left

    def take(self, amount: float) -> None:
        """Take this amount, even if it holds less."""
        self._left = self.left() - amount

    def wait_s(self, amount: float) -> float:
        """Seconds until it holds this amount. 0 if it does now."""
        return max(0.0, (amount - self.left()) / self._per_second)


class PerAddress(Generic[T]):
    """One value per address, for the ADDRESSES addresses used last. `make` gives the value of a new address."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._known: OrderedDict[str, T] = OrderedDict()

    def __getitem__(self, address: str) -> T:
        if address not in self._known:
            self._known[address] = self._make()
        self._known.move_to_end(address)
        if len(self._known) > ADDRESSES:
            self._known.popitem(last=False)
        return self._known[address]

    def __len__(self) -> int:
        return len(self._known)


def client_address(scope: Scope) -> str:
    """The client's address for counting: the address, or the /64 network of an IPv6 address."""
    return network(str((scope.get("client") or ("",))[0]))
