"""Earlier rounds in a new one: their checks are asked again, and models are told their briefs.

In: the finished builds of a repository. Out: checks, briefs, and the ids of lost elements. Not here: judging checks
(`verify`), the reaction to a loss (`steps`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from service.builds.build import Build
from service.builds.generate import EarlierRound

MAX_EARLIER_CHECKS = 100  # checks of earlier rounds that are asked again, the newest first
IDS = re.compile(rb"""<[a-z][^<>]*?\sid\s*=\s*["']?([A-Za-z][\w-]*)""", re.IGNORECASE)
WORD = re.compile(rb"[\w-]+")


def checks(finished: Sequence[Build], own: Collection[str | None]) -> tuple[list[dict[str, Any]], int]:
    """The checks of earlier rounds to ask again, as JSON of `Check`, and how many more are left out.

    These are the checks that the last finished round left passed or not judged. Its report holds those of the rounds
    before it. A check that failed there was given up there. `finished` are builds, oldest first. `own` are the
    expressions of this round's checks, which are not asked twice.
    """
    if not finished:
        return [], 0
    last = finished[-1]
    asked = set(own)
    again: list[dict[str, Any]] = []
    for outcome in ((last.outcome or {}).get("report") or {}).get("outcomes", []):
        if outcome.get("js") is None or outcome["verdict"] == "failed" or outcome["js"] in asked:
            continue
        asked.add(outcome["js"])
        again.append(
            {
                "said": outcome["said"],
                "js": outcome["js"],
                "translated": outcome["translated"],
                "round": outcome.get("round") or last.round,
            }
        )
    again.sort(key=lambda check: -check["round"])
    return again[:MAX_EARLIER_CHECKS], max(0, len(again) - MAX_EARLIER_CHECKS)


def earlier(finished: Sequence[Build]) -> tuple[EarlierRound, ...]:
    """The finished rounds, oldest first. Of a round that was built several times, the last build counts."""
    by_round = {build.round: EarlierRound(build.round, build.brief) for build in finished}
    return tuple(by_round[number] for number in sorted(by_round))


def lost_ids(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """The ids of elements that the page had before this round, and that none of its files names any more."""
    there = {word for path, data in after.items() if path != "README.md" for word in WORD.findall(data)}
    ids = dict.fromkeys(IDS.findall(before.get("index.html", b"")))
    return [name.decode() for name in ids if name not in there]
