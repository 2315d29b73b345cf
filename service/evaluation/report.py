"""The report of an evaluation: Markdown, the same in a terminal, a notebook and the pull request's comment."""

from __future__ import annotations

import html
from collections.abc import Sequence

from service.evaluation.runner import Outcome
from service.evaluation.statistics import wilson
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt

SHOWN = 20  # failures listed by name


def rate(passed: int, n: int) -> str:
    """A pass rate with its 95 % Wilson interval, in percent."""
    low, high = wilson(passed, n)
    return f"{100 * passed / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def markdown(
    prompt: Prompt, outcomes: Sequence[Outcome], verdict: Verdict | None = None, before: Sequence[Outcome] = ()
) -> str:
    """Scores per check and slice, the verdict, and every case that changed, by name with both answers."""
    lines = [f"### {prompt.name}"]
    if verdict is not None:
        lines += ["", f"**{verdict.word}**: {verdict.reason}."]
    lines += ["", "| slice | check | passed | of | rate (95 % Wilson) |", "|---|---|--:|--:|---|"]
    slices = sorted({outcome.case.slice for outcome in outcomes})
    for name in [*slices, *(["all"] if len(slices) > 1 else [])]:
        chosen = [outcome for outcome in outcomes if name in ("all", outcome.case.slice)]
        for number, evaluator in enumerate(prompt.spec.evaluators):
            passed = sum(outcome.checks[number].passed for outcome in chosen)
            lines.append(f"| {name} | {evaluator.name} | {passed} | {len(chosen)} | {rate(passed, len(chosen))} |")
    if verdict is not None and verdict.compared:
        lines += _compared(verdict)
        lines += _changed(verdict, outcomes, before)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        lines += ["", f"<details><summary>{len(failed)} cases fail</summary>", ""]
        for outcome in failed[:SHOWN]:
            why = next(each.reason for each in outcome.checks if not each.passed)
            lines.append(f"- `{outcome.case.id}`: {_cell(why)}")
        if len(failed) > SHOWN:
            lines.append(f"- and {len(failed) - SHOWN} more")
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _compared(verdict: Verdict) -> list[str]:
    """The comparison with the promoted prompt, check by check."""
    lines = ["", "| check | lost | gained | of | difference in points (95 % Tango) | p worse | p not worse |"]
    lines.append("|---|--:|--:|--:|---|--:|--:|")
    for each in verdict.compared:
        share = 100 * (len(each.gained) - len(each.lost)) / each.n
        low, high = (100 * end for end in each.difference)
        lines.append(
            f"| {each.check} | {len(each.lost)} | {len(each.gained)} | {each.n} "
            f"| {share:+.1f} ({low:+.1f} to {high:+.1f}) | {each.p_worse:.3g} | {each.p_not_worse:.3g} |"
        )
    return lines


def _changed(verdict: Verdict, outcomes: Sequence[Outcome], before: Sequence[Outcome]) -> list[str]:
    """Every case that lost or gained a check, with the answers side by side."""
    now = {outcome.case.id: outcome.record.text for outcome in outcomes}
    then = {outcome.case.id: outcome.record.text for outcome in before}
    lines = []
    for title, names in (("Passed before, fail now", verdict.lost), ("Failed before, pass now", verdict.gained)):
        if names:
            lines += ["", f"**{title}** ({len(names)})", "", "| case | before | now |", "|---|---|---|"]
            lines += [f"| `{name}` | {_cell(then.get(name, ''))} | {_cell(now[name])} |" for name in names]
    return lines


def _cell(text: str) -> str:
    """Text that stays inside its cell of a Markdown table, and is not taken for markup."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("`", "'")[:300]
