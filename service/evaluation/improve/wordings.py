"""Wordings of a draft's system message, proposed by a model through the promoted prompt `propose-wording`.

In: a draft, dev cases, the promoted prompt, a context with the engine of the model that proposes. Out: the texts that
pass the promoted prompt's checks, and a sentence.
Not here: their use. A search tries them like the wordings of a person (`search`), and its guard judges them.

Every proposal has another form and other examples, so the proposals differ although each answer is the most likely one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.evaluation import runner
from service.evaluation.cases import Case, shortened
from service.evaluation.context import EvaluationContext, no_warning
from service.evaluation.improve.examples import DraftParts, expected_answer, user_message
from service.evaluation.improve.guard import ordered
from service.prompts.file import Prompt

PROPOSER = "propose-wording"
"""The name of the promoted prompt."""
FORMS = (
    "one short sentence",
    "one sentence for the task, then a few words for each answer",
    "a question, then the answers",
    "what decides between the answers, then the answers",
    "the role of an expert, then the task, then the answers",
    "an order to answer with nothing else",
)
SHOWN = 4  # examples in one request
EXAMPLE = re.compile(r"^Text: (.*?)(?=\nAnswer: )", re.DOTALL | re.MULTILINE)  # its text may have several lines
TELLING = 12  # characters: a shorter line of several, such as a greeting, may stand in any wording
LONGEST = 200  # characters of an example's text


@dataclass(frozen=True)
class Proposals:
    """Texts for the system message, and how many a model was asked for."""

    texts: tuple[str, ...]
    asked: int
    model: str

    def __str__(self) -> str:
        """One sentence."""
        return f"{len(self.texts)} of {self.asked} wordings that {self.model} proposes are usable and new."


async def propose(
    draft: Prompt, dev: Sequence[Case], proposer: Prompt, context: EvaluationContext, seed: int = 0
) -> Proposals:
    """The usable and new texts among one proposal for each form. Known answers are not asked again.

    Raises:
        EvaluationError: if the draft's messages cannot take examples, or if a check cannot be applied.
        EngineError: if the engine fails.
    """
    outcomes = await runner.run(proposer, requests(draft, dev, seed), replace(context, warn=no_warning))
    texts = [outcome.record.check_input(proposer).value["wording"].strip() for outcome in outcomes if outcome.passed]
    new = dict.fromkeys(text for text in texts if text != current_message(draft))
    return Proposals(tuple(new), len(outcomes), context.engine.identity.model)


def requests(draft: Prompt, dev: Sequence[Case], seed: int) -> list[Case]:
    """One case of the promoted prompt for each form, with examples of the dev cases.

    Raises:
        EvaluationError: if the draft's messages cannot take examples.
    """
    solved = [(case, answer) for case in dev if (answer := expected_answer(draft, case)) is not None]
    labels = [answer if draft.spec.choices else "" for _, answer in solved]
    keys, rows = list((draft.schema or {}).get("properties", {})), []
    for number, form in enumerate(FORMS):
        order = ordered(labels, seed + number)[:SHOWN]
        pairs = [(shortened(user_message(draft, solved[at][0]), LONGEST), solved[at][1]) for at in order]
        values = values_of(draft.spec.choices, keys, pairs, current_message(draft), form)
        rows.append(Case(f"wording-{number + 1}", values))
    return rows


def values_of(
    labels: Sequence[str], keys: Sequence[str], pairs: Sequence[tuple[str, str]], message: str, form: str
) -> dict[str, Any]:
    """The inputs of the promoted prompt, and `names` for its checks: the labels, or the keys of a JSON answer."""
    answers = (
        f"one of: {', '.join(labels)}" if labels else f"a JSON object with {', '.join(keys)}" if keys else "a text"
    )
    return {
        "answers": answers,
        "examples": "\n".join(f"Text: {text}\nAnswer: {answer}" for text, answer in pairs) or "none",
        "message": message or "none",
        "form": form,
        "names": [*(labels or keys)],
    }


def current_message(draft: Prompt) -> str:
    """The system message that a wording replaces. "" if the draft has none.

    Raises:
        EvaluationError: if the draft's messages cannot take examples.
    """
    head = DraftParts.of(draft).head
    return head[0].content if head and head[0].role == "system" else ""


def names_every_answer(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """A check of the promoted prompt: the wording names every label, or every key of a JSON answer."""
    wording = value.get("wording") if isinstance(value, dict) else None
    return isinstance(wording, str) and all(name in wording for name in values["names"])


def shows_no_example(values: Mapping[str, Any], text: str, value: Any) -> bool:
    """A check of the promoted prompt: the wording repeats no example, since an example tells one answer only.

    The whole example counts, whatever blanks are in it, and each of its lines that has some length.
    """
    wording = _joined(value.get("wording", "")) if isinstance(value, dict) else ""
    for text in EXAMPLE.findall(str(values["examples"])):
        lines = [line for line in map(_joined, text.splitlines()) if len(line) >= TELLING]
        if any(_repeats(wording, part) for part in [_joined(text), *lines] if part):
            return False
    return True


def _joined(text: str) -> str:
    """A text on one line, without case and without the marks of a cut at its ends."""
    return " ".join(text.casefold().split()).strip(" .…")


def _repeats(wording: str, part: str) -> bool:
    """Whether a wording holds a part of an example. A short one, such as `I`, is in many words, so it stands alone."""
    if len(part) >= TELLING:
        return part in wording
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", wording) is not None
