"""The displays of the workbench: results with the failures first, comparisons side by side, plots as static pictures.

In: outcomes and verdicts. Out: objects that display as HTML in a notebook and as plain text in a terminal. The HTML
needs no scripts or widgets, so it stays in a saved notebook and in the output of nbconvert. A model's answer is shown
as text, never as markup.
Not here: statistics (`evaluation.statistics`).
"""

from __future__ import annotations

import copy
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.errors import EvaluationError
from service.evaluation import report, result_rows
from service.evaluation.calibration import ScoredAnswer, scored_answers
from service.evaluation.checks import CheckResult
from service.evaluation.classes import ConfusionMatrix, confusion
from service.evaluation.fields import field_rates
from service.evaluation.report_details import CLASS_HEAD, class_row, input_text, percent
from service.evaluation.runner import CaseOutcome
from service.evaluation.side_by_side import side_by_side
from service.evaluation.statistics import bootstrap, wilson
from service.evaluation.verdict import Verdict
from service.prompts.file import Prompt
from service.workbench.displays import ConfusionTable, DisplayTable, coverage_plot, reliability_plot
from service.workbench.plot import BEFORE, NOW, Plot, new_figure

SHOWN = 12  # rows of a table
CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"
FIRST = "text-align:left;vertical-align:top;white-space:nowrap"
WORDS = {
    "PASS": "#1a7f37", "REGRESSION": "#b42318", "BELOW MINIMUM": "#b42318", "NO BETTER THAN GUESSING": "#b42318",
    "NOT ENOUGH EVIDENCE": "#8a6d00",
}  # fmt: skip


class Results:
    """The results of a prompt on cases. Displays as scores and a table of cases, with the failures first."""

    SHOWN = SHOWN

    def __init__(self, prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> None:
        self.prompt = prompt
        self.outcomes = list(outcomes)

    @property
    def passed(self) -> int:
        """The number of judged cases that pass every check."""
        return sum(outcome.passed for outcome in self.outcomes if outcome.judged)

    @property
    def rate(self) -> str:
        """The pass rate with its Wilson interval."""
        if not self.prompt.spec.evaluators:
            return "not judged, because there are no checks"
        judged = sum(outcome.judged for outcome in self.outcomes)
        return report.format_rate(self.passed, judged) if judged else "no cases"

    def scores(self) -> list[tuple[str, str, str]]:
        """(check, slice, rate with its interval) for each slice, and for all slices together if there are several."""
        return [(check, name, _pass_rate(results)) for check, name, results in _groups(self.prompt, self.outcomes)]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(id, "ok" or the reasons, the answer, the first 80 characters of the inputs), with the failures first."""
        return [
            (
                outcome.case.id,
                _verdict(outcome),
                outcome.record.text,
                input_text(self.prompt, outcome, 80),
            )
            for outcome in sorted(self.outcomes, key=lambda outcome: outcome.passed)
        ]

    def __str__(self) -> str:
        """The same as plain text, for a terminal."""
        scores = [f"  {check} ({name}): {rate}" for check, name, rate in self.scores()]
        scores += [f"  {guess}"] if (guess := report.guessing(self.prompt, self.outcomes)) else []
        cases = ["  ".join(row) for row in self.rows()[: self.SHOWN]]
        return "\n".join([f"{self.prompt.name}: {self.rate}", *scores, *cases, *_more(len(self.outcomes), self.SHOWN)])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return report.markdown(self.prompt, self.outcomes)

    def _repr_html_(self) -> str:
        rate = f"{self.rate} of the cases pass every check" if self.prompt.spec.evaluators else self.rate
        title = f"<p><b>{html.escape(self.prompt.name)}</b>: {html.escape(rate)}</p>"
        rates = self.scores()
        scores = _table(("check", "slice", "rate (95 % Wilson)"), rates) if rates else ""
        guess = report.guessing(self.prompt, self.outcomes)
        scores += f"<p>{html.escape(guess)}</p>" if guess else ""
        rows = _table(("case", "checks", "answer", "input"), self.rows()[: self.SHOWN])
        more = "".join(f"<p>{line.strip()}</p>" for line in _more(len(self.outcomes), self.SHOWN))
        return f"{title}{scores}{rows}{more}"

    def show(self, rows: int | None = None) -> Results:
        """The same results with this number of rows in the display, or with all of them."""
        other = copy.copy(self)
        other.SHOWN = len(self.outcomes) if rows is None else rows
        return other

    def frame(self) -> Any:
        """A pandas frame with one row per answer: inputs, expected answer, answer, checks, probabilities.

        `to_csv` and `to_parquet` write it. Raises EvaluationError if pandas is not installed.
        """
        return result_rows.frame(result_rows.table_rows(self.prompt, self.outcomes))

    def confusion(self) -> ConfusionTable:
        """How often each label got each answer. Also `.plot()` and `.matrix`. Raises EvaluationError without labels."""
        return ConfusionTable(self._matrix())

    def classes(self) -> DisplayTable:
        """Precision, recall and F1 of each class with 95 % intervals. Raises EvaluationError without labels."""
        matrix = self._matrix()
        note = f"Macro F1 {100 * matrix.macro_f1:.1f} %. {matrix.remark}".strip()
        return DisplayTable(CLASS_HEAD, [class_row(score) for score in matrix.scores], note)

    def fields(self) -> DisplayTable:
        """The pass rate of each field that a `json` check compares.

        Raises:
            EvaluationError: if no check compares two or more fields.
        """
        rates = field_rates(self.prompt, self.outcomes)
        if not rates:
            raise EvaluationError(
                f"{self.prompt.name} has no json check that compares two or more fields.",
                key="evaluators",
                remedy="Add json: {equals: {/FIELD: '{{FIELD}}', ...}}.",
            )
        rows = []
        for rate in rates:
            share = percent(rate.right / rate.n, wilson(rate.right, rate.n))
            rows.append((rate.pointer, rate.check, str(rate.right), str(rate.n), share))
        return DisplayTable(("field", "check", "right", "of", "rate (95 % Wilson)"), rows)

    def reliability(self) -> Plot:
        """Shares of right answers by their probability, and the expected calibration error. Needs choices."""
        return reliability_plot(self.scored())

    def coverage(self) -> Plot:
        """Accuracy against the share of cases that are answered, for every threshold, for a prompt with choices."""
        return coverage_plot(self.scored(), len(self.outcomes))

    def _matrix(self) -> ConfusionMatrix:
        matrix = confusion(self.prompt, self.outcomes)
        if matrix is None:
            raise EvaluationError(
                f"{self.prompt.name} has no labels: its checks expect no one of a few answers.",
                key="evaluators",
                remedy="Add string: {equals: '{{expected}}'}.",
            )
        return matrix

    def scored(self) -> list[ScoredAnswer]:
        """The probability of each answered label, and whether it is right.

        Raises:
            EvaluationError: if no answer has probabilities and an expected label.
        """
        answers = scored_answers(self.prompt, self.outcomes)
        if not answers:
            raise EvaluationError(
                f"{self.prompt.name} has no answers with probabilities and expected labels.",
                key="choices",
                remedy="Use responseFormat: choice, with string: {equals: '{{expected}}'}.",
            )
        return answers

    def plot(self) -> Plot:
        """The pass rate per check and slice with 95 % Wilson intervals. `.figure` is matplotlib's object.

        Raises:
            EvaluationError: if no check judges a case.
        """
        groups = _groups(self.prompt, self.outcomes)
        if not groups:
            raise EvaluationError(f"{self.prompt.name} has no check that judges a case.", key="evaluators")
        return _intervals(f"cases of {self.prompt.name} that pass, with 95 % Wilson intervals", [("", NOW, groups)])

    def costs(self) -> Plot:
        """Histograms of the tokens of each answer, and of the seconds of answers that were computed on this machine."""
        records = [record for outcome in self.outcomes for record in outcome.records]
        tokens = [float(len(record.tokens)) for record in records]
        seconds = [record.seconds for record in records if record.seconds is not None]
        parts = [("tokens of an answer", tokens), *([("seconds of an answer", seconds)] if seconds else [])]
        figure = new_figure(6, 2.2)
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

    def groups(self) -> list[tuple[str, str, str, str]]:
        """(check with its class or slice, lost, gained, of), for each class and slice that lost or gained a case."""
        rows = [row for row in self.verdict.groups if row.lost or row.gained]
        return [(row.name, str(len(row.lost)), str(len(row.gained)), str(row.n)) for row in rows]

    def __str__(self) -> str:
        """The same as plain text, for a terminal."""
        lines = [f"{self.verdict.word}: {self.verdict.reason}", f"now {self.results.rate}"]
        lines += [f"  {name}: {lost} lost, {gained} gained of {n}" for name, lost, gained, n in self.groups()]
        changed = self.changed()
        return "\n".join([*lines, *("  ".join(row) for row in changed[:SHOWN]), *_more(len(changed))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = WORDS[self.verdict.word]
        title = f"<p><b style='color:{colour}'>{self.verdict.word}</b>: {html.escape(self.verdict.reason)}</p>"
        checks = _table(("check", "before", "now", "lost", "gained"), self.checks())
        if groups := self.groups():
            checks += _table(("check (class or slice)", "lost", "gained", "of"), groups)
        changed = self.changed()
        inputs = {now.case.id: input_text(self.results.prompt, now, 80) for now in self.results.outcomes}
        body = "".join(
            f"<tr><td style='{FIRST}'>{html.escape(case)}</td><td style='{CELL}'>{word}</td>"
            f"<td style='{CELL}'>{left}</td><td style='{CELL}'>{right}</td>"
            f"<td style='{CELL}'>{html.escape(inputs[case])}</td></tr>"
            for case, word, before, now in changed[:SHOWN]
            for left, right in [side_by_side(before, now)]
        )
        head = "".join(f"<th style='{CELL}'>{name}</th>" for name in ("case", "", "before", "now", "input"))
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


class DraftTable(DisplayTable):
    """One row for each draft and model. `results` has their results by (name, model)."""

    def __init__(self, results: Mapping[tuple[str, str], Results]) -> None:
        self.results = dict(results)
        checks = list(dict.fromkeys(check for one in results.values() for check in _totals(one.prompt, one.outcomes)))
        rows = []
        for (name, model), one in sorted(results.items(), key=lambda item: -item[1].passed):
            totals = _totals(one.prompt, one.outcomes)
            tokens = [len(record.tokens) for outcome in one.outcomes for record in outcome.records]
            prompts = [record.prompt_tokens or 0 for outcome in one.outcomes for record in outcome.records]
            rates = [_pass_rate(totals[check]) if check in totals else "-" for check in checks]
            rows.append(
                (name, model, one.rate, *(rates if len(checks) > 1 else []), str(sum(prompts)), str(sum(tokens)))
            )
        head = ("draft", "model", "passes every check", *(checks if len(checks) > 1 else []), "prompt tokens", "tokens")
        super().__init__(head, rows)


def _verdict(outcome: CaseOutcome) -> str:
    """ "ok", the reasons of the failed checks, or "not judged" for a case without checks."""
    return "; ".join(outcome.reasons) or ("ok" if outcome.judged else "not judged")


CheckGroup = tuple[str, str, list[CheckResult]]
"""A check's name, a slice, and the check's results there."""


def _groups(prompt: Prompt, outcomes: Iterable[CaseOutcome]) -> list[CheckGroup]:
    """The results of each check on each slice, and on all slices together if there are several."""
    slices = report.slices(list(outcomes))
    groups = [(check, name, results) for name, chosen in slices for check, results in report.by_check(prompt, chosen)]
    order = [check.name for check in prompt.spec.evaluators]
    return sorted(groups, key=lambda group: order.index(group[0]))


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


def _intervals(
    title: str,
    series: Sequence[tuple[str, str, list[CheckGroup]]],
) -> Plot:
    """One row per check and slice. Each series has one mark with its interval in a row."""
    rows = list(dict.fromkeys((check, name) for _, _, groups in series for check, name, _ in groups))
    labels = [f"{check}, {name}" if name != "all" or len(rows) > 1 else check for check, name in rows]
    figure = new_figure(6.5, 0.9 + 0.4 * len(labels) * max(1, 0.7 * len(series)))
    axes = figure.subplots()
    lines = []
    for number, (name, colour, groups) in enumerate(series):
        for check, slice_, results in groups:
            value, low, high = _rate(results)
            height = rows.index((check, slice_)) + 0.18 * (number - (len(series) - 1) / 2) * 2
            axes.errorbar(
                value, height, xerr=[[value - low], [high - value]], fmt="o", capsize=4, color=colour,
                label=name if (check, slice_) == groups[0][:2] and name else None,
            )  # fmt: skip
            lines.append(f"{name + ' ' if name else ''}{check}, {slice_}: {value:.3f} ({low:.3f} to {high:.3f})")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    if len(series) > 1:
        axes.legend(loc="best", frameon=False)
    return Plot(figure, "\n".join(lines))


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


def _more(n: int, most: int = SHOWN) -> list[str]:
    return [f"  and {n - most} more"] if n > most else []
