"""A scripted OpenAI-compatible server over real HTTP, without waits between tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.backoff import Backoff
from service.engine import remote_server
from tests.servers.openai_server import OpenAIServer


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer("hello, wörld 😀") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once. The waits are tested on the function that computes them."""
    monkeypatch.setattr(remote_server, "BACKOFF", Backoff(0, 0, longest_asked_s=0))
