"""Judges: a model chooses among listed replies, and nothing else can be read into what it says.

What comes in: an `llm` evaluator, a case, an answer, the judge's engine. What goes out: a `Judgement`, and beside it
those of checks that observe, so that a record holds all that its checks need. The reply is
constrained to the choices by the engine (labels scored, or an enforced schema); a reply outside them is an error and
never a pass. gh-models lets the first choice win that occurs anywhere in the reply, so "Score: 5, see step 1" counts
as 1; here that cannot happen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.engine.types import Engine, Identity, Message, Request, Sampling
from service.errors import EvaluationError, InputsError
from service.evaluation.cases import Case
from service.evaluation.observation import is_external, observation_fingerprint, observe
from service.evaluation.recording import Judgement, Record
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint
from service.prompts.render import substitute
from service.prompts.spec import Evaluator, JudgeCheck

Judges = Callable[[str], Engine]
"""The engine of a judge's model, by the model's name."""
MAX_TOKENS = 64  # of a reply that only a schema constrains


def no_judge(model: str) -> Engine:
    """For evaluations that have no judge. Raises EvaluationError."""
    raise EvaluationError(
        f"a judge ({model}) is needed, and this evaluation has no engine for it.",
        key="llm",
        remedy="Use similarity, json or python checks, or run it with an engine.",
    )


def judge_request(evaluator: Evaluator, case: Case, text: str, identity: Identity) -> Request:
    """What the judge is asked about an answer; its template may use the case's values and `{{completion}}`."""
    spec = evaluator.llm
    assert isinstance(spec, JudgeCheck)
    values = {**case.values, "completion": text}
    labels = tuple(each.choice for each in spec.choices)
    try:
        messages = [Message("user", substitute(spec.prompt, values))]
        if spec.systemPrompt is not None:
            messages.insert(0, Message("system", substitute(spec.systemPrompt, values)))
    except InputsError as error:
        raise EvaluationError(f"case {case.id}: {evaluator.name}: {error}", key=error.key) from None
    asked = Request(messages=tuple(messages), sampling=Sampling(max_tokens=MAX_TOKENS), priority="background")
    if identity.engine == "remote":
        return replace(asked, schema=json.dumps({"enum": list(labels)}, ensure_ascii=False, separators=(",", ":")))
    return replace(asked, choices=labels, mode="exact")


def has_all_judgements(prompt: Prompt, case: Case, record: Record, identities: Mapping[str, Identity]) -> bool:
    """Whether every judgement that the prompt asks for is recorded as it would be asked now."""
    if record.problem is not None:
        return True
    known = dict(record.judgements)
    for each in prompt.spec.evaluators:
        if each.llm is not None and each.llm.modelId not in identities:
            return False
        wanted = _current_fingerprint(each, case, record, identities.__getitem__)
        if wanted is not None and (each.name not in known or known[each.name].fingerprint != wanted):
            return False
    return True


async def add_judgements(prompt: Prompt, case: Case, record: Record, judges: Judges) -> Record:
    """The record with every judgement that the prompt's checks need; what is there already is not asked again.

    Raises EvaluationError for a reply outside the choices and where there is nothing to look with, and what the judge's
    engine raises.
    """
    if record.problem is not None:
        return record
    known, found = dict(record.judgements), []
    for each in prompt.spec.evaluators:
        wanted = _current_fingerprint(each, case, record, lambda name: judges(name).identity)
        if wanted is None:
            continue
        judgement = known.get(each.name)
        if judgement is None or judgement.fingerprint != wanted:
            if each.llm is None:
                judgement = await asyncio.to_thread(observe, each, case, record.check_input(prompt))
            else:
                engine = judges(each.llm.modelId)
                asked = judge_request(each, case, record.text, engine.identity)
                judgement = Judgement(_valid_choice(await prompts.ask(asked, engine), each, case), wanted)
        found.append((each.name, judgement))
    return replace(record, judgements=tuple(found)) if tuple(found) != record.judgements else record


def _current_fingerprint(
    evaluator: Evaluator, case: Case, record: Record, identity_of: Callable[[str], Identity]
) -> str | None:
    """The fingerprint of what a judge is asked or a check looks at now; None for a check that needs neither."""
    if evaluator.llm is not None:
        identity = identity_of(evaluator.llm.modelId)
        return fingerprint(judge_request(evaluator, case, record.text, identity), identity)
    return observation_fingerprint(evaluator, case, record.text) if is_external(evaluator) else None


def _valid_choice(result: prompts.Result, evaluator: Evaluator, case: Case) -> str:
    assert isinstance(evaluator.llm, JudgeCheck)
    if result.problem is not None or result.value not in {each.choice for each in evaluator.llm.choices}:
        raise EvaluationError(
            f"case {case.id}: {evaluator.name}: the judge's reply {result.text[:80]!r} is none of the choices.",
            key="llm",
            remedy="Use a judge whose engine enforces them.",
        )
    return str(result.value)
