"""uvicorn with our application: says what to try when the model is ready, and lets answers end before it leaves."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from service import exposure
from service.exposure import Exposure
from service.http import listener
from service.http.deps import Service
from service.settings import Settings


def server_of(app: FastAPI, *, began: float | None = None) -> Server:
    """A server for the application, as its settings say. `began`: when the start did, on `time.monotonic`'s clock."""
    service: Service = app.state.service
    grace_s = int(service.settings.shutdown_grace_s) + 5
    config = listener.uvicorn_config(
        app, service.settings, service.settings.port, closed=service.metrics.closed, timeout_graceful_shutdown=grace_s
    )
    return Server(config, service, began=began)


class Server(uvicorn.Server):
    """uvicorn, with a greeting when the model is ready, and engines that hear of a shutdown before the streams end."""

    def __init__(self, config: uvicorn.Config, service: Service, *, began: float | None = None) -> None:
        super().__init__(config)
        self.service = service
        self._began = time.monotonic() if began is None else began
        self.failed = False
        self._leaving: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until asked to leave. Raises SettingsError when the port cannot be listened on."""
        super().run(sockets or list(listener.listen(self.config.host, self.config.port, "SAMEBOAT_PORT")))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then watch the engines load.

        What is there by then stays until the end. Python's collector is told to leave it alone: else any request with
        many values makes it look at all of it, for a tenth of a second in which nothing is answered.
        """
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()
            self._greeting = asyncio.create_task(self._greet())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, SIGINT: `/readyz` says draining while answers get their grace to end; a second one ends it now.

        uvicorn closes its socket as soon as it hears of a signal, so it hears of it last: until then a load balancer
        can read the 503, and what is new is refused by the engines instead of by a closed port. It would also die of
        the signal when all has ended well; who was asked to leave and did exits with 0.
        """
        if self._leaving is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self.service.draining.set()
        self._leaving = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        try:
            await self.service.engines.stop(self.service.settings.shutdown_grace_s)
        finally:
            self.should_exit = True

    async def _greet(self) -> None:
        """Show loading, then say what to try; an engine that fails ends the service with its reason."""
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
        sys.stdout.write(greeting(settings, self.port(), health.reason, took, self.names()) + "\n")
        sys.stdout.flush()

    def port(self) -> int:
        """The port that is really listened on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    def names(self) -> list[str]:
        """The promoted prompts."""
        return self.service.library.names()


def greeting(settings: Settings, port: int, what: str, seconds: float, prompts: list[str]) -> str:
    """The lines that a person reads first; the first says what to try, the last who may."""
    url = exposure.url_of(settings.host, port)
    found = exposure.of(settings)
    key = "-H 'Authorization: Bearer KEY' " if found.keys and not found.open else ""
    if "sender" in prompts:
        data = '{"inputs": {"text": "Kenji Mori, Iris Labs, kenji.mori@example.com"}}'
        line = f"curl {key}--json '{data}' {url}/prompts/sender"
    else:
        data = '{"messages": [{"role": "user", "content": "Say hello."}]}'
        line = f"curl {key}--json '{data}' {url}/v1/chat/completions"
    return (
        f"Sameboat is ready on {url}. Try:\n\n  {line}\n\n"
        f"or open {url}/ and {url}/docs. Ready after {seconds:.1f} s: {what}{_who(found)}"
    )


def _who(found: Exposure) -> str:
    """Who is let in, where it is not only this machine's user."""
    names = ", ".join(key.name for key in found.keys)
    if found.open:
        where = "on this machine" if found.loopback else "who reaches this address"
        return f"\nSAMEBOAT_OPEN=true: everybody {where} may use it" + (f"; known by key: {names}." if names else ".")
    return f"\nA key is asked for: {names}." if names else ""
