"""A stateful fake GitHub with real repositories, and a forge that talks to it.

Each request and each answer is checked against GitHub's published OpenAPI as well, where npm can fetch it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.builds.forge.github import GitHubForge
from tests.builds.github.support import Time, forge_of
from tests.servers.github import FakeGitHub, github
from tests.servers.github_contract import Contract, document


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(scope="session")
def contract() -> Contract | None:
    """GitHub's OpenAPI document, or None if it cannot be fetched. The tests in test_contract.py require it."""
    try:
        return Contract(document())
    except pytest.skip.Exception:
        return None


@pytest.fixture
def fake(tmp_path: Path, time: Time, contract: Contract | None) -> Iterator[FakeGitHub]:
    with github(tmp_path / "github", now=time.now, contract=contract) as server:
        yield server
        assert server.broken == []


@pytest.fixture
def forge(fake: FakeGitHub, time: Time, tmp_path: Path) -> GitHubForge:
    return forge_of(fake, time, tmp_path)
