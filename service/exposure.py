"""Who can reach this service, as its settings say: from where, with which keys, under which names.

In: settings. Out: one frozen `Exposure`, or SettingsError where the settings would let strangers in unasked.
Not here: how a request is let in or refused (`http.auth`, `http.hosts`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from service import keys
from service.errors import SettingsError
from service.keys import Key
from service.settings import Settings


@dataclass(frozen=True)
class Exposure:
    """What decides who is let in. `loopback`: only this machine reaches the port."""

    loopback: bool
    keys: tuple[Key, ...]
    open: bool

    @property
    def private(self) -> bool:
        """No key is needed, because nobody but this machine's user reaches the port."""
        return self.loopback and not self.keys and not self.open


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, for every resolver."""
    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def of(settings: Settings) -> Exposure:
    """The exposure of a service with these settings."""
    held = settings.api_keys.get_secret_value() if settings.api_keys is not None else ""
    return Exposure(loopback=is_loopback(settings.host), keys=keys.parse(held) if held else (), open=settings.open)


def require(settings: Settings) -> Exposure:
    """The same. Raises SettingsError for a service that anybody could reach and use although nobody said so."""
    found = of(settings)
    if not (found.loopback or found.keys or found.open or settings.role == "worker"):
        raise SettingsError(
            f"It would listen on {settings.host}, where others than this machine reach it, and no key is set.",
            key="SAMEBOAT_API_KEYS",
            remedy="Make one with `sameboat key new NAME` and set SAMEBOAT_API_KEYS (or SAMEBOAT_API_KEYS_FILE); "
            "or set SAMEBOAT_HOST=127.0.0.1; or, to let everybody in, SAMEBOAT_OPEN=true.",
        )
    return found
