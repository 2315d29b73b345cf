"""Labels or free answers: whether the values of a column are a small closed set.

In: cases and the name of a value. Out: how often each label occurs, or the reason why the values are free answers.
Not here: the draft that follows from it (`new_draft`), and the other sentences about data (`data_profile`).

A choice prompt can give no answer besides its labels, so a set that is not closed makes a draft that must fail. Rows
whose value occurs once tell how open the set is: their share estimates the chance that the next row has a new value
(I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40 (1953)
237-264). Values that are words of their own inputs, such as names, are an extraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from service.evaluation.bad_rows import folded
from service.evaluation.cases import Case
from service.prompts.conditions import usable

MAX_LABELS = 50  # of a draft. A prompt can have more
MOST_NEW = 0.1  # the estimated chance of a new value
CLOSED = 10  # so few values are a closed set although the texts contain them, such as colours
COPIED = 0.8  # of the rows contain their value in an extraction
SAMPLE = 200  # rows and values of the search for copied values


def labels_of(cases: Sequence[Case], column: str) -> tuple[Counter[str], str]:
    """(how often each label occurs, "") or (nothing, the reason why the values are free answers)."""
    given = [(case, str(value)) for case in cases if usable(value := case.values.get(column)) and value != ""]
    counts = Counter(value for _, value in given)
    once = sum(count == 1 for count in Counter(folded(value) for _, value in given).values())
    if not counts:
        return counts, "it has no value"
    if len(counts) > MAX_LABELS:
        return Counter(), f"{len(counts)} different values, and a choice takes at most {MAX_LABELS}"
    if len(counts) > max(2, len(given) // 2):
        return Counter(), f"{len(counts)} different values in {len(given)} rows"
    if once > max(1, MOST_NEW * len(given)):
        return Counter(), f"{once} of {len(given)} rows have a value that occurs once"
    if len(counts) > CLOSED and _copied(given, column):
        return Counter(), f"{len(counts)} different values, which are words of the inputs"
    return counts, ""


def _copied(given: Sequence[tuple[Case, str]], column: str) -> bool:
    """Whether the inputs of most rows contain the row's own value, and seldom another one.

    A text that lists all options contains each of them, and is no extraction.
    """
    values = list(dict.fromkeys(value.casefold() for _, value in given))[:SAMPLE]
    own, others = 0.0, 0.0
    for case, value in given[:SAMPLE]:
        inputs = [str(input_).casefold() for name, input_ in case.values.items() if name not in ("id", "slice", column)]
        contained = {other for other in values if any(other in text for text in inputs)}
        mine = value.casefold()
        own += any(mine in text for text in inputs)
        others += len(contained - {mine}) / len(values)
    rows = len(given[:SAMPLE])
    return own >= COPIED * rows and others <= own / 2
