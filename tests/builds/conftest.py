"""One Postgres for all tests of builds, and the databases on which each of them must hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A real Postgres, made when the first test asks for it."""
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that chooses the database: nothing at all, or `DATABASE_URL` alone."""
    if request.param == "sqlite":
        return {}
    running: Postgres = request.getfixturevalue("server")
    return {"DATABASE_URL": running.database()}
