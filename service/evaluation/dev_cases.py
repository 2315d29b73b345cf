"""Dev cases: the cases that a draft is made with. A verdict on them says nothing about new ones.

In: a draft and cases. Out: the draft with the digests of its dev cases in the key `devCases`, and the deciding cases
that are among them.
A case is known by its inputs: another id or another label makes no new case. An example in the messages is a dev case
too.
Not here: the division of cases in two (`split`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from service.evaluation.cases import Case
from service.prompts import file as files
from service.prompts.file import Prompt
from service.prompts.fingerprint import canonical
from service.prompts.render import PLACEHOLDER, substitute

LENGTH = 12  # hexadecimal digits of a digest


def digest(prompt: Prompt, case: Case) -> str:
    """The digest of a case's inputs."""
    text = canonical(case.inputs(prompt))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]


def written(prompt: Prompt, cases: Iterable[Case]) -> Prompt:
    """The draft with these dev cases besides those that it names already.

    Raises:
        PromptError: if the resulting text cannot be used.
    """
    digests = sorted({*prompt.spec.devCases, *(digest(prompt, case) for case in cases)})
    return files.loads(files.dumps(prompt, {"devCases": digests}), prompt.path)


def used(prompt: Prompt, cases: Sequence[Case]) -> list[str]:
    """The ids of those cases that the draft was made with: its dev cases, and the examples in its messages."""
    known = set(prompt.spec.devCases)
    fixed = {message.content for message in prompt.spec.messages if not PLACEHOLDER.search(message.content)}
    asked = [message.content for message in prompt.spec.messages if PLACEHOLDER.search(message.content)]
    return [
        case.id
        for case in cases
        if digest(prompt, case) in known or any(_filled(template, case) in fixed for template in asked)
    ]


def warning(prompt: Prompt, cases: Sequence[Case]) -> str:
    """A sentence about cases that the draft was made with, for the reason of a verdict. "" if there are none."""
    names = used(prompt, cases)
    if not names:
        return ""
    listed = ", ".join(name[:80] for name in names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return (
        f"{len(names)} of {len(cases)} cases are dev cases, with which this draft was made, so they do not show how it "
        f"answers new ones: {listed}"
    )


def _filled(template: str, case: Case) -> str | None:
    """A message of the case. None if the case lacks a value."""
    names = PLACEHOLDER.findall(template)
    return substitute(template, case.values) if all(name in case.values for name in names) else None
