"""The routes of the studio, all below `/studio`: drafts, jobs with events, promotions in git, models to fetch.

In: a request with the studio's key. Out: JSON, and event streams.
Not here: the work (`work`), files of drafts (`drafts`), the answer to one input (`http.prompts`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.engine.types import Engine
from service.errors import PromptError
from service.evaluation import promotion_history, pull_request
from service.evaluation.improve import SearchRules
from service.http import prompts as prompt_routes
from service.http import sse
from service.http.deps import ServiceDep
from service.http.problems import HTTPProblem
from service.models.cache import Cache
from service.prompts import editor_schema
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder
from service.studio.drafts import CheckedDraft, DraftFolder
from service.studio.jobs import JobRunning, StudioJob, StudioJobs
from service.studio.work import Work, Workspace

router = APIRouter(prefix="/studio", include_in_schema=False)
MOST_TEXT = 1_000_000  # characters of a draft
PREFIX = "draft:"  # before a draft's name, where names of promoted prompts stand too


class Studio:
    """The parts that the routes share."""

    def __init__(self, drafts: DraftFolder, workspace: Workspace) -> None:
        self.drafts, self.workspace, self.jobs = drafts, workspace, StudioJobs()


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(_studio)]


class StudioBody(BaseModel):
    """A body of the studio. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class DraftBody(StudioBody):
    """A draft's text. `replaces` is the digest of the text that it replaces, null for a new draft."""

    text: str = Field(max_length=MOST_TEXT)
    replaces: str | None = None


class JobBody(StudioBody):
    """A job. `cases`, `accept`, `budget` and `seed` belong to some kinds only."""

    kind: Literal["evaluate", "compare", "improve", "promote", "pull"]
    name: str = Field(max_length=200)
    cases: int | None = Field(None, ge=1)
    model: str | None = Field(None, max_length=200)
    accept: str | None = Field(None, min_length=1, max_length=2000)
    budget: int = Field(600, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, le=2**31 - 1)


def _unknown(what: str) -> HTTPProblem:
    return HTTPProblem(404, "unknown", "Not found", f"There is no such {what} in the studio.")


def _usable(studio: Studio, name: str) -> Prompt:
    """A draft without mistakes. Raises HTTPProblem with the mistakes of another one."""
    try:
        return studio.drafts.usable(name)
    except FileNotFoundError:
        raise _unknown("draft") from None
    except PromptError as error:
        first = error.mistakes[0] if error.mistakes else (1, "it cannot be read")
        detail = f"The draft has mistakes, the first in line {first[0]}: {first[1]}"
        raise HTTPProblem(422, "draft-wrong", "The draft cannot be used", detail) from None


def _json(draft: CheckedDraft) -> dict[str, Any]:
    """A draft for the page. A usable one has the fields of a prompt, under a name that no promoted prompt has."""
    mistakes, notes = ([{"line": line, "text": text} for line, text in rows] for rows in (draft.mistakes, draft.notes))
    document: dict[str, Any] = {
        "draft": draft.name,
        "sha256": draft.sha256,
        "mistakes": mistakes,
        "notes": notes,
        "prompt": None,
    }
    if draft.prompt is not None:
        fields = prompt_routes.prompt_json(draft.prompt)
        document["prompt"] = {**fields, "name": f"{PREFIX}{draft.name}", "promotes": draft.prompt.name, "refused": None}
    return document


@router.get("/drafts")
def list_drafts(studio: StudioDep, service: ServiceDep) -> list[dict[str, Any]]:
    """Every draft, with its mistakes or its prompt. `promoted` tells whether its text is the promoted one."""
    rows = []
    for name in studio.drafts.names():
        draft = studio.drafts.read(name)
        document = _json(draft)
        promoted = studio.workspace.target(draft.prompt).prompt_path if draft.prompt is not None else None
        same = promoted is not None and promoted.exists() and promoted.read_text(encoding="utf-8") == draft.text
        rows.append({**document, "promoted": same})
    return rows


@router.get("/schema")
def get_schema() -> dict[str, Any]:
    """The JSON Schema of prompt files, for the editor."""
    return editor_schema.published()


@router.get("/drafts/{name}")
def get_draft(name: str, studio: StudioDep) -> dict[str, Any]:
    """A draft's text, and its mistakes or its prompt.

    Raises:
        HTTPProblem: if there is no such draft.
    """
    try:
        draft = studio.drafts.read(name)
    except FileNotFoundError:
        raise _unknown("draft") from None
    return {**_json(draft), "text": draft.text}


@router.put("/drafts/{name}")
def put_draft(name: str, body: DraftBody, studio: StudioDep) -> dict[str, Any]:
    """Write a draft, also one with mistakes. A text that changed in between is not replaced.

    Raises:
        HTTPProblem: if another text is there than the one that `replaces` names.
    """
    with contextlib.suppress(FileNotFoundError):
        if studio.drafts.read(name).sha256 != body.replaces:
            detail = "The file was changed by another program, or there is one of this name. Load it again."
            raise HTTPProblem(409, "changed", "Conflict", detail)
    return _json(studio.drafts.write(name, body.text))


@router.post("/drafts/{name}/check")
def check_draft(name: str, body: DraftBody, studio: StudioDep) -> dict[str, Any]:
    """The mistakes of a text, or its prompt. Nothing is written."""
    return _json(studio.drafts.check(name, body.text))


async def _engine(prompt: Prompt, service: ServiceDep) -> Engine:
    engine = service.engines.get(prompt.spec.model)
    await engine.start()
    return engine


@router.post("/drafts/{name}")
async def run_draft(name: str, request: Request, studio: StudioDep, service: ServiceDep) -> Response:
    """Run a draft, as `POST /prompts/NAME` runs a promoted prompt."""
    prompt = _usable(studio, name)
    body = await prompt_routes.run_body(request)
    return await prompt_routes.answer(prompt, body, await _engine(prompt, service), request, service.settings)


@router.post("/drafts/{name}/tokens")
async def render_draft(name: str, request: Request, studio: StudioDep, service: ServiceDep) -> dict[str, Any]:
    """A draft's messages and tokens, as `POST /prompts/NAME/tokens`."""
    prompt = _usable(studio, name)
    body = await prompt_routes.run_body(request)
    return await prompt_routes.rendered(prompt, body, await _engine(prompt, service), request, service.settings)


def _work(body: JobBody, studio: Studio) -> Work:
    """The work of a job. Raises UnknownModel, HTTPProblem."""
    space = studio.workspace
    if body.kind == "pull":
        return space.download(body.name)
    prompt = _usable(studio, body.name)
    if body.kind == "evaluate":
        return space.evaluation(prompt, body.cases, body.model)
    if body.kind == "compare":
        return space.comparison(prompt)
    if body.kind == "improve":
        return space.improvement(prompt, SearchRules(body.budget, body.seed))
    return space.promotion(prompt, body.accept)


@router.post("/jobs", status_code=202)
async def start_job(body: JobBody, studio: StudioDep) -> dict[str, Any]:
    """Start a job. Its events are at `/studio/jobs/ID/events`.

    Raises:
        HTTPProblem: if another one runs.
    """
    try:
        job = studio.jobs.start(body.kind, body.name, _work(body, studio))
    except JobRunning:
        running = studio.jobs.running()
        kind = f" ({running.kind})" if running is not None else ""
        detail = f"A job is running{kind}. Stop it, or wait for its end."
        raise HTTPProblem(409, "job-running", "Conflict", detail) from None
    return _job_json(job)


def _job_json(job: StudioJob) -> dict[str, Any]:
    return {"id": job.id, "kind": job.kind, "name": job.subject, "over": job.is_over}


@router.get("/jobs")
async def running_job(studio: StudioDep) -> list[dict[str, Any]]:
    """The job that runs, in a list that is empty without one."""
    running = studio.jobs.running()
    return [_job_json(running)] if running is not None else []


def _job(identifier: str, studio: Studio) -> StudioJob:
    job = studio.jobs.get(identifier)
    if job is None:
        raise _unknown("job")
    return job


@router.get("/jobs/{identifier}/events")
async def job_events(identifier: str, studio: StudioDep) -> Response:
    """The events of a job from the first on: progress, warning, gain, and at last result, failed or stopped."""
    job = _job(identifier, studio)

    async def frames() -> AsyncGenerator[str, None]:
        async with contextlib.aclosing(job.follow()) as events:
            async for kind, values in events:
                yield sse.frame(values, kind)

    return sse.EventStreamResponse(frames(), openai=False)


@router.post("/jobs/{identifier}/stop")
async def stop_job(identifier: str, studio: StudioDep) -> dict[str, Any]:
    """Stop a job. Answers that it has so far are in the journal, so the next one goes on from there."""
    job = _job(identifier, studio)
    await studio.jobs.stop(job)
    return _job_json(job)


def _promoted(name: str, service: ServiceDep) -> PromotedFolder:
    """A promoted prompt's folder. Raises HTTPProblem for other names."""
    if name not in service.library.names():
        raise _unknown("promoted prompt")
    return PromotedFolder(service.library.folder(name))


@router.get("/prompts/{name}/history")
def get_history(name: str, service: ServiceDep) -> dict[str, Any]:
    """The promotions of a prompt, the newest first, and its change that is not committed. Null without git."""
    folder = _promoted(name, service)
    if not promotion_history.is_tracked(folder.path):
        return {"promotions": None, "uncommitted": None}
    commits = [vars(commit) for commit in promotion_history.promotions(folder)]
    return {"promotions": commits, "uncommitted": promotion_history.uncommitted(folder)}


@router.get("/prompts/{name}/history/{commit}")
async def get_promotion(name: str, commit: str, service: ServiceDep) -> dict[str, Any]:
    """One promotion: verdict, score, the text of its pull request, and the diff. Recordings are replayed.

    Raises:
        HTTPProblem: if it is none of the prompt's promotions.
    """
    folder = _promoted(name, service)
    known = await asyncio.to_thread(promotion_history.promotions, folder)
    if commit not in {row.commit for row in known}:
        raise _unknown("promotion")
    return await asyncio.to_thread(_promotion, folder, commit)


def _promotion(folder: PromotedFolder, commit: str) -> dict[str, Any]:
    with (
        promotion_history.extracted(folder.path.parent, commit) as now,
        promotion_history.extracted(folder.path.parent, promotion_history.before(folder, commit)) as before,
    ):
        pair = PromotedFolder(now / folder.name), PromotedFolder(before / folder.name)
        section = asyncio.run(pull_request.section_of(*pair))
    return {
        "verdict": section.verdict,
        "passed": section.passed,
        "cases": section.cases,
        "text": section.text,
        "diff": promotion_history.diff(folder, commit),
    }


@router.get("/models")
def list_models(service: ServiceDep) -> list[dict[str, Any]]:
    """The models of the catalog, and whether the cache holds them."""
    cache = Cache(service.settings.cache_dir)
    return [
        {
            "name": model.name,
            "good_for": model.good_for,
            "licence": model.licence,
            "size_bytes": model.original.size_bytes,
            "cached": cache.holds(model),
        }
        for model in service.engines.catalog
    ]
