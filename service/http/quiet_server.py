"""uvicorn that lets an idle process sleep.

In: uvicorn's configuration. Out: a server that wakes once a second, for the Date header, and at once when it shall end.
Not here: the service's own start and shutdown (`server`).

uvicorn's own loop wakes ten times a second to see whether it shall end (`uvicorn.Server.main_loop`). For two ports that
was most of the CPU time of an idle service.
"""

from __future__ import annotations

import asyncio
import contextlib

import uvicorn

TICK_S = 1.0


class QuietServer(uvicorn.Server):
    """A server that ends as soon as `should_exit` is set, from any thread."""

    _exiting = False
    _loop: asyncio.AbstractEventLoop | None = None
    _wake: asyncio.Event

    @property
    def should_exit(self) -> bool:
        """Whether the server shall end."""
        return self._exiting

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._exiting = value
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def main_loop(self) -> None:
        """Wait for the end. `on_tick` of a counter 0 renews the Date header."""
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            while not await self.on_tick(0):
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._wake.wait()
        finally:
            self._loop = None
