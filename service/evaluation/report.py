"""The report of an evaluation, as Markdown for a terminal, a notebook and the pull request's comment.

In: outcomes and a verdict. Out: one text.
"""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Sequence

from service.evaluation import groups, report_details
from service.evaluation.cases import ALL, slice_names
from service.evaluation.checks import CheckResult
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import bootstrap, wilson
from service.evaluation.verdict import GROUP_CASES, GROUP_TOLERANCE, CheckComparison, Verdict
from service.prompts.file import Prompt
from service.prompts.yaml_tree import EDITORS

SHOWN = 20  # failures listed by name


def format_rate(passed: int, n: int) -> str:
    """A pass rate with its 95 % Wilson interval, in percent."""
    low, high = wilson(passed, n)
    return f"{100 * passed / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def markdown(
    prompt: Prompt,
    outcomes: Sequence[CaseOutcome],
    verdict: Verdict | None = None,
    before: Sequence[CaseOutcome] = (),
    *,
    old: str | None = None,
) -> str:
    """The report: the verdict, the scores per check and slice, every changed case with both answers, and the failures.

    `before` are the promoted prompt's outcomes. `old` is its text, for a diff.
    """
    lines = [f"### {prompt.name}"]
    if verdict is not None:
        lines += ["", f"**{verdict.word}**: {verdict.reason}."]
    lines += _notes(prompt)
    lines += _broken(outcomes)
    lines += _not_judged(outcomes)
    lines += _cut(prompt, outcomes)
    lines += _scores(prompt, outcomes)
    guess = guessing(prompt, outcomes)
    lines += ["", guess] if guess else []
    lines += _abstentions(prompt, outcomes)
    lines += report_details.details(prompt, outcomes)
    if verdict is not None and verdict.compared:
        lines += _compared(verdict)
        lines += _changed(verdict, outcomes, before)
    if old is not None:
        lines += _diff(prompt, old)
    if not prompt.spec.evaluators:
        return "\n".join([*lines, *report_details.case_table(prompt, outcomes, SHOWN)]) + "\n"
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        counted = "1 case fails" if len(failed) == 1 else f"{len(failed)} cases fail"
        lines += ["", f"<details><summary>{counted}</summary>", ""]
        for outcome in failed[:SHOWN]:
            reason = outcome.reasons[0]
            given = report_details.input_text(prompt, outcome)
            lines.append(f"- `{_cell(outcome.case.id)}`: {_cell(reason.rstrip('.'))}. Input: {_cell(given)}")
        if len(failed) > SHOWN:
            lines.append(f"- and {len(failed) - SHOWN} more")
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _notes(prompt: Prompt) -> list[str]:
    """The parts of the file that are read otherwise than they are written, by line. A path is no part of a report."""
    if not prompt.notes:
        return []
    places = [note.removeprefix(f"{prompt.path or '<text>'}:") for note in prompt.notes]
    return [
        "",
        "Parts of the file are read otherwise than they are written:",
        "",
        *(f"- line {_cell(place)}" for place in places),
    ]


def _broken(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """A sentence about the cases that could not be asked or judged."""
    names = [outcome.case.id for outcome in outcomes if outcome.broken]
    if not names:
        return []
    counted = f"{len(names)} of {len(outcomes)} cases could not be asked or judged, and count as failed"
    return ["", f"{counted}: {_listed(names)}."]


def _not_judged(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """A sentence about the cases that no check judges."""
    names = [outcome.case.id for outcome in outcomes if not outcome.judged]
    if not names:
        return []
    counted = f"{len(names)} of {len(outcomes)} cases are judged by no check"
    if len(names) == len(outcomes):
        return ["", f"{counted}. Add evaluators, for example `string: {{equals: '{{{{expected}}}}'}}`."]
    return ["", f"{counted}: {_listed(names)}."]


def _cut(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    """A sentence about the answers that reached the limit of tokens."""
    records = [record for outcome in outcomes for record in outcome.records]
    cut = sum(record.finish_reason == "length" for record in records)
    if not cut:
        return []
    limit = prompt.spec.modelParameters.maxTokens
    return ["", f"{cut} of {len(records)} answers were cut after {limit} tokens: `modelParameters.maxTokens`."]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{_cell(name)}`" for name in names[:SHOWN]) + more


def _scores(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    """The table of pass rates. A check with graded scores also has its mean score."""
    if not any(outcome.judged for outcome in outcomes):
        return []
    graded = {
        check
        for check, results in by_check(prompt, outcomes)
        if any(result.score not in (0.0, 1.0) for result in results)
    }
    more = (" mean score (95 % bootstrap) |", "---|") if graded else ("", "")
    lines = ["", f"| slice | check | passed | of | rate (95 % Wilson) |{more[0]}", f"|---|---|--:|--:|---|{more[1]}"]
    for name, chosen in slices(outcomes):
        for check, results in by_check(prompt, chosen):
            passed = sum(result.passed for result in results)
            line = (
                f"| {_cell(name)} | {_cell(check)} | {passed} | {len(results)} | {format_rate(passed, len(results))} |"
            )
            if check in graded:
                line += f" {format_mean([result.score for result in results])} |"
            elif graded:
                line += " |"
            lines.append(line)
    return lines


def by_check(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[tuple[str, list[CheckResult]]]:
    """The results of each check, in the order of the file. A check that judges none of the cases is left out."""
    table: dict[str, list[CheckResult]] = {check.name: [] for check in prompt.spec.evaluators}
    for outcome in outcomes:
        for result in outcome.checks:
            table[result.name].append(result)
    return [(check, results) for check, results in table.items() if results]


def slices(outcomes: Sequence[CaseOutcome]) -> list[tuple[str, list[CaseOutcome]]]:
    """The outcomes of each slice, and at the end of all of them. Cases without a slice beside others are `(none)`."""
    names = slice_names(outcome.case.slice for outcome in outcomes)
    table: dict[str, list[CaseOutcome]] = {own: [] for own in names}
    for outcome in outcomes:
        table[outcome.case.slice].append(outcome)
    named = [(names[own], chosen) for own, chosen in table.items()]
    return named if len(named) < 2 else [*named, (ALL, list(outcomes))]


def guessing(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> str:
    """The pass rate of the best label as a constant answer, as a sentence. A prompt has to beat it.

    "" if the prompt has no labels, or a check that is a program or a judge.
    """
    table = groups.constants(prompt, outcomes) if prompt.spec.choices else None
    if table is None:
        return ""
    passed = {label: sum(passes.values()) for label, passes in table.items()}
    best = max(passed, key=passed.__getitem__)
    n = len(table[best])
    return f"Always answering `{best}` would pass {passed[best]} of {n} ({100 * passed[best] / n:.1f} %)." if n else ""


def _abstentions(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    """The coverage of a prompt that abstains, and the pass rate of the cases that it answers."""
    if prompt.spec.abstain is None:
        return []
    answered = [outcome for outcome in outcomes if not prompt.abstains(dict(outcome.record.probabilities))]
    text = f"It answers {len(answered)} of {len(outcomes)} cases ({100 * len(answered) / len(outcomes):.1f} % coverage)"
    if answered := [outcome for outcome in answered if outcome.judged]:
        text += f", and passes {format_rate(sum(outcome.passed for outcome in answered), len(answered))} of these"
    return ["", f"{text}. The others get `{_cell(prompt.spec.abstain.answer)}`."]


def format_mean(scores: Sequence[float]) -> str:
    """The mean of scores with its 95 % bootstrap interval."""
    low, high = bootstrap(scores)
    return f"{sum(scores) / len(scores):.3f} ({low:.3f} to {high:.3f})"


def _diff(prompt: Prompt, old: str) -> list[str]:
    """The diff of the prompt's file, in a fence that is longer than every fence inside.

    The line that names the schema for editors is left out. A promotion writes it, and a draft need not have it.
    """
    names = (f"promoted/{prompt.name}.prompt.yml", f"draft/{prompt.name}.prompt.yml")
    before, now = (
        [line for line in text.strip().splitlines() if not line.startswith(EDITORS)] for text in (old, prompt.text)
    )
    diff = list(difflib.unified_diff(before, now, *names, lineterm=""))
    if not diff:
        return ["", "The prompt's text is unchanged."]
    longest = max((len(run) for line in diff for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", "**The prompt**", "", f"{fence}diff", *diff, fence]


def _compared(verdict: Verdict) -> list[str]:
    """The comparison with the promoted prompt, check by check."""
    lines = ["", "| check | lost | gained | of | difference in points (95 % Tango) | p worse | p not worse |"]
    lines.append("|---|--:|--:|--:|---|--:|--:|")
    lines += [_row(row) for row in verdict.compared]
    for row in verdict.compared:
        if row.score is not None:
            mean, (low, high) = row.score
            lines += ["", f"Mean score of {row.check}: {mean:+.3f} (95 % bootstrap {low:+.3f} to {high:+.3f})."]
    if verdict.groups:
        points = 100 * GROUP_TOLERANCE
        lines += ["", "<details><summary>By class and slice</summary>", ""]
        lines += [lines[1].replace("check", "check (class or slice)", 1), lines[2]]
        lines += [_row(row) for row in verdict.groups]
        lines += ["", f"Not worse means a fall of less than {points:.0f} points."]
        if small := dict.fromkeys(row.group for row in verdict.groups if row.n < GROUP_CASES):
            lines[-1] += f" Fewer than {GROUP_CASES} cases show little: {', '.join(small)}."
        lines += ["", "</details>"]
    return lines


def _row(row: CheckComparison) -> str:
    points = 100 * (len(row.gained) - len(row.lost)) / row.n
    low, high = (100 * end for end in row.difference)
    return (
        f"| {_cell(row.name)} | {len(row.lost)} | {len(row.gained)} | {row.n} "
        f"| {points:+.1f} ({low:+.1f} to {high:+.1f}) | {row.p_worse:.3g} | {row.p_not_worse:.3g} |"
    )


def _changed(verdict: Verdict, outcomes: Sequence[CaseOutcome], before: Sequence[CaseOutcome]) -> list[str]:
    """Every case that lost or gained a check, with both answers."""
    now = {outcome.case.id: outcome.record.text for outcome in outcomes}
    then = {outcome.case.id: outcome.record.text for outcome in before}
    lines = []
    for title, names in (("Passed before, fail now", verdict.lost), ("Failed before, pass now", verdict.gained)):
        if names:
            lines += ["", f"**{title}** ({len(names)})", "", "| case | before | now |", "|---|---|---|"]
            lines += [f"| `{name}` | {_cell(then.get(name, ''))} | {_cell(now[name])} |" for name in names]
    return lines


def _cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table and is not read as markup."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("`", "'")[:300]
