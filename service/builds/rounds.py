"""Earlier rounds in a new one: their checks are asked again, and models are told their briefs.

In: the finished builds of a repository, or the files before and after a round. Out: checks, briefs, the ids of lost
elements, and a diff. Not here: judging checks (`verify`), the reaction to a loss (`steps`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from service.builds.browser import WRONG_TRANSLATION
from service.builds.build import Build
from service.builds.generate import EarlierRound

MAX_EARLIER_CHECKS = 100  # checks of earlier rounds that are asked again, the newest first
MAX_DIFF = 200_000  # characters
IDS = re.compile(rb"""<[a-z][^<>]*?\sid\s*=\s*["']?([A-Za-z][\w-]*)""", re.IGNORECASE)
WORD = re.compile(rb"[\w-]+")


def checks(finished: Sequence[Build], own: Collection[str | None]) -> tuple[list[dict[str, Any]], int]:
    """The checks of earlier rounds to ask again, as JSON of `Check`, and how many more are left out.

    These are the checks that the last finished round left passed or not judged. Its report holds those of the rounds
    before it. A check that failed there was given up there, and so was one whose translation is wrong. `finished` are
    builds, oldest first. `own` are the expressions of this round's checks, which are not asked twice.
    """
    if not finished:
        return [], 0
    last = finished[-1]
    asked = set(own)
    again: list[dict[str, Any]] = []
    for outcome in ((last.outcome or {}).get("report") or {}).get("outcomes", []):
        given_up = outcome["verdict"] == "failed" or outcome.get("reason", "").startswith(WRONG_TRANSLATION)
        if outcome.get("js") is None or given_up or outcome["js"] in asked:
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


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """The change of an app's files as a unified diff. A file that is not text is only named, and so is the rest.

    At most MAX_DIFF characters, because a browser shows it.
    """
    parts: list[str] = []
    size = 0
    for path in sorted({*before, *after}):
        old, new = before.get(path, b""), after.get(path, b"")
        if old == new and (path in before) == (path in after):
            continue
        part = _file_diff(path, old, new)
        size += len(part)
        parts.append(part if size <= MAX_DIFF else f"{path} differs\n")
    return "".join(parts)


def _file_diff(path: str, old: bytes, new: bytes) -> str:
    try:
        before, after = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return f"{path} differs\n"
    return "".join(line + "\n" for line in difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", lineterm=""))
