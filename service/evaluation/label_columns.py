"""Labels or free answers: whether the values of a column are a small closed set.

In: cases and the name of a value. Out: how often each label occurs, or the reason why the values are free answers. Also
the choices of a draft, and the label that a mistyped one probably means.
Not here: the draft that follows from it (`new_draft`), and the other sentences about data (`data_profile`).

A choice prompt can give no answer besides its labels, so a set that is not closed makes a draft that must fail. Rows
whose value occurs once tell how open the set is: their share estimates the chance that the next row has a new value
(I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40 (1953)
237-264). Values that are words of their own inputs, such as names, are an extraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rapidfuzz.distance import DamerauLevenshtein

from service.evaluation.bad_rows import folded
from service.evaluation.cases import Case
from service.evaluation.tables import NULL_WORDS
from service.prompts.conditions import usable
from service.prompts.render import text_of

MAX_LABELS = 50  # of a draft. A prompt can have more
MOST_NEW = 0.1  # the estimated chance of a new value
CLOSED = 10  # so few values are a closed set although the texts contain them, such as colours
COPIED = 0.8  # of the rows contain their value in an extraction
SHORTEST = 4  # characters of a label that one wrong letter leaves recognisable: `cat` and `car` are two labels
RARE = 0.1  # of the rows of the other label: a label that differs by one letter and is rarer may be mistyped
SELDOM = 3  # rows of a label that may be mistyped, so that the draft of a few hundred rows leaves it out
MISSING = NULL_WORDS - {"none", "na"}  # which may be labels
SAMPLE = 200  # rows and values of the search for copied values


def labels_of(cases: Sequence[Case], column: str) -> tuple[Counter[str], str]:
    """(how often each label occurs, "") or (nothing, the reason why the values are free answers).

    A label is written as a check writes it: `true` for a boolean.
    """
    given = [(case, text_of(value)) for case in cases if usable(value := case.values.get(column)) and value != ""]
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


def choices_of(counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The labels of a choice, and those that are left out because they may be mistyped or stand for a missing value.

    These occur once, or seldom and nearly as a frequent one, or are seldom and a word such as NaN. Of several spellings
    by case and blanks, the most frequent one stays. If fewer than two labels would stay, all do.
    """
    rows: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for label, count in sorted(counts.items(), key=lambda item: -item[1]):
        rows[folded(label)] += count
        spelling.setdefault(folded(label), label.strip())
    total = rows.total()
    out = {
        key
        for key, count in rows.items()
        if count == 1
        or (count <= SELDOM and meant(key, rows) is not None)
        or (count <= RARE * total and key in MISSING)
    }
    if len(rows) - len(out) < 2:
        return list(spelling.values()), []
    return [spelling[key] for key in rows if key not in out], [spelling[key] for key in rows if key in out]


def meant(label: str, counts: Mapping[str, int]) -> str | None:
    """The label that a rarer one probably means: it differs by one letter, or by two that are swapped. Else None.

    `level 1` and `level 2` are two labels, so a digit is no wrong letter.
    """
    own = folded(label)
    for other, count in sorted(counts.items(), key=lambda item: -item[1]):
        its = folded(other)
        if its == own or min(len(own), len(its)) < SHORTEST or counts[label] > max(1, RARE * count):
            continue
        same_digits = [sign for sign in own if sign.isdigit()] == [sign for sign in its if sign.isdigit()]
        if same_digits and DamerauLevenshtein.distance(own, its, score_cutoff=1) <= 1:
            return other
    return None


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
