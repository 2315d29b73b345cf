"""Services for the clients, and each client's report: its program runs once, and its cells are tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.http.app import create_app
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.clients import environments, scripted
from tests.clients.matrix import CLIENTS
from tests.e2e.conftest import STARTER, started
from tests.engine.minilm import NotFetched, catalog_entry, fetched
from tests.http.conftest import serving, until

EMBEDDING = "all-minilm-l6-v2"
QWEN = "qwen2.5-coder-1.5b-instruct"


@dataclass(frozen=True)
class Report:
    """The output of a client's program."""

    versions: dict[str, str]
    cells: dict[str, dict[str, Any]]

    def value(self, name: str) -> dict[str, Any]:
        """The content of the client's own object. An error of the client fails the test in its words."""
        assert name in self.cells, f"the program has no cell {name}"
        line = self.cells[name]
        assert "error" not in line, line["error"]
        return line["value"]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def starter_process(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`sameboat serve` with the starter. It keeps no answers, so a stream has its pieces. Exact answers are equal."""
    more = {"SAMEBOAT_MODEL": STARTER, "SAMEBOAT_ANSWER_CACHE_SIZE": "0", "SAMEBOAT_MODE": "exact"}
    with started(tmp_path_factory.mktemp("clients"), **more) as it:
        yield it.url


@pytest.fixture(scope="session")
def scripted_url(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted.service(catalog, tmp_path_factory.mktemp("scripted")) as url:
        yield url


@pytest.fixture(scope="session")
def embedding_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """A service with an embedding model. None if the model cannot be fetched."""
    folder = tmp_path_factory.mktemp("embedding")
    try:
        original = fetched(settings_module.load().cache_dir / "tests" / "minilm")
    except NotFetched:
        yield None
        return
    settings = settings_module.load(port=0, model=EMBEDDING, context=512, cache_dir=folder / "cache")
    entry = catalog_entry(Cache(settings.cache_dir), original, folder)
    catalog = Catalog({EMBEDDING: entry}, EMBEDDING, folder / "models.toml")
    with serving(create_app(settings, engines=Engines(settings, catalog), library=Library(folder))) as url:
        until(lambda: httpx.get(f"{url}/readyz", timeout=60).status_code == 200, "the model is ready")
        yield url


@pytest.fixture(scope="session")
def qwen_url(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = settings_module.load(port=0, context=2048, parallel=1, model=QWEN)
    if not Cache(settings.cache_dir).holds(catalog[QWEN]):
        pytest.skip(f"{QWEN} (1.1 GB) is not in the cache: sameboat model pull {QWEN}")
    app = create_app(settings, engines=Engines(settings, catalog), library=Library(tmp_path_factory.mktemp("qwen")))
    with serving(app) as url:
        until(lambda: httpx.get(f"{url}/readyz", timeout=60).status_code == 200, "the model is ready")
        yield url


@pytest.fixture(scope="session")
def report(
    starter_process: str, scripted_url: str, embedding_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Report]:
    """The report of a client, by its name. Its program runs once."""
    given = {"starter": starter_process, "scripted": scripted_url, "model": STARTER}
    if embedding_url is not None:
        given |= {"embedding": embedding_url, "embedding_model": EMBEDDING}
    reports: dict[str, Report] = {}

    def report_of(name: str) -> Report:
        if name not in reports:
            reports[name] = run(name, given, tmp_path_factory.mktemp(name))
        return reports[name]

    return report_of


def run(name: str, given: dict[str, Any], folder: Path) -> Report:
    client = CLIENTS[name]
    first, *lines = environments.run(client.environment, client.program, given, folder)
    return Report(first["versions"], {line["cell"]: line for line in lines})
