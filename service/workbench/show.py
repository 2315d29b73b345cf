"""The displays of the workbench: results with the failures first, comparisons side by side, plots as static pictures.

In: outcomes and verdicts. Out: objects that display as HTML in a notebook and as plain text in a terminal. The HTML
needs no scripts or widgets, so it stays in a saved notebook and in the output of nbconvert. A model's answer is shown
as text, never as markup.
Not here: statistics (`evaluation.statistics`).
"""

from __future__ import annotations

import difflib
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.evaluation import report
from service.evaluation.checks import CheckResult
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import bootstrap, wilson
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt

SHOWN = 12  # rows of a table
NOW, BEFORE = "#0b6176", "#b07d2b"
CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"
FIRST = "text-align:left;vertical-align:top;white-space:nowrap"
WORDS = {
    "PASS": "#1a7f37", "REGRESSION": "#b42318", "BELOW MINIMUM": "#b42318", "NO BETTER THAN GUESSING": "#b42318",
    "NOT ENOUGH EVIDENCE": "#8a6d00",
}  # fmt: skip


class Plot:
    """A matplotlib figure that displays as a picture in any notebook, also if pyplot was not imported.

    `text` holds the same numbers for a terminal.
    """

    def __init__(self, figure: Any, text: str) -> None:
        self.figure, self.text = figure, text

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=110)
        return data.getvalue()

    def __repr__(self) -> str:
        """The numbers, for a terminal."""
        return self.text


class Results:
    """The results of a prompt on cases. Displays as scores and a table of cases, with the failures first."""

    SHOWN = SHOWN

    def __init__(self, prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> None:
        self.prompt = prompt
        self.outcomes = list(outcomes)

    @property
    def passed(self) -> int:
        """The number of cases that pass every check."""
        return sum(outcome.passed for outcome in self.outcomes)

    @property
    def rate(self) -> str:
        """The pass rate with its Wilson interval."""
        return report.format_rate(self.passed, len(self.outcomes)) if self.outcomes else "no cases"

    def scores(self) -> list[tuple[str, str, str]]:
        """(check, slice, rate with its interval) for each slice, and for all slices together if there are several."""
        return [(check, name, _pass_rate(results)) for check, name, results in _groups(self.prompt, self.outcomes)]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(id, "ok" or the reasons, the answer, the first 80 characters of the inputs), with the failures first."""
        return [
            (
                outcome.case.id,
                "ok" if outcome.passed else "; ".join(check.reason for check in outcome.checks if not check.passed),
                outcome.record.text,
                " ".join(str(value) for value in outcome.case.inputs(self.prompt).values())[:80],
            )
            for outcome in sorted(self.outcomes, key=lambda outcome: outcome.passed)
        ]

    def __str__(self) -> str:
        """The same as plain text, for a terminal."""
        scores = [f"  {check} ({name}): {rate}" for check, name, rate in self.scores()]
        scores += [f"  {guess}"] if (guess := report.guessing(self.prompt, self.outcomes)) else []
        cases = ["  ".join(row) for row in self.rows()[: self.SHOWN]]
        return "\n".join([f"{self.prompt.name}: {self.rate}", *scores, *cases, *_more(len(self.outcomes))])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return report.markdown(self.prompt, self.outcomes)

    def _repr_html_(self) -> str:
        title = f"<p><b>{html.escape(self.prompt.name)}</b>: {html.escape(self.rate)} of the cases pass every check</p>"
        scores = _table(("check", "slice", "rate (95 % Wilson)"), self.scores())
        guess = report.guessing(self.prompt, self.outcomes)
        scores += f"<p>{html.escape(guess)}</p>" if guess else ""
        rows = _table(("case", "checks", "answer", "input"), self.rows()[: self.SHOWN])
        more = "".join(f"<p>{line.strip()}</p>" for line in _more(len(self.outcomes)))
        return f"{title}{scores}{rows}{more}"

    def plot(self) -> Plot:
        """The pass rate per check and slice with 95 % Wilson intervals. `.figure` is matplotlib's object."""
        title = f"cases of {self.prompt.name} that pass, with 95 % Wilson intervals"
        return _intervals(title, [("", NOW, _groups(self.prompt, self.outcomes))])

    def costs(self) -> Plot:
        """Histograms of the tokens of each answer, and of the seconds of answers that were computed on this machine."""
        records = [record for outcome in self.outcomes for record in outcome.records]
        tokens = [float(len(record.tokens)) for record in records]
        seconds = [record.seconds for record in records if record.seconds is not None]
        parts = [("tokens of an answer", tokens), *([("seconds of an answer", seconds)] if seconds else [])]
        figure = _figure(6, 2.2)
        axes = figure.subplots(1, len(parts), squeeze=False)[0]
        lines = []
        for axis, (name, values) in zip(axes, parts, strict=True):
            axis.hist(values, bins=min(20, max(1, len(set(values)))), color=NOW)
            axis.set_xlabel(name)
            axis.set_ylabel("answers")
            ordered = sorted(values)
            lines.append(f"{name}: median {ordered[len(ordered) // 2]:g}, largest {ordered[-1]:g}")
        return Plot(figure, "\n".join(lines))


class Comparison:
    """A draft compared with the promoted prompt or with another draft: verdict, scores, and every changed answer."""

    def __init__(
        self,
        results: Results,
        before: Mapping[str, CaseOutcome],
        verdict: Verdict,
        *,
        names: tuple[str, str] = ("promoted", "draft"),
    ) -> None:
        self.results, self.before, self.verdict, self.names = results, dict(before), verdict, names

    def changed(self) -> list[tuple[str, str, str, str]]:
        """(id, "lost", "gained" or "changed", the answer before, the answer now), in the order of these words."""
        words = {(True, False): "lost", (False, True): "gained"}
        rows = [
            (now.case.id, words.get((old.passed, now.passed), "changed"), old.record.text, now.record.text)
            for now in self.results.outcomes
            for old in [self.before[now.case.id]]
            if old.record.text != now.record.text
        ]
        return sorted(rows, key=lambda row: ("lost", "gained", "changed").index(row[1]))

    def checks(self) -> list[tuple[str, str, str, str, str]]:
        """(check, rate before, rate now, lost, gained)."""
        old, new = (_totals(self.results.prompt, cases) for cases in (self.before.values(), self.results.outcomes))
        return [
            (
                row.check,
                _pass_rate(old[row.check]),
                _pass_rate(new[row.check]),
                str(len(row.lost)),
                str(len(row.gained)),
            )
            for row in self.verdict.compared
            if row.check in old and row.check in new
        ]

    def __str__(self) -> str:
        """The same as plain text, for a terminal."""
        lines = [f"{self.verdict.word}: {self.verdict.reason}", f"now {self.results.rate}"]
        changed = self.changed()
        return "\n".join([*lines, *("  ".join(row) for row in changed[:SHOWN]), *_more(len(changed))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = WORDS[self.verdict.word]
        title = f"<p><b style='color:{colour}'>{self.verdict.word}</b>: {html.escape(self.verdict.reason)}</p>"
        checks = _table(("check", "before", "now", "lost", "gained"), self.checks())
        changed = self.changed()
        body = "".join(
            f"<tr><td style='{FIRST}'>{html.escape(case)}</td><td style='{CELL}'>{word}</td>"
            f"<td style='{CELL}'>{left}</td><td style='{CELL}'>{right}</td></tr>"
            for case, word, before, now in changed[:SHOWN]
            for left, right in [side_by_side(before, now)]
        )
        head = "".join(f"<th style='{CELL}'>{name}</th>" for name in ("case", "", "before", "now"))
        diffs = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if changed else ""
        more = "".join(f"<p>{line.strip()}</p>" for line in _more(len(changed)))
        return f"{title}{checks}{diffs}{more}"

    def plot(self) -> Plot:
        """Both pass rates per check and slice, with intervals."""
        before = [outcome for outcome in self.before.values() if outcome.checks]
        groups = [
            (self.names[0], BEFORE, _groups(self.results.prompt, before)),
            (self.names[1], NOW, _groups(self.results.prompt, self.results.outcomes)),
        ]
        return _intervals("cases that pass, with 95 % Wilson intervals", groups)


CheckGroup = tuple[str, str, list[CheckResult]]
"""A check's name, a slice, and the check's results there."""


def _groups(prompt: Prompt, outcomes: Iterable[CaseOutcome]) -> list[CheckGroup]:
    """The results of each check on each slice, and on all slices together if there are several."""
    cases = list(outcomes)
    slices = sorted({outcome.case.slice for outcome in cases})
    return [
        (evaluator.name, name, [outcome.checks[number] for outcome in cases if name in ("all", outcome.case.slice)])
        for number, evaluator in enumerate(prompt.spec.evaluators)
        for name in [*slices, *(["all"] if len(slices) > 1 else [])]
    ]


def _totals(prompt: Prompt, outcomes: Iterable[CaseOutcome]) -> dict[str, list[CheckResult]]:
    """The results of each check on all slices together, which come last among its groups."""
    return {check: results for check, _, results in _groups(prompt, outcomes)}


def _pass_rate(results: Sequence[CheckResult]) -> str:
    return report.format_rate(sum(result.passed for result in results), len(results))


def _rate(results: Sequence[CheckResult]) -> tuple[float, float, float]:
    """The pass rate with its Wilson interval, or for graded scores their mean with its bootstrap interval."""
    scores = [result.score for result in results]
    if any(score not in (0.0, 1.0) for score in scores):
        low, high = bootstrap(scores)
        return sum(scores) / len(scores), low, high
    passed = sum(result.passed for result in results)
    low, high = wilson(passed, len(results))
    return passed / len(results), low, high


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _intervals(
    title: str,
    series: Sequence[tuple[str, str, list[CheckGroup]]],
) -> Plot:
    """One row per check and slice. Each series has one mark with its interval in a row."""
    labels = [
        f"{check}, {name}" if name != "all" or len(series[0][2]) > 1 else check for check, name, _ in series[0][2]
    ]
    figure = _figure(6.5, 0.9 + 0.4 * len(labels) * max(1, 0.7 * len(series)))
    axes = figure.subplots()
    lines = []
    for number, (name, colour, groups) in enumerate(series):
        for row, (check, slice_, results) in enumerate(groups):
            value, low, high = _rate(results)
            height = row + 0.18 * (number - (len(series) - 1) / 2) * 2
            axes.errorbar(
                value, height, xerr=[[value - low], [high - value]], fmt="o", capsize=4, color=colour,
                label=name if row == 0 and name else None,
            )  # fmt: skip
            lines.append(f"{name + ' ' if name else ''}{check}, {slice_}: {value:.3f} ({low:.3f} to {high:.3f})")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    if len(series) > 1:
        axes.legend(loc="best", frameon=False)
    return Plot(figure, "\n".join(lines))


def side_by_side(before: str, now: str) -> tuple[str, str]:
    """Both texts as HTML, compared word by word. Removed words are struck on the left, new ones marked on the right."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, now))
    left, right = [], []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = (html.escape("".join(words)) for words in (old[a:b], new[c:d]))
        same = kind == "equal"
        left.append(gone if same or not gone else f"<del style='background:#ffe3e0'>{gone}</del>")
        right.append(come if same or not come else f"<ins style='background:#dff5e3'>{come}</ins>")
    return "".join(left), "".join(right)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of escaped cells."""
    heads = "".join(f"<th style='{CELL}'>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='{CELL if at else FIRST}'>{html.escape(cell)}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _more(n: int) -> list[str]:
    return [f"  and {n - SHOWN} more"] if n > SHOWN else []
