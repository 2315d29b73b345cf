"""The parts that all tests share: a clean environment, the verified starter model, tiers and durations.

`--tier 1` is `make test`, `--tier 2` is the rest of `make test-all`. Without the option every test runs.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import settings as settings_module
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests import termination
from tests.clients.page import ClientResults
from tests.durations import Durations
from tests.tiers import Tiers

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", type=int, choices=(1, 2), help="1: the tests of make test; 2: the rest of make test-all")
    parser.addoption("--durations-path", type=Path, help="a JSON file for the durations of the tests")
    parser.addoption("--clients-path", type=Path, help="a JSON file for the outcomes of tests/clients")
    parser.addoption("--parity-path", type=Path, help="a JSON file for the results of tests/cluster")


def pytest_configure(config: pytest.Config) -> None:
    """Runs before the tests are imported, which may ask for their number of draws."""
    os.environ["SAMEBOAT_KERNELS"] = "portable"
    os.environ["SAMEBOAT_DEVICE"] = "cpu"
    config.pluginmanager.register(termination, "termination")
    config.pluginmanager.register(Tiers(config.getoption("tier")), "tiers")
    config.pluginmanager.register(Durations(config.getoption("durations_path")), "durations")
    config.pluginmanager.register(ClientResults(config.getoption("clients_path")), "clients")


def pytest_unconfigure() -> None:
    """Close two files that llama_cpp leaves open. Python warns of them at the end of the run."""
    silence = sys.modules.get("llama_cpp._utils")
    if silence is not None:
        silence.outnull_file.close()
        silence.errnull_file.close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's .env or SAMEBOAT_* variables, or writes to their state directory.

    Tests share the user's model cache. Its files are immutable and verified. Their engines use the portable kernels
    and no GPU, whatever is compiled here.
    """
    for name in list(os.environ):
        if name.startswith("SAMEBOAT_") and name != "SAMEBOAT_CACHE_DIR":
            monkeypatch.delenv(name)
    for name in ("DATABASE_URL", "ROLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMEBOAT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SAMEBOAT_KERNELS", "portable")
    monkeypatch.setenv("SAMEBOAT_DEVICE", "cpu")
    monkeypatch.setitem(settings_module.Settings.model_config, "env_file", None)


@pytest.fixture(autouse=True, scope="session")
def _names_below_localhost() -> Iterator[None]:
    """Names below localhost, which published sites have, lead to this machine. Browsers do this without a resolver."""
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
