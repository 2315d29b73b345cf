"""The exposure of this service: the addresses, keys and names under which callers reach it.

In: settings. Out: one frozen `Exposure`, or SettingsError if the settings would let strangers in by accident.
Not here: how a request is let in or refused (`http.auth`, `http.hosts`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from service import keys
from service.errors import SettingsError
from service.keys import Key
from service.settings import Settings, comma_separated

EVERY = ("0.0.0.0", "::", "")  # noqa: S104  (every address of this machine)


@dataclass(frozen=True)
class Exposure:
    """The facts that decide about a caller.

    `loopback`: only this machine reaches the port. `hosts` and `site_hosts`: further names under which callers reach
    the service and the published sites. `*.NAME` is every name below NAME. `origins`: pages from there may call the
    service. `own_origin`: the service's own origin behind a proxy.
    """

    loopback: bool
    keys: tuple[Key, ...]
    open: bool
    hosts: tuple[str, ...] = ()
    site_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    own_origin: str | None = None

    @property
    def private(self) -> bool:
        """No key is needed, because nobody but this machine's user reaches the port."""
        return self.loopback and not self.keys and not self.open

    @property
    def closed(self) -> bool:
        """Other machines reach the port, and no caller is let in. A worker may be so: it answers only probes."""
        return not (self.loopback or self.keys or self.open)


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, for every resolver."""
    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    """The URL with which this machine reaches a service that listens there."""
    name = "127.0.0.1" if host in EVERY else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def of(settings: Settings) -> Exposure:
    """The exposure of a service with these settings."""
    held = settings.api_keys.get_secret_value() if settings.api_keys is not None else ""
    named = [name.lower() for name in comma_separated(settings.allowed_hosts)]
    bound = [] if settings.host in EVERY or is_loopback(settings.host) else [settings.host.lower()]
    space = [settings.space_host.lower()] if settings.space_host else []
    sites = _name_of(settings.pages_url)
    return Exposure(
        loopback=is_loopback(settings.host),
        keys=keys.parse(held) if held else (),
        open=settings.open,
        hosts=(*bound, *_name_of(settings.public_url), *space, *named),
        site_hosts=(*bound, "*.localhost", *sites, *(f"*.{name}" for name in sites), *named),
        origins=tuple(origin.lower() for origin in comma_separated(settings.cors_origins)),
        own_origin=_origin_of(settings.public_url),
    )


def _name_of(url: str | None) -> list[str]:
    name = urlsplit(url).hostname if url else None
    return [name] if name else []


def _origin_of(url: str | None) -> str | None:
    return "://".join(urlsplit(url.lower())[:2]) if url else None


def page_origins(settings: Settings) -> frozenset[str]:
    """The origins under which this machine, or a proxy in front of it, reaches the service's own page."""
    port = settings.port
    local = {url_of(settings.host, port), f"http://localhost:{port}", f"http://127.0.0.1:{port}"} if port else set()
    public = _origin_of(settings.public_url)
    return frozenset(local | ({public} if public is not None else set()))


def require(settings: Settings) -> Exposure:
    """The exposure of a service with these settings. A worker needs no key, because it answers only probes.

    Raises:
        SettingsError: if other machines reach the service, no key is set, and nothing says that this is intended.
    """
    exposure = of(settings)
    if exposure.closed and settings.role != "worker":
        raise SettingsError(
            f"It would listen on {settings.host}, where others than this machine reach it, and no key is set.",
            key="SAMEBOAT_API_KEYS",
            remedy="Make one with `sameboat key new NAME` and set SAMEBOAT_API_KEYS (or SAMEBOAT_API_KEYS_FILE); "
            "or set SAMEBOAT_HOST=127.0.0.1; or, to let everybody in, SAMEBOAT_OPEN=true.",
        )
    return exposure
