"""A first look at data: rows, classes, duplicates, labels that are probably one class, missing values.

In: cases, and notes about their rows. Out: a few lines for people.
Not here: rows that one prompt cannot take (`bad_rows`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import short_name
from service.evaluation.bad_rows import folded
from service.evaluation.cases import Case
from service.evaluation.label_columns import labels_of, meant
from service.evaluation.tables import NULL_WORDS, listed
from service.prompts.conditions import usable
from service.prompts.fingerprint import canonical
from service.prompts.render import text_of

SHOWN = 20  # classes
EXPECTED = ("expected", "label", "target", "class", "category")
"""Names of a column that probably holds the label, the likeliest first."""


@dataclass(frozen=True)
class DataProfile:
    """The numbers and the sentences. `classes` counts the labels, the most frequent first. Free answers have none."""

    n: int
    columns: tuple[str, ...]
    expected: str | None
    classes: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    free: str = ""  # the reason why the expected values are free answers

    def __str__(self) -> str:
        """The lines, for a terminal and a notebook."""
        lines = [f"{self.n} cases: {', '.join(self.columns)}"]
        if self.classes:
            parts = [
                f"{short_name(label)} {count} ({100 * count / self.n:.1f} %)" for label, count in self.classes[:SHOWN]
            ]
            more = [f"and {len(self.classes) - SHOWN} more"] if len(self.classes) > SHOWN else []
            classes = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
            lines.append(f"{classes} of {self.expected}: {', '.join([*parts, *more])}")
        elif self.expected is not None:
            lines.append(f"{self.expected} holds free answers: {self.free}")
        return "\n".join([*lines, *self.notes])


def profile(cases: Sequence[Case], notes: Sequence[str] = (), expected: str | None = None) -> DataProfile:
    """The profile of cases. `expected` is the value with the label, by default one of the usual names."""
    names = list(dict.fromkeys(name for case in cases for name in case.values))
    expected = expected or next((name for name in EXPECTED if name in names), None)
    labels = [(case.name, case.values.get(expected)) for case in cases] if expected is not None else []
    counts, free = labels_of(cases, expected) if expected is not None else (Counter[str](), "")
    classes = tuple(counts.most_common())
    told = [
        *notes, *_missing(cases, names, notes), *_alike(classes, labels), *_once(classes, labels),
        *_same_inputs(cases, expected),
    ]  # fmt: skip
    return DataProfile(len(cases), tuple(names), expected, classes, tuple(told), free)


def _missing(cases: Sequence[Case], names: Sequence[str], notes: Sequence[str]) -> list[str]:
    sentences = []
    for name in names:
        if name in ("id", "slice"):
            continue
        places = [case.name for case in cases if not usable(case.values.get(name)) or case.values.get(name) == ""]
        if places:
            sentences.append(f"{name} is missing or empty in {len(places)}: {listed(places)}.")
        words = [case.name for case in cases if str(case.values.get(name)).strip().lower() in NULL_WORDS - {"none"}]
        if words and not any(note.startswith(f"{short_name(name)} is the text") for note in notes):
            sentences.append(f"{name} is a text such as NaN in {len(words)}: {listed(words)}.")
    return sentences


def _alike(classes: Sequence[tuple[str, int]], labels: Sequence[tuple[str, Any]]) -> list[str]:
    """Labels that differ in case or blanks only. The most frequent is probably meant."""
    groups: dict[str, list[str]] = {}
    for label, _ in classes:
        groups.setdefault(folded(label), []).append(label)
    sentences = []
    for frequent, *others in (group for group in groups.values() if len(group) > 1):
        for other in others:
            places = _places(labels, other)
            sentences.append(
                f"{other!r} differs from {frequent!r} in case or blanks only, in {len(places)}: {listed(places)}."
            )
    return sentences


def _once(classes: Sequence[tuple[str, int]], labels: Sequence[tuple[str, Any]]) -> list[str]:
    """Labels that may be mistyped: of one row, or nearly those of many. Those that `_alike` names are left out."""
    known, counts = Counter(folded(label) for label, _ in classes), dict(classes)
    sentences = []
    for label, count in classes:
        near = meant(label, counts) if known[folded(label)] == 1 else None
        if near is not None or (count == 1 and known[folded(label)] == 1):
            places = listed(_places(labels, label))
            wrong = f"mistyped for {short_name(near)}" if near is not None else "mistyped"
            sentences.append(f"{short_name(label)} may be {wrong}, in {count}: {places}.")
    return sentences


def _places(labels: Sequence[tuple[str, Any]], text: str) -> list[str]:
    """The names of the cases with the label that is written so."""
    return [name for name, label in labels if usable(label) and text_of(label) == text]


def _same_inputs(cases: Sequence[Case], expected: str | None) -> list[str]:
    """Cases with equal inputs under different ids: repeated ones count twice, and others contradict each other."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        inputs = {name: value for name, value in case.values.items() if name not in ("id", "slice", expected)}
        if inputs:
            groups.setdefault(canonical(inputs), []).append(case)
    repeated = [case.name for group in groups.values() for case in group[1:]]
    contradicting = [
        " and ".join(case.name for case in group)
        for group in groups.values()
        if expected is not None and len({canonical(case.values.get(expected)) for case in group}) > 1
    ]
    have = "1 case has" if len(repeated) == 1 else f"{len(repeated)} cases have"
    sentences = [f"{have} the inputs of an earlier one: {listed(repeated)}."] if repeated else []
    if contradicting:
        sentences.append(f"Equal inputs have different expected values: {listed(contradicting)}.")
    return sentences
