"""Dev cases and deciding cases: one division of the data, the same for the same seed.

In: cases, a share, a seed, a value by which classes are divided evenly. Out: two lists without a common row.
Not here: the mark of dev cases in a draft (`dev_cases`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from service.errors import EvaluationError, did_you_mean, short_name
from service.evaluation import cases as case_files
from service.evaluation import dev_cases
from service.evaluation.cases import Case
from service.prompts.file import Prompt
from service.prompts.fingerprint import canonical

NOT_INPUTS = ("id", "slice")
DEV_SHARE = 0.3  # of a draft's own cases, if no file of dev cases is given


def split(
    cases: Sequence[Case], dev: float = 0.3, *, seed: int = 0, by: str | None = "expected"
) -> tuple[list[Case], list[Case]]:
    """(dev cases, deciding cases), in the given order. Of every class of `by` nearly the share `dev` is dev cases.

    Cases with equal inputs stay on one side, so that no deciding case was seen before. Classes are rounded so that the
    whole share is kept (the largest remainders are rounded up).

    Raises:
        EvaluationError: if the share is not between 0 and 1, if a side would be empty, or if no case has a value `by`.
    """
    if not 0 < dev < 1:
        raise EvaluationError("dev is a share between 0 and 1.", key="dev")
    if by is not None and cases and not any(by in case.values for case in cases):
        known = list(dict.fromkeys(name for case in cases for name in case.values))
        hint = did_you_mean(by, known, f"Use by=None, or one of {', '.join(map(short_name, known[:20]))}.")
        raise EvaluationError(f"No case has a value {short_name(by)}.", key="by", remedy=hint)
    groups: dict[str, list[Case]] = {}
    for case in cases:
        inputs = {name: value for name, value in case.values.items() if name not in (*NOT_INPUTS, by)}
        groups.setdefault(canonical(inputs) if inputs else case.id, []).append(case)
    classes: dict[str, list[list[Case]]] = {}
    for group in groups.values():
        label = canonical(group[0].values.get(by)) if by is not None else ""
        classes.setdefault(label, []).append(group)
    chosen: set[str] = set()
    for label, count in _counts({label: len(members) for label, members in classes.items()}, dev).items():
        members = classes[label]
        picked = random.Random(f"{seed}:{label}").sample(range(len(members)), count)  # noqa: S311 # not a secret
        chosen.update(case.id for index in picked for case in members[index])
    sides = [case for case in cases if case.id in chosen], [case for case in cases if case.id not in chosen]
    if not all(sides):
        raise EvaluationError(
            f"{len(cases)} cases with dev={dev:g} leave one side empty.", key="dev", remedy="Take more cases."
        )
    return sides


def of_draft(
    prompt: Prompt, folder: Path, *, dev: Path | None = None, seed: int = 0
) -> tuple[Sequence[Case], Sequence[Case]]:
    """(dev cases, deciding cases) of a draft whose cases are in `folder`. A case of both is a dev case.

    `dev` is a file of dev cases. Without it, a part of the draft's own cases are dev cases.

    Raises:
        EvaluationError: if a file cannot be used, or if a side would be empty.
    """
    own = case_files.read(prompt, folder).cases
    if dev is None:
        by = "expected" if any("expected" in case.values for case in own) else None
        return split(own, DEV_SHARE, seed=seed, by=by)
    spec = prompt.spec.model_copy(update={"testData": (), "testDataFile": dev.name})
    made_with = case_files.read(Prompt(spec, prompt.text, prompt.path), dev.parent).cases
    known = {dev_cases.digest(prompt, case) for case in made_with}
    return made_with, [case for case in own if dev_cases.digest(prompt, case) not in known]


def _counts(sizes: dict[str, int], share: float) -> dict[str, int]:
    """The number of dev groups of each class: Hamilton's method of the largest remainders."""
    exact = {label: size * share for label, size in sizes.items()}
    counts = {label: int(value) for label, value in exact.items()}
    missing = round(sum(exact.values())) - sum(counts.values())
    for label in sorted(exact, key=lambda name: (counts[name] - exact[name], name))[:missing]:
        counts[label] += 1
    return counts
