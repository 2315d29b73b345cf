"""The image under test: `make image-test` names it in SAMEBOAT_IMAGE. Without it, or without an engine, these skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import answers, docker, volume

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs a container engine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("engine")


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name. Read before the environment is cleaned for each test."""
    if not IMAGE:
        pytest.skip("no image named: make image-test builds one and tests it")
    if not answers():
        pytest.skip("no container engine answers")
    return IMAGE


@pytest.fixture(scope="session")
def models(image: str) -> Iterator[str]:
    """A volume that the image itself filled with the verified starter model, as a first start does."""
    with volume() as name:
        docker("run", "--rm", "--volume", f"{name}:/cache", image, "model", "pull", "--quiet")
        yield name


IMAGE = os.environ.get("SAMEBOAT_IMAGE", "")
