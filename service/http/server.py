"""uvicorn with our application: a greeting when the model is ready, and a graceful shutdown.

In: the application. Out: a server that runs until a signal.
Not here: sockets and limits (`listener`), and the engines' own shutdown (`engine.pool`).
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from service import exposure
from service.exposure import Exposure
from service.http import listener
from service.http.deps import Service
from service.http.quiet_server import QuietServer
from service.settings import Settings


def server_of(app: FastAPI, *, began: float | None = None, greet: Callable[[int, str], str] | None = None) -> Server:
    """A server with the application's settings. `began`: the time of the start, by `time.monotonic`.

    `greet` makes the first lines in the terminal from the port and the engine's sentence.
    """
    service: Service = app.state.service
    grace_s = int(service.settings.shutdown_grace_s) + 5
    config = listener.uvicorn_config(
        app, service.settings, service.settings.port, closed=service.metrics.closed, timeout_graceful_shutdown=grace_s
    )
    return Server(config, service, began=began, greet=greet)


class Server(QuietServer):
    """uvicorn with a greeting when the model is ready. On shutdown the engines finish their answers first."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        *,
        began: float | None = None,
        greet: Callable[[int, str], str] | None = None,
    ) -> None:
        super().__init__(config)
        self.service = service
        self._greet_with = greet
        self._began = time.monotonic() if began is None else began
        self.failed = False
        self._draining: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. Raises SettingsError if the port is taken."""
        super().run(sockets or list(listener.listen(self.config.host, self.config.port, "SAMEBOAT_PORT")))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then watch the engines load.

        The objects that exist by then stay until the end, so `gc.freeze` exempts them from garbage collection. Else a
        request with many values could start a full collection, which blocks the service for 0.1 s.
        """
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()
            gc.enable()  # `sameboat serve` imports without it
            self._greeting = asyncio.create_task(self._greet())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, SIGINT: `/readyz` says draining, and running answers may end. A second signal stops at once.

        uvicorn closes its socket when it gets a signal, so it gets this one last. Until then a load balancer can read
        the 503, and the engines refuse new requests with an error instead of a closed port. uvicorn would also raise
        the signal again at the end. A server that was asked to stop, and did, exits with 0.
        """
        if self._draining is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self.service.draining.set()
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            await self.service.engines.stop(self.service.settings.shutdown_grace_s)
        finally:
            self.should_exit = True

    async def _greet(self) -> None:
        """Show the progress of loading, then the greeting. If the engine fails, stop the server with the reason."""
        settings = self.service.settings
        engine = self.service.engines.get(None)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True
        ) as bar:
            task = bar.add_task("loading the model", total=1.0)
            while (health := engine.health()).state in ("starting", "loading"):
                bar.update(task, completed=health.progress or 0.0, description=health.reason)
                await asyncio.sleep(0.05)
        if health.state != "ready":
            sys.stderr.write(f"sameboat: cannot start: {health.reason}\n")
            self.failed = True
            self.should_exit = True
            return
        took = time.monotonic() - self._began
        text = (
            self._greet_with(self.port(), health.reason)
            if self._greet_with is not None
            else greeting(settings, self.port(), health.reason, took, self.names())
        )
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def port(self) -> int:
        """The port of the listening socket."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    def names(self) -> list[str]:
        """Names of the promoted prompts."""
        return self.service.library.names()


def greeting(settings: Settings, port: int, engine: str, seconds: float, prompts: list[str]) -> str:
    """The first lines in the terminal: a command to try, the time of the start, and the keys."""
    url = exposure.url_of(settings.host, port)
    exposed = exposure.of(settings)
    key = "-H 'Authorization: Bearer KEY' " if exposed.keys and not exposed.open else ""
    if "sender" in prompts:
        data = '{"inputs": {"text": "Kenji Mori, Iris Labs, kenji.mori@example.com"}}'
        line = f"curl {key}--json '{data}' {url}/prompts/sender"
    else:
        data = '{"messages": [{"role": "user", "content": "Say hello."}]}'
        line = f"curl {key}--json '{data}' {url}/v1/chat/completions"
    return (
        f"Sameboat is ready on {url}. Try:\n\n  {line}\n\n"
        f"or open {url}/ and {url}/docs. Ready after {seconds:.1f} s: {engine}{_access(exposed)}"
    )


def _access(exposed: Exposure) -> str:
    """A sentence about the callers that may use the service. Empty if that is only this machine's user."""
    names = ", ".join(key.name for key in exposed.keys)
    if exposed.open:
        where = "on this machine" if exposed.loopback else "with access to this address"
        return f"\nSAMEBOAT_OPEN=true: everybody {where} may use it." + (f" Keys: {names}." if names else "")
    return f"\nA key is needed. Keys: {names}." if names else ""
