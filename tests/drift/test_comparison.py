"""The population stability index, its point by chance, and the word of a comparison."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import scipy.stats

from service.drift.comparison import MIN_ANSWERS, Drift, chi_squared_point, compare, newcombe, psi
from service.evaluation.recording import Record
from service.prompts.file import Prompt, loads

LABELS = ("good", "bad")
CHOICE = loads(
    "name: mood\nresponseFormat: choice\nchoices: [good, bad]\nabstain: {below: 0.6, answer: unsure}\n"
    'messages: [{role: user, content: "{{text}}"}]\n'
)
TEXT = loads('name: greet\nmessages: [{role: user, content: "{{text}}"}]\n')


def probabilities(best: float, label: str) -> dict[str, float]:
    return {name: best if name == label else 1 - best for name in LABELS}


def records(prompt: Prompt, answers: Iterator[tuple[str, float]], n: int = 200) -> list[Record]:
    made = []
    for number in range(n):
        label, best = next(answers)
        shares = tuple(probabilities(best, label).items()) if prompt.spec.choices else ()
        made.append(
            Record(str(number), "f", label, tuple(range(int(best * 20))), "stop", None, shares, prompt_tokens=30)
        )
    return made


def rows(prompt: Prompt, answers: Iterator[tuple[str, float]], n: int = 200, **changes: Any) -> list[dict[str, Any]]:
    made = []
    for _ in range(n):
        label, best = next(answers)
        shares = probabilities(best, label) if prompt.spec.choices else {}
        made.append(
            {
                "label": prompt.decision(label, shares) if shares else None, "probabilities": shares or None,
                "abstained": prompt.abstains(shares), "invalid": False, "prompt_tokens": 30,
                "answer_tokens": int(best * 20), "total_s": 0.25, **changes,
            }
        )  # fmt: skip
    return made


def drawn(seed: int, good: float, low: float = 0.65) -> Iterator[tuple[str, float]]:
    """Answers of which this share is good, each with a probability from `low` to 1."""
    source = random.Random(seed)
    while True:
        yield ("good" if source.random() < good else "bad"), low + (1 - low) * source.random()


def of(drift: Drift) -> dict[str, str]:
    return {row.name: row.word for row in (*drift.distributions, *drift.shares)}


def test_the_index_has_the_published_value() -> None:
    """Of two equal distributions it is 0. The second value is the sum by hand, with half an answer more in each bin."""
    assert psi([50, 50], [10, 10]) == pytest.approx(0.0)
    assert psi([90, 10], [50, 50]) == pytest.approx(0.3961 * 2.1498, rel=0.01)


def test_the_points_and_intervals_are_those_of_scipy() -> None:
    for degrees in (1, 2, 4, 9):
        assert chi_squared_point(degrees) == pytest.approx(scipy.stats.chi2.ppf(0.99, degrees), rel=0.02)
    # Newcombe 1998, table II, row (a), method 10: 56/70 - 48/80
    low, high = newcombe((56, 70), (48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_answers_of_the_same_kind_are_stable() -> None:
    """Also few of them: fifty answers move an index by chance. Of a hundred comparisons at most three are wrong."""
    recording = records(CHOICE, drawn(1, 0.5))
    words = [compare(CHOICE, recording, rows(CHOICE, drawn(seed, 0.5), MIN_ANSWERS)).word for seed in range(2, 102)]
    assert words.count("DRIFT") <= 3


def test_other_labels_and_less_sure_answers_are_drift() -> None:
    recording = records(CHOICE, drawn(1, 0.5))
    labels = compare(CHOICE, recording, rows(CHOICE, drawn(2, 0.9)))
    assert (labels.word, of(labels)["labels"]) == ("DRIFT", "DRIFT")
    assert "labels" in labels.reason
    unsure = compare(CHOICE, recording, rows(CHOICE, drawn(2, 0.5, low=0.5)))
    assert of(unsure)["abstained"] == "DRIFT"
    assert of(unsure)["probability"] == "DRIFT"
    [share] = [row for row in unsure.shares if row.name == "abstained"]
    assert share.difference.low < share.kept - share.recorded < share.difference.high


def test_unusable_answers_and_longer_ones_are_drift() -> None:
    recording = records(TEXT, drawn(1, 0.5))
    unusable = compare(TEXT, recording, [*rows(TEXT, drawn(2, 0.5)), *rows(TEXT, drawn(2, 0.5), 50, invalid=True)])
    assert of(unusable)["unusable"] == "DRIFT"
    longer = compare(TEXT, recording, rows(TEXT, drawn(2, 0.5), answer_tokens=60, prompt_tokens=90))
    assert (of(longer)["answer tokens"], of(longer)["prompt tokens"]) == ("DRIFT", "DRIFT")
    assert longer.seconds == (0.25, 0.25)


@pytest.mark.parametrize(("tokens", "name"), [(20, "below 30"), (30, "30"), (40, "above 30")])
def test_a_number_that_never_differs_in_the_recording_has_its_own_bin(tokens: int, name: str) -> None:
    """Less of it is drift as much as more of it."""
    recording = records(CHOICE, drawn(1, 0.5))
    drift = compare(CHOICE, recording, rows(CHOICE, drawn(2, 0.5), prompt_tokens=tokens))
    [row] = [row for row in drift.distributions if row.name == "prompt tokens"]
    assert [part.name for part in row.bins] == ["below 30", "30", "above 30"]
    assert {part.name: part.kept for part in row.bins if part.kept} == {name: 200}
    assert row.word == ("STABLE" if tokens == 30 else "DRIFT")


def test_bounds_that_are_close_have_names_that_differ() -> None:
    recording = records(CHOICE, (("good", 1 - n / 1e9) for n in range(200)))
    drift = compare(CHOICE, recording, rows(CHOICE, drawn(2, 0.5)))
    [row] = [row for row in drift.distributions if row.name == "probability"]
    assert len({part.name for part in row.bins}) == len(row.bins) == 5


def test_few_answers_say_nothing() -> None:
    drift = compare(CHOICE, records(CHOICE, drawn(1, 0.5)), rows(CHOICE, drawn(2, 0.9), MIN_ANSWERS - 1))
    assert (drift.word, drift.distributions) == ("NOT ENOUGH ANSWERS", ())
    assert "NOT ENOUGH" in drift.markdown()
    assert compare(CHOICE, [], rows(CHOICE, drawn(2, 0.9))).word == "NOT ENOUGH ANSWERS"


def test_every_answer_is_in_one_bin_and_the_table_has_them_all() -> None:
    drift = compare(CHOICE, records(CHOICE, drawn(1, 0.5)), rows(CHOICE, drawn(2, 0.5)))
    for row in drift.distributions:
        assert sum(part.kept for part in row.bins) == 200
        assert sum(part.recorded for part in row.bins) == 200
    text = drift.markdown()
    assert all(part.name in text for row in drift.distributions for part in row.bins)
