"""The API keeps to its own description. Schemathesis runs half a minute here, and ten minutes in `make drill-api`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from service.http import openapi, paths
from service.http.app import create_app
from tests.builds.harness import settings_for
from tests.http.conftest import inside


def test_schemathesis_finds_nothing() -> None:
    """No 5xx, no undocumented status, type or schema, no wrong input that is taken, by a real server on a real port."""
    command = [sys.executable, "-m", "tests.http.drill_api", "--seconds", "30", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_route_describes_its_errors(tmp_path: Path) -> None:
    """Problems everywhere, OpenAI's error object under /v1, and no schema that is never sent."""
    document = create_app(settings_for(tmp_path / "state")).openapi()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            [media] = operation["responses"]["default"]["content"]
            assert media == ("application/json" if paths.is_openai(path) else "application/problem+json")
            assert "422" not in operation["responses"]


def test_the_document_is_made_once_and_outside_of_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making it takes about 0.1 s. On the event loop that would hold up every other request."""
    threads: list[int] = []
    describe = openapi.describe

    def recorded(*given: Any, **named: Any) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return describe(*given, **named)

    monkeypatch.setattr(openapi, "describe", recorded)
    app = create_app(settings_for(tmp_path / "state"))

    async def documents() -> list[Any]:
        async with inside(app) as client:
            return [(await client.get("/openapi.json")).json() for _ in range(2)]

    first, second = asyncio.run(documents())
    assert first == second == app.openapi()
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
