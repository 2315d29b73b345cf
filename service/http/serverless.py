"""The application for platforms that run functions: `create()` needs no engine of its own.

In: the environment. Out: an ASGI application. It enqueues briefs in Postgres, shows builds, serves the pages, and sends
prompts to a remote engine. Workers elsewhere make the builds, on the same Postgres. Without Postgres or a remote engine
it does not start: briefs in a function's file system would be lost after their 200.
Not here: the entry point that a platform wants (`.ci/bundle.py`).
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
        host="0.0.0.0",  # noqa: S104  (a function has a public URL)
        role="api",
        engine="remote",
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        pages_port=0,
    )
    if settings.database_url is None:
        raise SettingsError(
            "A function keeps no files between two calls, so builds need a database.",
            key="DATABASE_URL",
            remedy="Set DATABASE_URL to the Postgres of the workers (direct, or a pooler in session mode).",
        )
    if not settings.remote_base_url:
        raise SettingsError(
            "A function has no engine of its own.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Set SAMEBOAT_REMOTE_BASE_URL to an OpenAI-compatible URL that ends in /v1.",
        )
    if exposure.of(settings).closed:
        raise SettingsError(
            "A function has a public URL, and no key is set.",
            key="SAMEBOAT_API_KEYS",
            remedy="Set SAMEBOAT_API_KEYS (sameboat key new NAME). To admit everybody, set SAMEBOAT_OPEN=true.",
        )
    return settings


def create() -> FastAPI:
    """The application. Raises SettingsError if a setting that it needs is missing."""
    return create_app(load())
