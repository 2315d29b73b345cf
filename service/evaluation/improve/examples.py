"""Examples for a draft, from its own messages and from dev cases, and the draft that a candidate stands for.

In: a draft, dev cases, wordings. Out: a pool of examples, and prompts with some of them.
Not here: the choice of examples (`search`), and the scores (`scoring`).

An example is a message of the user and the answer that passes every check. The messages of a draft are its head, pairs
of examples, and one message of the user that holds the inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from service import json_pointer
from service.engine.schema.validator import validator_for
from service.errors import EvaluationError
from service.evaluation.bad_rows import expected_label
from service.evaluation.cases import Case
from service.evaluation.checks import expected_value
from service.evaluation.classes import would_pass
from service.evaluation.improve.candidates import DraftCandidate, Space
from service.evaluation.improve.fitting import LabelFit
from service.prompts import file as files
from service.prompts.file import Prompt
from service.prompts.render import PLACEHOLDER
from service.prompts.spec import MessageTemplate
from service.prompts.yaml_tree import parse

LONGEST = 2.0  # times the median length of the dev cases: longer texts are no examples, since every answer reads them


@dataclass(frozen=True)
class Example:
    """A message of the user, and the right answer. Draws balance the labels."""

    user: str
    answer: str
    label: str


@dataclass(frozen=True)
class DraftParts:
    """The messages of a draft: `head`, `examples`, and the user's message with the inputs."""

    head: tuple[MessageTemplate, ...]
    examples: tuple[Example, ...]
    asked: MessageTemplate

    @classmethod
    def of(cls, draft: Prompt) -> DraftParts:
        """Take a draft apart.

        Raises:
            EvaluationError: if its last message is not the only one with inputs, or not the user's.
        """
        *before, asked = draft.spec.messages
        if asked.role != "user" or any(PLACEHOLDER.search(message.content) for message in before):
            raise EvaluationError(
                f"{draft.name} takes inputs outside of its last message, so an example cannot be put before it.",
                key="messages",
                remedy="Put every {{input}} into one last message of the user.",
            )
        pairs: list[Example] = []
        while len(before) >= 2 and before[-1].role == "assistant" and before[-2].role == "user":
            answer, user = before.pop().content, before.pop().content
            pairs.insert(0, Example(user, answer, answer if draft.spec.choices else ""))
        return cls(tuple(before), tuple(pairs), asked)


class CandidatePrompts:
    """The prompts of candidates. `pool` are the examples, the draft's own first, and `space` holds all candidates."""

    def __init__(
        self,
        draft: Prompt,
        cases: Sequence[Case],
        answers: Mapping[str, str],
        *,
        wordings: Sequence[str] = (),
        most: int,
    ) -> None:
        """Take the examples from cases. `answers` are answers of the draft that pass, by case id.

        Raises:
            EvaluationError: if the draft's messages cannot take examples.
        """
        self.draft, self.parts = draft, DraftParts.of(draft)
        self.wordings = ("", *wordings)
        texts = {case.id: user_message(draft, case) for case in cases}
        lengths = sorted(map(len, texts.values()))
        longest = LONGEST * lengths[len(lengths) // 2] if lengths else 0
        pool = {example.user: example for example in self.parts.examples}
        for case in cases:
            answer = expected_answer(draft, case) or answers.get(case.id)
            user = texts[case.id]
            filled = PLACEHOLDER.search(user) or (answer and PLACEHOLDER.search(answer))
            if answer and not filled and len(user) <= longest:
                pool.setdefault(user, Example(user, answer, answer if draft.spec.choices else ""))
        self.pool = list(pool.values())
        own = tuple(self.pool.index(pool[example.user]) for example in self.parts.examples)
        self.first = DraftCandidate(0, own)
        self.space = Space(
            [example.label for example in self.pool],
            max(most, len(own)),
            len(self.wordings),
            bool(draft.spec.choices),
        )

    def is_example(self, candidate: DraftCandidate, case: Case) -> bool:
        """Whether the candidate shows the answer of this case."""
        user = user_message(self.draft, case)
        return any(self.pool[index].user == user for index in candidate.examples)

    def prompt(self, candidate: DraftCandidate) -> Prompt:
        """The prompt of a candidate, for asking. Its text is still the draft's, and a fit is not applied."""
        spec = self.draft.spec
        update: dict[str, Any] = {"messages": tuple(self._messages(candidate))}
        if candidate.examples != self.first.examples or candidate.wording:
            update["calibration"] = "none"
        return Prompt(spec.model_copy(update=update), self.draft.text, self.draft.path)

    def written(self, candidate: DraftCandidate, fitted: LabelFit | None = None) -> Prompt:
        """The prompt of a candidate with its text. Only changed messages and keys differ from the draft's.

        Raises:
            PromptError: if the text cannot be used.
        """
        tree = parse(self.draft.text, self.draft.name)
        known = {
            (message.role, message.content): node
            for message, node in zip(self.draft.spec.messages, tree["messages"], strict=True)
        }
        messages = [
            known.get((message.role, message.content), {"role": message.role, "content": _scalar(message.content)})
            for message in self._messages(candidate)
        ]
        changes: dict[str, Any] = {"messages": messages}
        if fitted is not None:
            bias = dict(zip(self.draft.spec.choices, fitted.bias, strict=True))
            changes["calibration"] = {"scale": fitted.scale, "bias": bias}
        return files.loads(files.dumps(self.draft, changes), self.draft.path)

    def summary(self, candidate: DraftCandidate) -> str:
        """A candidate in a few words."""
        number = len(candidate.examples)
        parts = [f"{number} example" + ("" if number == 1 else "s")]
        if candidate.fitted:
            parts.append("fitted calibration")
        if candidate.wording:
            parts.append(f"wording {candidate.wording}")
        return ", ".join(parts)

    def _messages(self, candidate: DraftCandidate) -> list[MessageTemplate]:
        head = list(self.parts.head)
        if candidate.wording:
            wording = MessageTemplate(role="system", content=self.wordings[candidate.wording])
            head = [wording, *(head[1:] if head and head[0].role == "system" else head)]
        examples = [
            MessageTemplate(role=role, content=content)
            for index in candidate.examples
            for role, content in (("user", self.pool[index].user), ("assistant", self.pool[index].answer))
        ]
        return [*head, *examples, self.parts.asked]


def _scalar(text: str) -> str:
    """A text for a YAML file. One with line breaks is quoted, so that it stays on one line of a diff."""
    return DoubleQuotedScalarString(text) if "\n" in text else text


def user_message(draft: Prompt, case: Case) -> str:
    """The draft's last message with the inputs of a case.

    Raises:
        InputsError: if the inputs do not fit the draft.
    """
    return draft.messages(case.inputs(draft))[-1].content


def expected_answer(prompt: Prompt, case: Case) -> str | None:
    """The answer that passes every check of a case, made from its values. None if the checks do not tell one."""
    if prompt.spec.choices:
        passing = [label for label in prompt.spec.choices if would_pass(prompt, case, label)]
        return passing[0] if len(passing) == 1 else None
    answer = _json_answer(prompt, case) if prompt.schema is not None else expected_label(prompt, case)
    return answer if answer is not None and would_pass(prompt, case, answer) else None


def _json_answer(prompt: Prompt, case: Case) -> str | None:
    """The JSON object of the values that `json` checks expect. None if the schema asks for more."""
    value: dict[str, Any] = {}
    for evaluator in prompt.spec.evaluators:
        for pointer, template in (evaluator.json_.equals if evaluator.json_ is not None else {}).items():
            names = json_pointer.parts(pointer)
            below = value
            for name in names[:-1]:
                below = below.setdefault(name, {})
                if not isinstance(below, dict):
                    return None
            if not names:
                return None
            below[names[-1]] = expected_value(template, case)
    if not value or next(iter(validator_for(prompt.schema, formats=False).iter_errors(value)), None) is not None:
        return None
    order = list((prompt.schema or {}).get("properties", {}))
    return json.dumps({name: value[name] for name in sorted(value, key=order.index)}, ensure_ascii=False)
