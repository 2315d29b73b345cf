"""Builds inside the application's life: started, served and stopped with it.

What comes in: the application, settings, prompts, engines. What goes out: `app.state.builds`, which the routes in
`builds` use, the local forge's smart HTTP under `/git`, and the published sites on a port of their own. Importing this
takes a second (DBOS, SQLAlchemy, dulwich): `app` does so only when builds are on, while the model loads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI

from service import exposure
from service.builds.forge.git_http import git_app
from service.builds.forge.local import LocalForge
from service.builds.forge.serve import pages_app
from service.builds.runtime import Builds
from service.engine.pool import Engines
from service.http import listener
from service.http.admission import Admission
from service.http.deps import Service
from service.http.hosts import AllowedHosts
from service.prompts.library import Library
from service.settings import Settings

MAX_ACTIVE_PAGES = 64  # of the sites, asked for at a time
PAGE_DEADLINE_S = 60.0  # for one of them to begin


@contextlib.asynccontextmanager
async def running(app: FastAPI, settings: Settings, library: Library, engines: Engines) -> AsyncIterator[None]:
    """For the application's lifespan: builds run, and the local forge is served, until it ends."""
    builds = await Builds.open(settings, library, engines)
    app.state.builds = builds
    sites: SiteServer | None = None
    service: Service | None = getattr(app.state, "service", None)
    hears = asyncio.create_task(_leave(builds, service.draining)) if service is not None else None
    try:
        if isinstance(builds.forge, LocalForge) and settings.role != "worker":  # whom others would only ask by mistake
            token = settings.forge_token.get_secret_value() if settings.forge_token is not None else None
            app.mount("/git", git_app(builds.forge, token, "/git"))
            sites = SiteServer(builds.forge, settings)
            await sites.start()
        yield
    finally:
        if hears is not None:
            hears.cancel()
        if sites is not None:
            await sites.stop()
        await builds.close()
        app.state.builds = None


async def _leave(builds: Builds, draining: asyncio.Event) -> None:
    """Builds let go before the engines do: an engine that leaves must not look like one that cannot answer."""
    await draining.wait()
    builds.begin_shutdown()


class SiteServer:
    """The published sites on their own port, so on their own origin, in the same process."""

    def __init__(self, forge: LocalForge, settings: Settings) -> None:
        door = Admission(
            pages_app(forge),
            max_body_bytes=1024,  # nobody has anything to send here
            max_active=MAX_ACTIVE_PAGES,
            per_address=settings.connections_per_address,
            is_shared=listener.shared_addresses(settings),
            deadline_s=PAGE_DEADLINE_S,
            wait_s=lambda: 1.0,
        )
        named = AllowedHosts(door, names=exposure.of(settings).site_hosts)
        self._server = _NestedServer(listener.uvicorn_config(named, settings, settings.pages_port, lifespan="off"))
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises SettingsError when the port is taken."""
        sockets = listener.listen(self._settings.host, self._settings.pages_port, "SAMEBOAT_PAGES_PORT")
        self._task = asyncio.create_task(self._server.serve(list(sockets)))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listener."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _NestedServer(uvicorn.Server):
    """A server inside another one: signals are the outer one's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield
