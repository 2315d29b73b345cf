"""The studio's application: the service on loopback behind a key of its own, and the routes of drafts.

In: settings. Out: an application, the key, and the address that holds it.
Not here: the server (`http.server`), and the command (`cli.studio`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from pydantic import SecretStr

from service import exposure, keys
from service.engine.pool import Engines
from service.errors import SettingsError
from service.http.app import create_app
from service.settings import Settings
from service.studio.drafts import DraftFolder
from service.studio.routes import Studio, router
from service.studio.work import Workspace

HOST = "127.0.0.1"


def studio_settings(settings: Settings, key: str) -> Settings:
    """The settings of a service for one person: loopback, one key, no other names, origins or builds.

    Raises:
        SettingsError: if there is no folder of drafts, which only a workspace has.
    """
    if not settings.drafts_dir.is_dir():
        raise SettingsError(
            f"There is no folder {settings.drafts_dir}, so this is no workspace.",
            key="SAMEBOAT_DRAFTS_DIR",
            remedy="Start the studio in a checkout of the repository, or name the folder of your drafts.",
        )
    return settings.model_copy(
        update={
            "host": HOST,
            "port": settings.studio_port,
            "api_keys": SecretStr(keys.line("studio", key)),
            "open": False,
            "allowed_hosts": "",
            "cors_origins": "",
            "public_url": None,
            "space_host": None,
            "trusted_proxies": "",
            "secret": None,
            "role": "all",
            "requests_per_minute": 0,
            "tokens_per_minute": 0,
        }
    )


def create_studio(settings: Settings, *, engines: Engines | None = None) -> FastAPI:
    """The application for settings from `studio_settings`. A running job ends with it."""
    app = create_app(settings, engines=engines)
    service = app.state.service
    service.in_studio = True
    studio = Studio(DraftFolder(settings.drafts_dir), Workspace(settings, service.engines))
    app.state.studio = studio
    app.include_router(router)
    serving = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with serving(app):
            try:
                yield
            finally:
                await studio.jobs.stop_all()

    app.router.lifespan_context = lifespan
    return app


def address(port: int, key: str) -> str:
    """The address to open. A browser does not send the part after # to any server, and the page removes the key."""
    return f"{exposure.url_of(HOST, port)}/#/drafts?token={key}"
