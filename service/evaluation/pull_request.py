"""What a branch does to the promoted prompts, as the text of its pull request: every changed one, judged again.

What comes in: the prompts' folders as they are now, and as they were (None: there was none). What goes out: Markdown
and whether anything stands in the way. Recordings are replayed, so no model is needed. Where the old files come from
(git, a copy) it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service import text_files
from service.errors import PromptError, SameboatError
from service.evaluation import judge, promote, recording, report
from service.prompts import lock as locks
from service.prompts.file import load

MARKER = "<!-- sameboat: prompts -->"
"""The first line, by which the one comment of a pull request is found again."""
LIMIT = 60_000  # characters; GitHub takes 65 536 in a comment


@dataclass(frozen=True)
class PromptSection:
    """One prompt's section. `good`: it replays, and its verdict is PASS or was accepted with a reason."""

    name: str
    text: str
    good: bool


async def section_of(name: str, now: Path, before: Path | None) -> PromptSection:
    """The section of one changed prompt."""
    if not (now / f"{name}.prompt.yml").exists():
        return PromptSection(name, f"### {name}\n\nRemoved.\n", True)
    if not (now / "lock.json").exists():
        return PromptSection(name, f"### {name}\n\nNot promoted yet: it has no lock, so it is not served.\n", True)
    try:
        return await _comparison(name, now, before)
    except SameboatError as error:
        return PromptSection(name, f"### {name}\n\n**CANNOT BE JUDGED**: {error}\n", False)


async def _comparison(name: str, now: Path, before: Path | None) -> PromptSection:
    prompt, lock = load(now / f"{name}.prompt.yml"), locks.read(now / "lock.json")
    differ = locks.differences(lock, locks.make(prompt, now, lock.identity))
    if differ:
        return PromptSection(name, f"### {name}\n\n**NOT WHAT WAS PROMOTED**: {'; '.join(differ)}.\n", False)
    outcomes = promote.replay(prompt, now)
    old_file = None if before is None else before / f"{name}.prompt.yml"
    old = text_files.read(old_file, PromptError) if old_file is not None and old_file.exists() else None
    baseline = None
    if before is not None and old is not None:
        more = recording.read(now / promote.BASELINE) if (now / promote.BASELINE).exists() else None
        cases = {each.case.id: each.case for each in outcomes}
        baseline = await promote.baseline(prompt, before, cases, judge.no_judge, more=more)
    verdict = promote.verdict_of(prompt, outcomes, baseline)
    text = report.markdown(prompt, outcomes, verdict, baseline or (), old=old)
    if verdict.word != "PASS" and lock.accepted:
        text += f"\nAccepted all the same: {lock.accepted}\n"
    return PromptSection(name, text, verdict.word == "PASS" or bool(lock.accepted))


def markdown(changes: Iterable[PromptSection], limit: int = LIMIT) -> str:
    """One text for all of them; what does not fit is left out by whole sections, named."""
    found = list(changes)
    text = f"{MARKER}\n## Prompts\n"
    if not found:
        return text + "\nNo promoted prompt changes here.\n"
    left: list[str] = []
    for change in found:
        if len(text) + len(change.text) + 200 > limit:
            left.append(change.name)
        else:
            text += f"\n{change.text}"
    if left:
        text += f"\nToo long for a comment: {', '.join(left)}. `make prompt-report` prints all of it.\n"
    return text
