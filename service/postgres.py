"""The URL of the Postgres that all processes share.

In: settings. Out: the URL with the name of SQLAlchemy's driver.
Not here: tables (`builds.store`, `evaluation.journal`).
"""

from __future__ import annotations

from service.settings import Settings


def postgres_url(settings: Settings) -> str | None:
    """The URL in SQLAlchemy's form, or None if DATABASE_URL is not set."""
    if settings.database_url is None:
        return None
    url = settings.database_url.get_secret_value()
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url
