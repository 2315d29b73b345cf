"""What every test shares: an environment without the developer's own settings, and the verified starter model."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's .env or SAMEBOAT_* variables, or writes to their state directory.

    The model cache stays the user's: weights are immutable and verified, and fetching them again would prove nothing.
    """
    for name in list(os.environ):
        if name.startswith("SAMEBOAT_") and name != "SAMEBOAT_CACHE_DIR":
            monkeypatch.delenv(name)
    for name in ("DATABASE_URL", "ROLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setitem(settings_module.Settings.model_config, "env_file", None)


@pytest.fixture(autouse=True, scope="session")
def _names_below_localhost() -> Iterator[None]:
    """Published sites are on names below localhost, which browsers know without a resolver; tests' clients do too."""
    plain = socket.getaddrinfo

    def getaddrinfo(host: Any, *given: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return plain("127.0.0.1" if isinstance(name, str) and name.endswith(".localhost") else host, *given, **named)

    socket.getaddrinfo = getaddrinfo
    yield
    socket.getaddrinfo = plain


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The real catalog."""
    return Catalog.load(ROOT / "data" / "models.toml")


@pytest.fixture(scope="session")
def starter(catalog: Catalog) -> Path:
    """The verified starter model's file. `make test` fetches it before the tests run."""
    cache = Cache(settings_module.load().cache_dir)
    path = cache.find(catalog[catalog.default])
    if path is None:
        pytest.fail("the starter model is not in the cache; run: make models")
    return path
