"""The text of a pull request that changes promoted prompts: every changed prompt is judged again.

In: the prompts' folders now, and those before the change. Out: Markdown, and whether the change may be merged.
Recordings are replayed, so no model is needed.
Not here: where the old folders come from (`cli.prompt_report` asks git).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.errors import SameboatError
from service.evaluation import baseline as baselines
from service.evaluation import judge, parity, promote, recording, report
from service.evaluation.baseline import PromotedVersion
from service.evaluation.replay import replay
from service.prompts.promoted import PromotedFolder

MARKER = "<!-- sameboat: prompts -->"
"""The first line. The workflow finds its own comment on a pull request by it."""
LIMIT = 60_000  # characters. GitHub takes 65,536 in a comment.


@dataclass(frozen=True)
class PromptSection:
    """The section of one prompt. `good`: it replays, and its verdict is PASS or was accepted with a reason.

    `verdict` is its word, and `passed` of `cases` pass every check. They are empty if the prompt cannot be judged.
    """

    name: str
    text: str
    good: bool
    verdict: str = ""
    passed: int = 0
    cases: int = 0


async def section_of(now: PromotedFolder, before: PromotedFolder) -> PromptSection:
    """The section of one changed prompt, from its folders after and before the change. Either may be absent."""
    name = now.name
    if not now.prompt_path.exists():
        return PromptSection(name, f"### {name}\n\nRemoved.\n", True)
    if not now.has_lock:
        return PromptSection(name, f"### {name}\n\nNot promoted yet: it has no lock, so it is not served.\n", True)
    try:
        return await _comparison(now, before)
    except SameboatError as error:
        return PromptSection(name, f"### {name}\n\n**CANNOT BE JUDGED**: {error}\n", False)


async def _comparison(now: PromotedFolder, before: PromotedFolder) -> PromptSection:
    name, prompt, lock = now.name, now.prompt(), now.lock()
    differences = now.differences(prompt, lock)
    if differences:
        return PromptSection(name, f"### {name}\n\n**NOT WHAT WAS PROMOTED**: {'; '.join(differences)}.\n", False)
    outcomes = replay(prompt, now)
    version = PromotedVersion.read(before)
    baseline = None
    if version is not None:
        asked = recording.read(now.baseline_path) if now.baseline_path.exists() else None
        cases = {outcome.case.id: outcome.case for outcome in outcomes}
        baseline, _ = await baselines.from_recordings(prompt, version, cases, judge.no_judge, asked)
    verdict = promote.verdict_of(prompt, outcomes, baseline)
    old = version.prompt.text if version is not None else None
    text = report.markdown(prompt, outcomes, verdict, baseline or (), old=old)
    if verdict.word != "PASS" and lock.accepted:
        text += f"\nAccepted all the same: {lock.accepted}\n"
    good, passed = verdict.word == "PASS" or bool(lock.accepted), sum(outcome.passed for outcome in outcomes)
    for engine, result in parity.of_recordings(prompt, now).items():
        accepted = lock.engines[engine].accepted
        text += f"\n<details><summary>On {engine}: {result.verdict.word}</summary>\n\n"
        text += f"{result.markdown()}\n\n</details>\n"
        text += f"\nAccepted all the same on {engine}: {accepted}\n" if accepted else ""
        good = good and (result.verdict.word == "PASS" or bool(accepted))
    return PromptSection(name, text, good, verdict.word, passed, len(outcomes))


def markdown(sections: Iterable[PromptSection], limit: int = LIMIT) -> str:
    """One text of at most `limit` characters. Whole sections that do not fit are left out and named."""
    text = f"{MARKER}\n## Prompts\n"
    empty, left_out = True, []
    for section in sections:
        empty = False
        if len(text) + len(section.text) + 200 > limit:
            left_out.append(section.name)
        else:
            text += f"\n{section.text}"
    if empty:
        return text + "\nNo promoted prompt changes here.\n"
    if left_out:
        text += f"\nToo long for a comment: {', '.join(left_out)}. `make prompt-report` prints all of it.\n"
    return text
