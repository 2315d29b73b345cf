"""Rows that cannot be asked or judged, found before anything is asked.

In: a prompt, its cases, an error of one case. Out: the problem of a case, sentences for people, and whether an error
belongs to one case. Such a case is one failed case, and the run goes on.
Not here: the form of the file of cases (`case_files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from service.errors import (
    AnswerUnusable,
    CaseUnusable,
    DeadlineExceeded,
    EvaluationError,
    InputsError,
    PromptTooLong,
    RemoteError,
    RequestFailed,
    SameboatError,
    join_first,
    short_name,
)
from service.evaluation.cases import Case
from service.prompts.conditions import judging, usable
from service.prompts.file import Prompt
from service.prompts.render import PLACEHOLDER, substitute
from service.prompts.spec import Evaluator

OF_ONE_CASE = (CaseUnusable, InputsError, PromptTooLong, AnswerUnusable, RequestFailed, DeadlineExceeded)
OF_ONE_REQUEST = (400, 413, 422)  # of a remote engine: it refuses this request, and may take others
NAMED = 10  # cases that a sentence names


def is_of_one_case(error: SameboatError) -> bool:
    """Whether an error says something about one case only, so that the others can go on."""
    return isinstance(error, OF_ONE_CASE) or (isinstance(error, RemoteError) and error.status in OF_ONE_REQUEST)


def problems_of(prompt: Prompt, cases: Sequence[Case]) -> dict[str, str]:
    """The reason for each case that cannot be asked or judged, by its id.

    Raises:
        EvaluationError: if it is all of them, since nothing would be judged.
    """
    problems = {case.id: problem for case in cases if (problem := problem_of(prompt, case)) is not None}
    if len(problems) == len(cases) and cases:
        raise EvaluationError(
            f"{prompt.name}: none of the {len(cases)} cases can be asked and judged. {cases[0].id[:80]}: "
            f"{problems[cases[0].id]}",
            key=cases[0].id,
        )
    return problems


def problem_of(prompt: Prompt, case: Case) -> str | None:
    """The reason if a case cannot be asked or judged, or None."""
    try:
        prompt.messages(case.inputs(prompt))
    except InputsError as error:
        return str(error)
    checks = judging(prompt.spec.evaluators, case.values)
    missing = list(dict.fromkeys(name for check in checks for name in _missing(prompt, check, case)))
    if missing:
        return f"No value for {join_first([short_name(name) for name in missing], ', ')}, which a check compares with."
    return None


def warnings(prompt: Prompt, cases: Sequence[Case], problems: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each kind of bad row. `problems` are those of `problems_of`."""
    by_problem: dict[str, list[str]] = {}
    names_by_id = {case.id: case.name for case in cases}
    for id_, problem in problems.items():
        by_problem.setdefault(problem, []).append(names_by_id.get(id_, id_))
    for problem, names in by_problem.items():
        verb = "fails" if len(names) == 1 else "fail"
        yield f"{len(names)} of {len(cases)} cases cannot be asked or judged, and {verb}: {_listed(names)}. {problem}"
    strange: dict[str, list[str]] = {}
    for case in cases:
        label = expected_label(prompt, case)
        if prompt.spec.choices and label and case.id not in problems and label not in prompt.spec.choices:
            strange.setdefault(label, []).append(case.name)
    for label, names in strange.items():
        close = next((choice for choice in prompt.spec.choices if folded(choice) == folded(label)), None)
        hint = f", which differs from {short_name(close)} in case or blanks" if close is not None else ""
        yield (
            f"{len(names)} of {len(cases)} cases can never pass: {_listed(names)}. "
            f"The expected {short_name(label)} is none of the choices{hint}."
        )


def folded(label: str) -> str:
    """A label without case and with single blanks. Two labels that are equal so are probably one class."""
    return " ".join(label.split()).casefold()


def expected_label(prompt: Prompt, case: Case) -> str | None:
    """The answer that a `string: equals` check expects of a case. None if the prompt has no such check or no value."""
    for check in judging(prompt.spec.evaluators, case.values):
        if check.string is not None and check.string.equals is not None:
            names = PLACEHOLDER.findall(check.string.equals)
            if all(usable(case.values.get(name)) for name in names):
                return substitute(check.string.equals, case.values)
    return None


def _missing(prompt: Prompt, check: Evaluator, case: Case) -> Iterator[str]:
    """The names of values that a check needs and the case lacks.

    A JSON answer may be expected to hold null. An empty text is contained in every answer, so only a free answer can be
    expected to equal it.
    """
    values = case.values
    if check.json_ is not None:
        for template in check.json_.equals.values():
            whole = isinstance(template, str) and PLACEHOLDER.fullmatch(template.strip())
            for name in PLACEHOLDER.findall(template) if isinstance(template, str) else ():
                if name not in values or not (whole or usable(values[name])):
                    yield name
    for template in _templates(check):
        names = PLACEHOLDER.findall(template)
        given = {"completion"} if check.llm is not None else set()
        yield from (name for name in names if not usable(values.get(name)) and name not in given)
        equals = check.string is not None and check.string.equals is not None and not prompt.spec.choices
        if not equals and PLACEHOLDER.fullmatch(template.strip()) and values.get(names[0]) == "":
            yield names[0]


def _templates(check: Evaluator) -> Iterator[str]:
    """The strings of a check that are filled with a case's values, besides those of `json`."""
    if check.string is not None:
        string = check.string
        yield from (text for text in (string.equals, string.contains, string.startsWith, string.endsWith) if text)
    yield from (text for text in (check.regex, check.notContains, *(check.oneOf or ())) if text)
    if check.similarity is not None:
        yield check.similarity.to
    if check.llm is not None:
        yield from (text for text in (check.llm.prompt, check.llm.systemPrompt) if text)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(_shortened(name) for name in names[:NAMED]) + more


def _shortened(name: str) -> str:
    """A name with its two ends. A place ends with its file and line."""
    return name if len(name) <= 80 else f"{name[:20]}…{name[-59:]}"
