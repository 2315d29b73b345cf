"""The lifespan of builds: they start, are served, and stop with the application.

In: the application, settings, prompts, engines. Out: `app.state.builds` for the routes in `builds`, the local forge's
smart HTTP under `/git`, the published sites on their own port, and `app.state.site_pattern` with their addresses.
Not here: how builds are made (`service.builds`).

Importing this module takes a second (DBOS, SQLAlchemy, dulwich). `app` imports it only if builds are on, while the
model loads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

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
from service.http.quiet_server import QuietServer
from service.prompts.library import Library
from service.settings import Settings

MAX_ACTIVE_PAGES = 64  # requests to the sites at the same time
PAGE_DEADLINE_S = 60.0  # until the answer begins


@contextlib.asynccontextmanager
async def running(app: FastAPI, settings: Settings, library: Library, engines: Engines) -> AsyncIterator[None]:
    """Run builds and serve the local forge until the application's lifespan ends."""
    builds = await Builds.open(settings, library, engines)
    app.state.builds = builds
    sites: SiteServer | None = None
    service: Service | None = getattr(app.state, "service", None)
    shutdown = asyncio.create_task(_leave(builds, service.draining)) if service is not None else None
    try:
        if isinstance(builds.forge, LocalForge) and settings.role != "worker":  # a worker serves no git and no sites
            token = settings.forge_token.get_secret_value() if settings.forge_token is not None else None
            app.mount("/git", git_app(builds.forge, token, "/git"))
            sites = SiteServer(builds.forge, settings)
            await sites.start()
            app.state.site_pattern = builds.forge.sites.pattern
        yield
    finally:
        if shutdown is not None:
            shutdown.cancel()
        if sites is not None:
            await sites.stop()
        await builds.close()
        app.state.builds = None


async def _leave(builds: Builds, draining: asyncio.Event) -> None:
    """Builds let go before the engines do: an engine that leaves must not look like one that cannot answer."""
    await draining.wait()
    builds.begin_shutdown()


class SiteServer:
    """Serves the published sites in the same process, on their own port. So they have another origin than the API."""

    def __init__(self, forge: LocalForge, settings: Settings) -> None:
        admission = Admission(
            pages_app(forge, exposure.page_origins(settings)),
            max_body_bytes=1024,  # the sites take no bodies
            max_active=MAX_ACTIVE_PAGES,
            per_address=settings.connections_per_address,
            is_shared=listener.shared_addresses(settings),
            deadline_s=PAGE_DEADLINE_S,
            wait_s=lambda: 1.0,
        )
        site_app = AllowedHosts(admission, names=exposure.of(settings).site_hosts)
        self._server = _NestedServer(listener.uvicorn_config(site_app, settings, settings.pages_port, lifespan="off"))
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises SettingsError if the port is taken."""
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


class _NestedServer(QuietServer):
    """A server inside another one. The outer one handles the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield
