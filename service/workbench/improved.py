"""The display of an improved draft: sentences, the diff, and the score against the cost.

In: an improvement and its judgement. Out: an object that displays as HTML in a notebook and as text in a terminal.
Not here: the search (`evaluation.improve`).
"""

from __future__ import annotations

import html

from service.evaluation.improve import DecidingResult, Improvement
from service.prompts.file import Prompt
from service.workbench.plot import BEFORE, NOW, Plot, new_figure


class ImprovedDraft:
    """A search's result. `draft` is the better draft, or the same one if nothing better was shown.

    `search` has the numbers, and `deciding` the judgement on deciding cases, None without them.
    """

    def __init__(self, search: Improvement, deciding: DecidingResult | None = None) -> None:
        self.search, self.deciding = search, deciding

    @property
    def draft(self) -> Prompt:
        """The better draft. Save it with `bench.save`."""
        return self.search.better

    @property
    def diff(self) -> str:
        """The change of the file as a unified diff."""
        return self.search.diff

    def __repr__(self) -> str:
        """Sentences and the diff, for a terminal."""
        judged = [str(self.deciding)] if self.deciding is not None else []
        return "\n".join([str(self.search), *judged, self.diff]).rstrip()

    __str__ = __repr__

    def _repr_html_(self) -> str:
        sentences = str(self.search).splitlines() + ([str(self.deciding)] if self.deciding is not None else [])
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        diff = f"<details><summary>diff</summary><pre>{html.escape(self.diff)}</pre></details>" if self.diff else ""
        return f"<ul>{items}</ul>{diff}"

    def plot(self) -> Plot:
        """The gain of every candidate over the draft, and the best one so far, against the answers asked so far."""
        figure = new_figure(5.4, 3.2)
        axes = figure.subplots()
        trials = self.search.trials
        axes.scatter([trial.answers for trial in trials], [trial.gain for trial in trials], s=8, color=BEFORE)
        course = self.search.course()
        axes.step([answers for answers, _ in course], [gain for _, gain in course], where="post", color=NOW)
        axes.axhline(0, color="#888888", linewidth=1, linestyle="--")
        axes.set_xlabel("answers")
        axes.set_ylabel("mean score above the draft's")
        lines = [f"after {answers} answers: {gain:+.3f}" for answers, gain in course]
        return Plot(figure, "\n".join(lines))
