"""One line of a comparison: two servers, one figure of each, and the physical limit.

In: the figures of both servers in the same rounds. Out: a row, a dictionary that is JSON.
Not here: the files (`report.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
NO_PEERS = ("limit of", "the first time", "posted", "a thousand", "its own median")
"""Beginnings of names of things that are compared with and are no servers."""


def row(heading: str, n: int, model: str, sides: tuple[Sequence[float], Sequence[float]], peer: str) -> Row:
    """Medians, and the ratio ours / theirs of the same round as median and [smallest, largest].

    `sides` are our figures and the peer's, one for each round.
    """
    ours, theirs = sides
    ratios = [a / b if b else 0.0 for a, b in zip(ours, theirs, strict=True)]
    return {
        "workload": heading,
        "n": n,
        "model": model,
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(theirs), 4),
        "peer_name": peer,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def less_is_better(heading: str) -> bool:
    """Seconds, milliseconds and memory. Everything else is a rate or a share."""
    return heading.endswith((" s", " ms", "MiB"))


def best_peers(rows: Iterable[Row]) -> list[Row]:
    """Of the rows with one heading, number of clients and model: the row with the best peer."""
    best: dict[tuple[Any, ...], Row] = {}
    for each in rows:
        if each["peer_name"].startswith(NO_PEERS):
            continue
        key = each["workload"], each["n"], each["model"]
        sign = -1 if less_is_better(each["workload"]) else 1
        if key not in best or sign * each["peer"] > sign * best[key]["peer"]:
            best[key] = each
    return list(best.values())


def better(each: Row, ratio: float) -> float:
    """The ratio turned so that more than 1 is better."""
    if not less_is_better(each["workload"]):
        return ratio
    return 1 / ratio if ratio else 0.0
