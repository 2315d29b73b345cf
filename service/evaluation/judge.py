"""Judges: a model that chooses one of a few listed replies for an answer.

In: an `llm` evaluator, a case, an answer, the judge's engine. Out: a record with its judgements, those of external
checks included, so that a recording holds everything that its checks need.
The engine constrains the reply to the choices, by scoring labels or by an enforced schema. A reply outside the choices
is an error and never a pass. gh-models instead takes the first choice that occurs anywhere in the reply, so that it
reads "Score: 5, see step 1" as 1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.engine.types import Engine, Identity, Message, Request, Sampling
from service.errors import CaseUnusable, EvaluationError, InputsError
from service.evaluation.cases import Case
from service.evaluation.observation import is_external, observation_fingerprint, observe
from service.evaluation.recording import Judgement, Record
from service.prompts import run as prompts
from service.prompts.conditions import judging
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint
from service.prompts.render import substitute
from service.prompts.spec import Evaluator, JudgeCheck

Judges = Callable[[str], Engine]
"""Returns the engine of a judge's model by the model's name."""
MAX_TOKENS = 64  # of a reply that a schema constrains


def no_judge(model: str) -> Engine:
    """The judges of an evaluation that has none.

    Raises:
        EvaluationError: always.
    """
    raise EvaluationError(
        f"a judge ({model}) is needed, and this evaluation has no engine for it.",
        key="llm",
        remedy="Use similarity, json or python checks, or run it with an engine.",
    )


def judge_request(evaluator: Evaluator, case: Case, text: str, identity: Identity) -> Request:
    """The request that asks a judge about an answer. Its template may use the case's values and `{{completion}}`.

    Raises:
        CaseUnusable: if the template names a value that the case does not have.
    """
    spec = evaluator.llm
    assert isinstance(spec, JudgeCheck)
    values = {**case.values, "completion": text}
    labels = tuple(choice.choice for choice in spec.choices)
    try:
        messages = [Message("user", substitute(spec.prompt, values))]
        if spec.systemPrompt is not None:
            messages.insert(0, Message("system", substitute(spec.systemPrompt, values)))
    except InputsError as error:
        raise CaseUnusable(f"{evaluator.name}: {error}", key=error.key) from None
    request = Request(messages=tuple(messages), sampling=Sampling(max_tokens=MAX_TOKENS), priority="background")
    if identity.engine == "remote":
        return replace(request, schema=json.dumps({"enum": list(labels)}, ensure_ascii=False, separators=(",", ":")))
    return replace(request, choices=labels, mode="exact")


def has_all_judgements(prompt: Prompt, case: Case, record: Record, identities: Mapping[str, Identity]) -> bool:
    """Whether the record holds every judgement of the prompt's checks as it would be asked for now."""
    if record.problem is not None:
        return True
    known = dict(record.judgements)
    for evaluator in judging(prompt.spec.evaluators, case.values):
        if evaluator.llm is not None and evaluator.llm.modelId not in identities:
            return False
        current = _current_fingerprint(evaluator, case, record, identities.__getitem__)
        if current is not None and (evaluator.name not in known or known[evaluator.name].fingerprint != current):
            return False
    return True


async def add_judgements(prompt: Prompt, case: Case, record: Record, judges: Judges) -> Record:
    """The record with every judgement of the prompt's checks. A judgement that is there already is not asked again.

    Raises:
        CaseUnusable: if a reply is none of the choices, or if the judge's template lacks a value.
        EvaluationError: if there is no judge, or if an external check cannot run.
        EngineError: if the judge's engine fails.
    """
    if record.problem is not None:
        return record
    known, judgements = dict(record.judgements), []
    for evaluator in judging(prompt.spec.evaluators, case.values):
        current = _current_fingerprint(evaluator, case, record, lambda name: judges(name).identity)
        if current is None:
            continue
        judgement = known.get(evaluator.name)
        if judgement is None or judgement.fingerprint != current:
            if evaluator.llm is None:
                judgement = await asyncio.to_thread(observe, evaluator, case, record.check_input(prompt))
            else:
                engine = judges(evaluator.llm.modelId)
                result = await prompts.run(judge_request(evaluator, case, record.text, engine.identity), engine)
                judgement = Judgement(_valid_choice(result, evaluator), current)
        judgements.append((evaluator.name, judgement))
    return record if tuple(judgements) == record.judgements else replace(record, judgements=tuple(judgements))


def _current_fingerprint(
    evaluator: Evaluator, case: Case, record: Record, identity_of: Callable[[str], Identity]
) -> str | None:
    """The fingerprint of the judge's request or of the external check. None if the check is neither."""
    if evaluator.llm is not None:
        identity = identity_of(evaluator.llm.modelId)
        return fingerprint(judge_request(evaluator, case, record.text, identity), identity)
    return observation_fingerprint(evaluator, case, record.text) if is_external(evaluator) else None


def _valid_choice(result: prompts.Result, evaluator: Evaluator) -> str:
    assert isinstance(evaluator.llm, JudgeCheck)
    if result.problem is not None or result.value not in {choice.choice for choice in evaluator.llm.choices}:
        raise CaseUnusable(
            f"{evaluator.name}: the judge's reply {result.text[:80]!r} is none of the choices.",
            key="llm",
            remedy="Use a judge whose engine enforces them.",
        )
    return str(result.value)
