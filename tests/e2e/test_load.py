"""The load drill in small: twenty clients and two kills of the engine's process. `make drill-load` is the large one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench import drill_load

pytestmark = pytest.mark.model


def test_twenty_clients_and_two_kills(starter: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody hangs, no answer differs from its solo answer, every refusal says when to come back, both kills pass."""
    monkeypatch.setenv("SAMEBOAT_BENCH_DIR", str(tmp_path))
    with drill_load.serving(SAMEBOAT_QUEUE_REQUESTS="6", SAMEBOAT_PARALLEL="4", SAMEBOAT_CONTEXT="768") as (url, pid):
        seen = asyncio.run(drill_load.drill(url, pid, clients=20, seconds=12, kills=2, questions=6))
    timed = "/healthz p99 under 50 ms"
    missed = [(what, number) for what, shown, number in drill_load.verdicts(seen, 2) if not shown and what != timed]
    assert missed == [], seen.complaints
    assert seen.outcomes["refused with 429"] + seen.outcomes["refused with 503"] > 0
