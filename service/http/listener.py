"""Listening sockets and uvicorn's configuration, for the API and for the published sites.

In: an application, settings and a port. Out: uvicorn's configuration and sockets, with limits of connections,
time-outs, and a listener that keeps working when the process has no file descriptor left.
Not here: the application, and the server's life (`server`).
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from service.errors import SettingsError
from service.http.connections import ConnectionLimits, Connections, trusts
from service.http.h11_protocol import HEADER_BYTES, DeadlineProtocol
from service.settings import Settings

log = logging.getLogger("sameboat.http")

KEEP_ALIVE_S = 75
"""How long an idle connection is kept: nginx's default. uvicorn's default of 5 s equals that of clients such as httpx.
Then a client can send a request while the server closes the connection, and gets an error instead of an answer."""
MAX_FILES = 65_536
OTHER_FILES = 256  # file descriptors for the engine's pipes, databases, repositories, model files
SEND_BUFFER_BYTES = 262_144
"""The kernel's buffer for an answer that the client does not read. The default is up to 4 MB per connection."""
USER_TIMEOUT_MS = 60_000  # the client must acknowledge the bytes in the kernel's buffer within this time (RFC 5482)
LOG_EVERY_S = 60.0
BACKLOG = 1024
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def uvicorn_config(
    app: Any,
    settings: Settings,
    port: int,
    *,
    limits: ConnectionLimits | None = None,
    closed: Callable[[str], None] = lambda reason: None,
    **more: Any,
) -> uvicorn.Config:
    """uvicorn's configuration for one port.

    `closed` is called with the reason when a connection is closed. `more` are further arguments of `uvicorn.Config`.
    """
    limits = limits or limits_of(settings)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=functools.partial(  # type: ignore[arg-type]
            DeadlineProtocol, table=Connections(limits, shared_addresses(settings), closed)
        ),
        h11_max_incomplete_event_size=HEADER_BYTES,
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
        log_level="warning",
        log_config=None,
        access_log=False,
        server_header=False,
        **more,
    )


def limits_of(settings: Settings) -> ConnectionLimits:
    """The limits of the settings. Fewer connections if the process may not open enough files."""
    connections = min(settings.connections, max(16, (raise_file_limit() - OTHER_FILES) // 2))  # there are two ports
    if connections < settings.connections:
        log.warning("At most %d connections per port, because the limit of open files is low.", connections)
    return ConnectionLimits(connections=connections, per_address=settings.connections_per_address)


def shared_addresses(settings: Settings) -> Callable[[str], bool]:
    """A function that tells whether many clients use an address: a trusted proxy's, or this machine's own."""
    return trusts(f"127.0.0.1,::1,{settings.trusted_proxies}")


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, up to 65,536. Returns the new soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    return MAX_FILES if soft == resource.RLIM_INFINITY else soft


def listen(host: str, port: int, key: str) -> list[Listener]:
    """A listening socket for each address of the host. `key` is the setting that holds the port.

    Raises:
        SettingsError: if the port is taken or may not be used.
    """
    sockets: list[Listener] = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, number, _, address in dict.fromkeys(addresses):
            listener = Listener(family, kind, number)
            sockets.append(listener)
            if port == 0 and len(sockets) > 1:  # the port that the first address got
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            listener.bind_to(address)
    except OSError as error:
        for listener in sockets:
            listener.close()
        reason = error.strerror or str(error)
        raise SettingsError(
            f"The service cannot listen on {host}:{port}: {reason}.", key=key, remedy="Set another port."
        ) from None
    return sockets


class Listener(socket.socket):
    """A listening socket that drops new connections while the process has no file descriptor left.

    asyncio would retry in a loop and log a traceback each time. This socket keeps one spare descriptor. It closes the
    spare, accepts and closes the connection, and opens the spare again. So the queue of connections does not fill up.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._logged_s = -LOG_EVERY_S
        self._dropped = 0

    def bind_to(self, address: Any) -> None:
        """Bind to an address, with options that every accepted connection inherits."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        if self.family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.bind(address)
        self.setblocking(False)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            BlockingIOError: if none is waiting, or the waiting one was dropped.
            OSError: if accepting fails for another reason.
        """
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in OUT_OF_FILES or self._spare is None:
                raise
            self._drop(error)
            raise BlockingIOError from None

    def _drop(self, error: OSError) -> None:
        assert self._spare is not None
        os.close(self._spare)
        self._spare = None
        try:
            super().accept()[0].close()
            self._dropped += 1
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            if time.monotonic() - self._logged_s >= LOG_EVERY_S:
                self._logged_s = time.monotonic()
                log.error("%s: connections are dropped, %d so far.", error.strerror, self._dropped)

    def close(self) -> None:
        """Close the socket and the spare descriptor."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().close()
