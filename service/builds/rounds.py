"""What a round owes to the rounds before it: their checks are asked again, and their briefs are remembered.

In: the rows of a repository's finished builds. Out: checks, briefs, and what a page has lost. Not here: how checks are
judged (`verify`), what is done about a loss (`steps`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from service.builds.generate import EarlierRound

MAX_EARLIER_CHECKS = 100  # checks of earlier rounds that are asked again, the newest first
IDS = re.compile(rb"""<[a-z][^<>]*?\sid\s*=\s*["']?([A-Za-z][\w-]*)""", re.IGNORECASE)
WORD = re.compile(rb"[\w-]+")


def checks(done: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The checks that the last finished round left passing or unjudged, as `Check` has them; how many are left out.

    `done` are the finished builds, oldest first; `own` are this round's checks, which are not asked twice. The last
    round's report holds those of the rounds before it. One that failed there was given up there, and was told.
    """
    if not done:
        return [], 0
    last = done[-1]
    asked = {check["js"] for check in own}
    found: list[dict[str, Any]] = []
    for outcome in ((last["outcome"] or {}).get("report") or {}).get("outcomes", []):
        if outcome.get("js") is None or outcome["verdict"] == "failed" or outcome["js"] in asked:
            continue
        asked.add(outcome["js"])
        number = outcome.get("round") or last["brief"]["round"]
        found.append(
            {"said": outcome["said"], "js": outcome["js"], "translated": outcome["translated"], "round": number}
        )
    found.sort(key=lambda check: -check["round"])
    return found[:MAX_EARLIER_CHECKS], max(0, len(found) - MAX_EARLIER_CHECKS)


def earlier(done: Sequence[Mapping[str, Any]]) -> tuple[EarlierRound, ...]:
    """The finished rounds, oldest first; of a round that was built more than once, the last time."""
    by_round = {row["brief"]["round"]: EarlierRound(row["brief"]["round"], row["brief"]["brief"]) for row in done}
    return tuple(by_round[number] for number in sorted(by_round))


def lost_ids(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """The ids of elements that the page had before this round, and that stand nowhere in its files any more."""
    there = {word for path, data in after.items() if path != "README.md" for word in WORD.findall(data)}
    ids = dict.fromkeys(IDS.findall(before.get("index.html", b"")))
    return [each.decode() for each in ids if each not in there]
