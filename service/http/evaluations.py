"""The routes of evaluations: the recorded answers of promoted prompts, judged again by the checks. No model is asked.

In: a prompt's name. Out: its scores with intervals, and every case with its recorded answer, as JSON.
Not here: the numbers (`evaluation.json_report`), and a replay (`evaluation.replay`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from service.errors import SameboatError
from service.http.deps import Service, ServiceDep
from service.prompts.promoted import PromotedFolder

router = APIRouter(tags=["prompts"])


@router.get("/evaluations", summary="List the scores of all promoted prompts")
async def list_evaluations(service: ServiceDep) -> list[dict[str, Any]]:
    """Cases, passed cases and the 95 % interval of each prompt. `refused` has the reason if there is no score."""
    return [await asyncio.to_thread(_summary, service, name) for name in service.library.names()]


@router.get("/prompts/{name}/evaluation", summary="Get the recorded evaluation of a promoted prompt")
async def get_evaluation(name: str, service: ServiceDep) -> dict[str, Any]:
    """Scores by check, class and slice, the confusion matrix, the coverage curve, and every case with its answer."""
    return await asyncio.to_thread(_evaluation, service, name)


@router.get("/prompts/{name}/drift", summary="Compare the kept answers of a promoted prompt with its recording")
async def get_drift(name: str, service: ServiceDep) -> dict[str, Any]:
    """The population stability index of each distribution, the shares of abstentions and unusable answers, the times.

    Answers are kept only if SAMEBOAT_KEEP_SHARE is above 0.
    """
    promoted = service.library.promoted(name)
    from service.drift import report  # imported at the first request, as SQLAlchemy with it

    folder = PromotedFolder(service.library.folder(name))
    drift = await asyncio.to_thread(report.of_prompt, service.settings, promoted.prompt, folder)
    return {"share": service.settings.keep_share, **drift.as_json()}


def _summary(service: Service, name: str) -> dict[str, Any]:
    try:
        document = _evaluation(service, name)
    except SameboatError as error:
        return {"name": name, "refused": str(error)}
    return {
        **{key: document[key] for key in ("name", "description", "model", "cases", "passed", "interval")},
        "refused": None,
    }


def _evaluation(service: Service, name: str) -> dict[str, Any]:
    """The document of a prompt, computed once for each lock. The lock has the digest of the recording.

    Raises:
        PromptError: if the prompt cannot be used.
        EvaluationError: if the recording cannot be judged.
    """
    from service.evaluation import json_report  # imported at the first request, because most services are never asked
    from service.evaluation.replay import replay

    promoted = service.library.promoted(name)
    lock, prompt = promoted.lock.digest(), promoted.prompt
    known = service.evaluations.get(name)
    if known is not None and known[0] == lock:
        return known[1]
    document = {
        "name": prompt.name,
        "description": prompt.spec.description,
        "model": prompt.spec.model,
        **json_report.document(prompt, replay(prompt, PromotedFolder(service.library.folder(name)))),
    }
    service.evaluations[name] = (lock, document)
    return document
