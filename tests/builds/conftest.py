"""One Postgres for all tests of builds, the databases on which each of them must hold, and builds without a browser."""

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


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser for services in this process. A look at a page takes two to three seconds."""
    monkeypatch.setattr("service.builds.startup.find_browser", lambda setting: (None, "left out of this test"))
