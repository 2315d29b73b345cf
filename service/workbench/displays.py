"""Tables and plots of classes, fields and probabilities, and one table of many drafts and models.

In: results, and the numbers of `evaluation`. Out: objects that display as HTML in a notebook and as plain text in a
terminal.
Not here: the numbers (`evaluation.classes`, `evaluation.fields`, `evaluation.calibration`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from service.evaluation.calibration import (
    CoveragePoint,
    ReliabilityBin,
    ScoredAnswer,
    coverage_curve,
    expected_calibration_error,
    reliability,
)
from service.evaluation.cases import shortened
from service.evaluation.classes import ConfusionMatrix
from service.workbench.plot import BEFORE, NOW, Plot, new_figure

CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"
WIDEST = 40  # characters of a column in a terminal


class DisplayTable:
    """A table of texts with a note below it."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
        self.head, self.rows, self.note = tuple(head), [tuple(row) for row in rows], note

    def __repr__(self) -> str:
        """Aligned columns, for a terminal."""
        lines = [[shortened(value, WIDEST) for value in row] for row in (self.head, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [
            "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in lines
        ]
        return "\n".join([*texts, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th style='{CELL}'>{html.escape(name)}</th>" for name in self.head)
        rows = "".join(
            "<tr>" + "".join(f"<td style='{CELL}'>{html.escape(value)}</td>" for value in row) + "</tr>"
            for row in self.rows
        )
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{note}"


class ConfusionTable(DisplayTable):
    """How often each expected label, a row, got each answer, a column. `matrix` has the numbers."""

    def __init__(self, matrix: ConfusionMatrix) -> None:
        rows = [
            (label, *(str(count) if count else "" for count in counts))
            for label, counts in zip(matrix.labels, matrix.counts, strict=True)
        ]
        note = f"Macro F1 {100 * matrix.macro_f1:.1f} %. {matrix.remark}".strip()
        super().__init__(("expected \\ answered", *matrix.columns), rows, note)
        self.matrix = matrix

    def plot(self) -> Plot:
        """A picture: the darker, the larger the share of the row."""
        labels, columns, counts = self.matrix.labels, self.matrix.columns, self.matrix.counts
        figure = new_figure(1.8 + 0.7 * len(columns), 1.4 + 0.45 * len(labels))
        axes = figure.subplots()
        shares = [[count / max(1, sum(row)) for count in row] for row in counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("answered")
        axes.set_ylabel("expected")
        for at, row in enumerate(counts):
            for column, count in enumerate(row):
                colour = "white" if shares[at][column] > 0.5 else "black"
                axes.text(column, at, str(count), ha="center", va="center", color=colour)
        return Plot(figure, repr(self))


def reliability_plot(answers: Sequence[ScoredAnswer]) -> Plot:
    """The share of right answers against their probability, with 95 % Wilson intervals. The diagonal is perfect."""
    bins: list[ReliabilityBin] = reliability(answers)
    figure = new_figure(4.2, 3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
    for row in bins:
        errors = [[row.accuracy - row.interval.low], [row.interval.high - row.accuracy]]
        axes.errorbar(row.confidence, row.accuracy, yerr=errors, fmt="o", capsize=3, color=NOW)
    _axes(axes, "probability of the answer", "share of right answers")
    lines = [
        f"{row.low:.1f} to {row.high:.1f}: {row.n} answers, mean probability {row.confidence:.3f}, "
        f"right {row.accuracy:.3f} ({row.interval.low:.3f} to {row.interval.high:.3f})"
        for row in bins
    ]
    return Plot(figure, "\n".join([f"expected calibration error {expected_calibration_error(answers):.3f}", *lines]))


def coverage_plot(answers: Sequence[ScoredAnswer], n: int) -> Plot:
    """Accuracy against the share of cases that get an answer, as the threshold of the probability rises."""
    curve: list[CoveragePoint] = coverage_curve(answers, n)
    figure = new_figure(4.8, 3.4)
    axes = figure.subplots()
    shares = [point.coverage for point in curve]
    axes.plot(shares, [point.accuracy for point in curve], color=NOW)
    axes.fill_between(
        shares,
        [point.interval.low for point in curve],
        [point.interval.high for point in curve],
        color=BEFORE,
        alpha=0.2,
    )
    _axes(axes, "share of cases that are answered", "share of right answers")
    step = max(1, len(curve) // 10)
    lines = [
        f"from {point.threshold:.3f}: {100 * point.coverage:.1f} % answered, {100 * point.accuracy:.1f} % of them right"
        for point in curve[::step]
    ]
    return Plot(figure, "\n".join(lines))


def _axes(axes: Any, x: str, y: str) -> None:
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
