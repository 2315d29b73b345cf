"""What every test shares: an environment without the developer's own settings, and the verified starter model."""

from __future__ import annotations

import os
from pathlib import Path

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
