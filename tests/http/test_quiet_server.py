"""A server that sleeps ends at once when it is told to."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from service.http import quiet_server
from service.http.quiet_server import QuietServer
from tests.ports import free_port


def test_a_sleeping_server_answers_and_ends_when_another_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps for an hour here, so it ends only if it is woken. It ticks once, where uvicorn ticks every 0.1 s."""
    monkeypatch.setattr(quiet_server, "TICK_S", 3600.0)
    ticks: list[int] = []

    class Counting(QuietServer):
        async def on_tick(self, counter: int) -> bool:
            ticks.append(counter)
            return await super().on_tick(counter)

    port = free_port()
    server = Counting(uvicorn.Config(Starlette(), host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    response = httpx.get(f"http://127.0.0.1:{port}/")
    assert (response.status_code, ticks) == (404, [0])
    assert "date" in response.headers
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()
    assert ticks == [0, 0]
    server.should_exit = True  # the loop is closed: nothing to wake
