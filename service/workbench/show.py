"""What the bench shows: results with the failures first, comparisons side by side, plots as static pictures.

What comes in: outcomes and verdicts. What goes out: objects that display as HTML in a notebook (and stay in it, and in
what nbconvert makes of it, without scripts or widgets) and as plain text in a terminal. Nothing is computed here but
what is drawn. What a model said is text, never markup.
"""

from __future__ import annotations

import difflib
import html
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service.evaluation import report
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import bootstrap, wilson
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt

SHOWN = 12  # rows of a table
NOW, BEFORE = "#0b6176", "#b07d2b"
CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"
FIRST = "text-align:left;vertical-align:top;white-space:nowrap"
WORDS = {"PASS": "#1a7f37", "REGRESSION": "#b42318", "NOT ENOUGH EVIDENCE": "#8a6d00"}


class Plot:
    """A matplotlib figure that displays as a picture in any notebook, whether or not pyplot was imported.

    `text` says the same in words, for a terminal.
    """

    def __init__(self, figure: Any, text: str) -> None:
        self.figure, self.text = figure, text

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=110)
        return data.getvalue()

    def __repr__(self) -> str:
        """For a terminal."""
        return self.text


class Results:
    """What a prompt did on cases. Displays as scores and a table of cases, failures first."""

    SHOWN = SHOWN

    def __init__(self, prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> None:
        self.prompt = prompt
        self.outcomes = list(outcomes)

    @property
    def passed(self) -> int:
        """Cases that pass every check."""
        return sum(outcome.passed for outcome in self.outcomes)

    @property
    def rate(self) -> str:
        """The pass rate with its Wilson interval."""
        return report.format_rate(self.passed, len(self.outcomes)) if self.outcomes else "no cases"

    def scores(self) -> list[tuple[str, str, str]]:
        """(check, slice, rate with its interval), each slice and, where there are several, all of them together."""
        return [
            (check, part, report.format_rate(sum(each.passed for each in found), len(found)))
            for check, part, found in _groups(self.prompt, self.outcomes)
        ]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(id, ok or the reason, the answer, the input's beginning), failures first."""
        ordered = sorted(self.outcomes, key=lambda outcome: outcome.passed)
        return [
            (
                each.case.id,
                "ok" if each.passed else "; ".join(one.reason for one in each.checks if not one.passed),
                each.record.text,
                " ".join(str(value) for value in each.case.inputs(self.prompt).values())[:80],
            )
            for each in ordered
        ]

    def __str__(self) -> str:
        """For a terminal."""
        scores = [f"  {check} ({part}): {rate}" for check, part, rate in self.scores()]
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
        """Pass rate per check and slice with 95 % Wilson intervals, as a picture; `.figure` is matplotlib's."""
        title = f"cases of {self.prompt.name} that pass, with 95 % Wilson intervals"
        return _intervals(title, [("", NOW, _groups(self.prompt, self.outcomes))], _rate)

    def costs(self) -> Plot:
        """Histograms of tokens per answer and, for what was computed on this machine, of seconds."""
        records = [record for each in self.outcomes for record in each.records]
        tokens = [float(len(record.tokens)) for record in records]
        seconds = [record.seconds for record in records if record.seconds is not None]
        parts = [("tokens of an answer", tokens), *([("seconds of an answer", seconds)] if seconds else [])]
        figure = _figure(6, 2.2)
        axes = figure.subplots(1, len(parts), squeeze=False)[0]
        said = []
        for place, (name, values) in zip(axes, parts, strict=True):
            place.hist(values, bins=min(20, max(1, len(set(values)))), color=NOW)
            place.set_xlabel(name)
            place.set_ylabel("answers")
            ordered = sorted(values)
            said.append(f"{name}: median {ordered[len(ordered) // 2]:g}, largest {ordered[-1]:g}")
        return Plot(figure, "\n".join(said))


class Comparison:
    """A draft beside the promoted prompt, or another draft: the verdict, both scores, and each answer that changed."""

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
        """(id, what happened, the answer before, the answer now); what was lost first, then what was gained."""
        words = {(True, False): "lost", (False, True): "gained"}
        found = [
            (
                each.case.id,
                words.get((self.before[each.case.id].passed, each.passed), "changed"),
                self.before[each.case.id].record.text,
                each.record.text,
            )
            for each in self.results.outcomes
            if self.before[each.case.id].record.text != each.record.text
        ]
        return sorted(found, key=lambda row: ("lost", "gained", "changed").index(row[1]))

    def checks(self) -> list[tuple[str, str, str, str, str]]:
        """(check, rate before, rate now, lost, gained)."""
        old = {
            check: found
            for check, part, found in _groups(self.results.prompt, self.before.values())
            if part in ("all", *_only_slice(self.before.values()))
        }
        new = {
            check: found
            for check, part, found in _groups(self.results.prompt, self.results.outcomes)
            if part in ("all", *_only_slice(self.results.outcomes))
        }
        counts = {each.check: each for each in self.verdict.compared}
        return [
            (name, _said(old[name]), _said(new[name]), str(len(counts[name].lost)), str(len(counts[name].gained)))
            for name in new
            if name in old and name in counts
        ]

    def __str__(self) -> str:
        """For a terminal."""
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
        before = [each for each in self.before.values() if each.checks]
        groups = [
            (self.names[0], BEFORE, _groups(self.results.prompt, before)),
            (self.names[1], NOW, _groups(self.results.prompt, self.results.outcomes)),
        ]
        return _intervals("cases that pass, with 95 % Wilson intervals", groups, _rate)


CheckGroup = tuple[str, str, list[Any]]
"""Check, slice, and the check's outcomes there."""


def _groups(prompt: Prompt, outcomes: Iterable[CaseOutcome]) -> list[CheckGroup]:
    """The outcomes of each check on each slice, and on all of them where there are several."""
    given = list(outcomes)
    slices = sorted({outcome.case.slice for outcome in given})
    return [
        (evaluator.name, part, [each.checks[number] for each in given if part in ("all", each.case.slice)])
        for number, evaluator in enumerate(prompt.spec.evaluators)
        for part in [*slices, *(["all"] if len(slices) > 1 else [])]
    ]


def _only_slice(outcomes: Iterable[CaseOutcome]) -> tuple[str, ...]:
    slices = {outcome.case.slice for outcome in outcomes}
    return tuple(slices) if len(slices) == 1 else ()


def _said(found: Sequence[Any]) -> str:
    return report.format_rate(sum(each.passed for each in found), len(found))


def _rate(found: Sequence[Any]) -> tuple[float, float, float]:
    """Share of cases that pass, with its interval; for graded checks the mean score with a bootstrapped one."""
    scores = [each.score for each in found]
    if any(score not in (0.0, 1.0) for score in scores):
        low, high = bootstrap(scores)
        return sum(scores) / len(scores), low, high
    passed = sum(each.passed for each in found)
    low, high = wilson(passed, len(found))
    return passed / len(found), low, high


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _intervals(
    title: str,
    series: Sequence[tuple[str, str, list[CheckGroup]]],
    of: Callable[[Sequence[Any]], tuple[float, float, float]],
) -> Plot:
    """One row per check and slice, one mark with its interval per series."""
    labels = [
        f"{check}, {part}" if part != "all" or len(series[0][2]) > 1 else check for check, part, _ in series[0][2]
    ]
    figure = _figure(6.5, 0.9 + 0.4 * len(labels) * max(1, 0.7 * len(series)))
    axes = figure.subplots()
    said = []
    for number, (name, colour, groups) in enumerate(series):
        for row, (check, part, found) in enumerate(groups):
            value, low, high = of(found)
            place = row + 0.18 * (number - (len(series) - 1) / 2) * 2
            axes.errorbar(
                value, place, xerr=[[value - low], [high - value]], fmt="o", capsize=4, color=colour,
                label=name if row == 0 and name else None,
            )  # fmt: skip
            said.append(f"{name + ' ' if name else ''}{check}, {part}: {value:.3f} ({low:.3f} to {high:.3f})")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    if len(series) > 1:
        axes.legend(loc="best", frameon=False)
    return Plot(figure, "\n".join(said))


def side_by_side(before: str, now: str) -> tuple[str, str]:
    """Both texts as HTML, word by word: what is gone is struck on the left, what is new is marked on the right."""
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
