"""The stateless part, for platforms that run functions: `create()` is the application without an engine of its own.

What comes in: the environment. What goes out: an ASGI application that takes briefs and enqueues them in Postgres,
shows builds, serves the pages, and passes prompts to a remote engine. Builds are made by workers elsewhere, on the same
Postgres. It refuses to start without both: a queue in a function's file system would lose what it said 200 to.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from fastapi import FastAPI

from service import exposure
from service import settings as settings_module
from service.errors import SettingsError
from service.http.app import create_app
from service.settings import Settings


def load() -> Settings:
    """The settings of a function: role api, a remote engine, and the only writable folder.

    Raises:
        SettingsError: if the database, the remote engine or the keys are not set.
    """
    folder = Path(tempfile.gettempdir()) / "sameboat"
    settings = settings_module.load(
        host="0.0.0.0",  # noqa: S104  (everybody reaches a function)
        role="api",
        engine="remote",
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        pages_port=0,
    )
    if settings.database_url is None:
        raise SettingsError(
            "A function keeps nothing between two calls, so builds need a database.",
            key="DATABASE_URL",
            remedy="Set DATABASE_URL to a Postgres that the workers use too (direct, or a pooler in session mode).",
        )
    if not settings.remote_base_url:
        raise SettingsError(
            "A function has no engine of its own.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Set SAMEBOAT_REMOTE_BASE_URL to an OpenAI-compatible URL that ends in /v1.",
        )
    if exposure.of(settings).closed:
        raise SettingsError(
            "No key is set, and everybody reaches a function.",
            key="SAMEBOAT_API_KEYS",
            remedy="Set SAMEBOAT_API_KEYS (sameboat key new NAME); or, to let everybody in, SAMEBOAT_OPEN=true.",
        )
    return settings


def create() -> FastAPI:
    """The application. Raises SettingsError when something that it cannot do without is missing."""
    return create_app(load())
