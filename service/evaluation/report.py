"""The report of an evaluation: Markdown, the same in a terminal, a notebook and the pull request's comment."""

from __future__ import annotations

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


def markdown(prompt: Prompt, outcomes: Sequence[Outcome], verdict: Verdict | None = None) -> str:
    """Scores per check and slice, the verdict, and every case that changed, by name."""
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
    if verdict is not None and (verdict.lost or verdict.gained):
        lines += ["", f"Passed before, fail now: {', '.join(verdict.lost) or 'none'}", ""]
        lines += [f"Failed before, pass now: {', '.join(verdict.gained) or 'none'}"]
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        lines += ["", f"<details><summary>{len(failed)} cases fail</summary>", ""]
        for outcome in failed[:SHOWN]:
            why = next(each.reason for each in outcome.checks if not each.passed)
            lines.append(f"- `{outcome.case.id}`: {why}")
        if len(failed) > SHOWN:
            lines.append(f"- and {len(failed) - SHOWN} more")
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"
