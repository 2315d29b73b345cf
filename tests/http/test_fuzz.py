"""A minute of `tests.http.fuzz`. `make fuzz` gives it thirty minutes."""

from __future__ import annotations

from pathlib import Path

from tests.http.fuzz import fuzz, fuzzed


def test_no_request_kills_a_worker_or_is_answered_with_a_5xx(starter: Path, tmp_path: Path) -> None:
    """Every route's body at its limits, with the real engine. Some requests must be answered with 200."""
    with fuzzed(tmp_path, starter) as service:
        run = fuzz(service, seconds=60, number=1)
    assert not run.faults, "\n".join(run.faults)
    assert run.outcomes["200"], run.outcomes
