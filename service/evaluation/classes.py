"""The class of a case, the confusion matrix, and precision, recall and F1 of each class with intervals.

In: a prompt, its cases, outcomes. Out: the class of each case, counts and rates per class.
Not here: probabilities (`calibration`), and the fields of JSON answers (`fields`).

The class of a case is the labels that are right for it, mostly one. With choices they are the choices that pass every
check, apart from checks that ask a program or a judge. A case for which every choice is right, or none, has no class.
Without choices the label is the text that a `string: equals` check expects, if there are few such texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.evaluation.bad_rows import expected_label
from service.evaluation.cases import Case
from service.evaluation.checks import CheckInput, check
from service.evaluation.runner import CaseOutcome
from service.evaluation.statistics import Interval, wilson
from service.prompts.conditions import judging
from service.prompts.file import Prompt
from service.prompts.spec import Evaluator

MAX_CLASSES = 50  # more different expected answers are no classes
NO_ANSWER = "(no answer)"
OTHER = "(another answer)"


@dataclass(frozen=True)
class ClassScore:
    """One class: `right` of its `cases` were answered with it, and it was the answer `answered` times in all.

    A rate is None if there is nothing to count: precision of a class that was never answered, recall of one without
    cases.
    """

    label: str
    cases: int
    answered: int
    right: int

    @property
    def precision(self) -> float | None:
        """The share of right ones among the answers with this label."""
        return self.right / self.answered if self.answered else None

    @property
    def recall(self) -> float | None:
        """The share of this class's cases that were answered right."""
        return self.right / self.cases if self.cases else None

    @property
    def f1(self) -> float | None:
        """2 right / (cases + answered): the harmonic mean of precision and recall."""
        return 2 * self.right / (self.cases + self.answered) if self.cases + self.answered else None

    @property
    def precision_interval(self) -> Interval | None:
        """The 95 % Wilson interval."""
        return wilson(self.right, self.answered) if self.answered else None

    @property
    def recall_interval(self) -> Interval | None:
        """The 95 % Wilson interval."""
        return wilson(self.right, self.cases) if self.cases else None

    @property
    def f1_interval(self) -> Interval | None:
        """The 95 % interval of F1, from the Wilson interval of F* = right / (cases + answered - right).

        F* is a proportion: of the cases that have the label or got it, those that have both. F1 = 2 F* / (1 + F*) grows
        with it (D. J. Hand, P. Christen, N. Kirielle, "F*: an interpretable transformation of the F-measure", Machine
        Learning 110 (2021) 451-456).
        """
        union = self.cases + self.answered - self.right
        if not union:
            return None
        low, high = wilson(self.right, union)
        return Interval(2 * low / (1 + low), 2 * high / (1 + high))


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each expected label got each answer. `columns` are the labels, and answers outside of them last."""

    labels: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        """The scores of each class, in the order of the labels."""
        return tuple(
            ClassScore(label, sum(row), sum(other[at] for other in self.counts), row[at])
            for at, (label, row) in enumerate(zip(self.labels, self.counts, strict=True))
        )

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have cases. A class that is never answered right counts as 0.

        D. D. Lewis et al., "Training algorithms for linear text classifiers", SIGIR 1996: macro-averaging.
        """
        values = [score.f1 or 0.0 for score in self.scores if score.cases]
        return sum(values) / len(values)

    @property
    def remark(self) -> str:
        """A sentence if every answer is the same label although several are expected. Else ""."""
        totals = [sum(row[at] for row in self.counts) for at in range(len(self.columns))]
        used = [column for column, total in zip(self.columns, totals, strict=True) if total]
        if len(used) > 1 or sum(any(row) for row in self.counts) < 2:
            return ""
        return f"Every answer is `{used[0]}`."

    def confusions(self, most: int = 5) -> list[tuple[str, str, int]]:
        """(expected, answered, count) of the most frequent mistakes."""
        mistakes = [
            (label, column, count)
            for label, row in zip(self.labels, self.counts, strict=True)
            for column, count in zip(self.columns, row, strict=True)
            if count and label != column
        ]
        return sorted(mistakes, key=lambda mistake: -mistake[2])[:most]


def is_pure(evaluator: Evaluator) -> bool:
    """Whether a check can judge an answer that nobody gave: it asks no program and no judge."""
    return evaluator.llm is None and evaluator.python is None


def would_pass(prompt: Prompt, case: Case, answer: str) -> bool:
    """Whether an answer to a case would pass every check of the case that can judge it.

    Raises:
        EvaluationError: if a check cannot be applied.
    """
    given = CheckInput(answer, None, None)
    checks = judging(prompt.spec.evaluators, case.values)
    return all(check(evaluator, case, given).passed for evaluator in checks if is_pure(evaluator))


def classes_of(prompt: Prompt, cases: Sequence[Case]) -> Mapping[str, tuple[str, ...]]:
    """Maps the id of each case that has a class to its labels.

    Without choices it is empty if there are fewer than two labels, more than MAX_CLASSES, or more than one for two
    cases: the expected texts are no classes then.

    Raises:
        EvaluationError: if a check cannot be applied.
    """
    choices = prompt.spec.choices
    if choices:
        right = {case.id: tuple(choice for choice in choices if would_pass(prompt, case, choice)) for case in cases}
        return {name: labels for name, labels in right.items() if 0 < len(labels) < len(choices)}
    expected = {case.id: (label,) for case in cases if (label := expected_label(prompt, case)) is not None}
    number = len(set(expected.values()))
    return expected if 2 <= number <= min(MAX_CLASSES, len(expected) // 2) else {}


def confusion(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> ConfusionMatrix | None:
    """The confusion matrix. None without classes, or with more than MAX_CLASSES.

    A case without a class, or with several labels, is left out. A case without a usable answer counts as NO_ANSWER.

    Raises:
        EvaluationError: if a check cannot be applied.
    """
    classes = classes_of(prompt, [outcome.case for outcome in outcomes])
    single = {name: labels[0] for name, labels in classes.items() if len(labels) == 1}
    labels = prompt.spec.choices or tuple(label for label, _ in Counter(single.values()).most_common())
    if not single or len(labels) > MAX_CLASSES:
        return None
    counts: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for outcome in outcomes:
        if outcome.case.id in single:
            counts[single[outcome.case.id]][_answer(prompt, outcome, counts)] += 1
    abstained = [prompt.spec.abstain.answer] if prompt.spec.abstain is not None else []
    extra = [name for name in (*abstained, OTHER, NO_ANSWER) if any(row[name] for row in counts.values())]
    columns = (*labels, *extra)
    return ConfusionMatrix(
        tuple(labels), columns, tuple(tuple(counts[label][name] for name in columns) for label in labels)
    )


def _answer(prompt: Prompt, outcome: CaseOutcome, labels: dict[str, Counter[str]]) -> str:
    if outcome.record.problem is not None:
        return NO_ANSWER
    text = outcome.record.check_input(prompt).text.strip()
    abstained = prompt.spec.abstain is not None and text == prompt.spec.abstain.answer
    return text if text in labels or abstained else OTHER
