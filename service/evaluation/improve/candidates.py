"""Candidates of a search for examples, and how one is drawn or changed.

In: the size of the space, a random generator. Out: candidates.
Not here: messages, cases and scores. An example is a number, and so is a wording.

A computed prefix is reused, so a candidate that begins like an earlier one is cheap. Draws therefore come as chains, in
which each candidate continues the one before it. Changes prefer the last examples, which also count most for the answer
(T. Z. Zhao et al., "Calibrate before use", ICML 2021, section 3).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DraftCandidate:
    """A wording, the examples in their order, and whether the calibration is fitted. If not, it is the draft's."""

    wording: int
    examples: tuple[int, ...]
    fitted: bool = False


@dataclass(frozen=True)
class Space:
    """All candidates. `labels` has the label of each example, which a draw balances.

    A candidate has at most `most` examples. `fitted` says that candidates have a fitted calibration.
    """

    labels: Sequence[str]
    most: int
    wordings: int = 1
    fitted: bool = False

    def chain(self, draw: random.Random, models: Sequence[DraftCandidate] = ()) -> list[DraftCandidate]:
        """Candidates with 1, 2, 4, ... examples, each of which continues the one before it.

        The labels take turns in a random order, so that every label has nearly as many examples. Three of four chains
        take the wording of one of `models`.
        """
        order = self._balanced(draw)[: self.most]
        wording = draw.randrange(self.wordings)
        if models and draw.random() < 0.75:
            wording = draw.choice(list(models)).wording
        sizes = sorted({min(2**step, len(order)) for step in range(len(order).bit_length() + 1)})
        return [DraftCandidate(wording, tuple(order[:size]), self.fitted) for size in sizes]

    def neighbour(self, of: DraftCandidate, draw: random.Random) -> DraftCandidate:
        """A candidate with one change: an example replaced, added, moved or dropped, or another wording.

        It is the same candidate if the chosen change is impossible.
        """
        examples = list(of.examples)
        unused = [index for index in range(len(self.labels)) if index not in of.examples]
        moves = ["replace", "replace", "add", "move", "drop"] + ["word"] * (self.wordings > 1)
        move = draw.choice(moves)
        at = max(draw.randrange(len(examples)), draw.randrange(len(examples))) if examples else 0
        if move == "add" and unused and len(examples) < self.most:
            examples.append(draw.choice(unused))
        elif move == "replace" and unused and examples:
            alike = [index for index in unused if self.labels[index] == self.labels[examples[at]]]
            examples[at] = draw.choice(alike if alike and draw.random() < 0.7 else unused)
        elif move == "move" and len(examples) > 1:
            examples.insert(draw.randrange(len(examples)), examples.pop(at))
        elif move == "drop" and examples:
            examples.pop(at)
        elif move == "word":
            return DraftCandidate(draw.randrange(self.wordings), of.examples, self.fitted)
        return DraftCandidate(of.wording, tuple(examples), self.fitted)

    def _balanced(self, draw: random.Random) -> list[int]:
        """Every example once. The labels take turns."""
        by_label: dict[str, list[int]] = {}
        for index, label in enumerate(self.labels):
            by_label.setdefault(label, []).append(index)
        for members in by_label.values():
            draw.shuffle(members)
        order = []
        while by_label:
            for label in draw.sample(sorted(by_label), len(by_label)):
                order.append(by_label[label].pop())
                if not by_label[label]:
                    del by_label[label]
        return order
