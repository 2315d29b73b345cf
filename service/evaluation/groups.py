"""Classes and slices of cases, and the passes of constant answers.

In: a prompt and its cases. Out: the case ids of each class and slice, and the passes of each constant answer.
Not here: the class of a case (`classes`), and the verdict, which compares them (`verdict`).

A constant answer is one that ignores the inputs, such as the most frequent label. A prompt that passes no more cases
than a constant answer is no better than guessing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from service.errors import EvaluationError
from service.evaluation.cases import ALL, Case, slice_names
from service.evaluation.classes import classes_of, is_pure, would_pass
from service.evaluation.runner import CaseOutcome
from service.prompts.conditions import judges
from service.prompts.file import Prompt

Groups = Mapping[str, frozenset[str]]
"""Maps "class NAME" and "slice NAME" to the ids of its cases."""
Constants = Mapping[str, Mapping[str, bool]]
"""Maps a constant answer and a case id to whether the answer passes every check of the case."""
CONSTANTS = 20  # answers that are tried as constants, if the prompt has no choices: the most frequent ones


def groups(prompt: Prompt, cases: Sequence[Case]) -> Groups:
    """The classes and slices, in order of their names. A single slice is left out, since it is every case.

    A class or slice of a minimum has to exist.

    Raises:
        EvaluationError: if a check cannot be applied, or if a minimum names a class or slice without cases.
    """
    slices: dict[str, set[str]] = {}
    names = {**slice_names(case.slice for case in cases), ALL: ALL}  # here is no row of all cases
    for case in cases:
        slices.setdefault(f"slice {names[case.slice]}", set()).add(case.id)
    classes: dict[str, set[str]] = {}
    for name, labels in classes_of(prompt, cases).items():
        classes.setdefault(f"class {' or '.join(labels)}", set()).add(name)
    table = classes | slices
    named: set[str] = set()
    for evaluator in prompt.spec.evaluators:
        named |= evaluator.minimums.keys()
        judged = {case.id for case in cases if judges(evaluator, case.values)}
        if missing := [name for name in evaluator.minimums if name and not judged & table.get(name, set())]:
            raise EvaluationError(
                f"the minimum of {evaluator.name!r} names the {missing[0]}, and it judges no case there.",
                key="minimum",
                remedy=f"There are: {', '.join(sorted(table))}.",
            )
    chosen = table.keys() if len(slices) > 1 else classes.keys() | (named & slices.keys())
    return {name: frozenset(table[name]) for name in sorted(chosen)}


def constants(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> Constants | None:
    """The passes of constant answers, on the cases that a check judges. None if a check cannot judge them.

    They are the prompt's choices and its answer when it abstains. Without choices they are the most frequent expected
    values of the cases, and the prompt's own most frequent answers.

    Raises:
        EvaluationError: if a check cannot be applied.
    """
    if not all(map(is_pure, prompt.spec.evaluators)):
        return None
    abstention = (prompt.spec.abstain.answer,) if prompt.spec.abstain is not None else ()
    answers = (*prompt.spec.choices, *abstention) or _frequent(prompt, outcomes)
    return {
        answer: {outcome.case.id: would_pass(prompt, outcome.case, answer) for outcome in outcomes if outcome.judged}
        for answer in answers
    }


def _frequent(prompt: Prompt, outcomes: Sequence[CaseOutcome]) -> list[str]:
    expected = Counter(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for outcome in outcomes
        for name, value in outcome.case.values.items()
        if name not in (*outcome.case.inputs(prompt), "id", "slice")
    )
    given = Counter(record.text for outcome in outcomes for record in outcome.records)
    return list(dict.fromkeys(answer for table in (expected, given) for answer, _ in table.most_common(CONSTANTS)))
