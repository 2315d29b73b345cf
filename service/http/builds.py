"""The routes of builds: send a brief, watch it, cancel it, deliver or build it again.

In: briefs, and ids of builds. Out: builds as JSON, events as server-sent events, a screenshot.
Not here: how builds are made (`service.builds`), and the models of the responses (`builds_types`).

`/api-endpoint` is the public contract. A brief is checked in this order: size, shape (422 with pointers), secret (403).
It is then stored durably, and answered with 200. The other routes take the same secret as a bearer token. Without
SAMEBOAT_SECRET every route answers 503.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from service.builds.brief import Brief
from service.errors import MAX_LISTED, DatabaseUnavailable, InputsError
from service.http import problems, sse
from service.http.builds_types import (
    AcceptedResponse,
    BuildDetailResponse,
    BuildListResponse,
    BuildResponse,
    ChangesResponse,
    ExchangesResponse,
    with_deprecated,
)
from service.http.json_body import JsonRoute

if TYPE_CHECKING:
    from service.builds.runtime import Builds

log = logging.getLogger("sameboat.http")
T = TypeVar("T")
router = APIRouter(tags=["builds"], route_class=JsonRoute)
POLL_S = 0.4
STREAM_MAX_S = 1800.0  # longer than most builds. Clients reconnect with Last-Event-ID
DATABASE_RETRY_S = 5.0  # a restarted database is back within seconds
ENDED = ("done", "failed", "cancelled")


async def _get_builds(request: Request) -> Builds:
    """The `Builds` of this process. Raises HTTPProblem (503) if builds are off."""
    builds: Builds | None = getattr(request.app.state, "builds", None)
    if builds is None:
        detail = "Builds are switched off here: SAMEBOAT_SECRET is not set."
        raise problems.HTTPProblem(503, "builds-off", "Builds are switched off", detail)
    return builds


if TYPE_CHECKING:
    BuildsDep = Annotated[Builds, Depends(_get_builds)]
else:  # importing Builds takes a second. A service without builds does not wait for it (see `builds_lifespan`)
    BuildsDep = Annotated[object, Depends(_get_builds)]


async def _get_authorized_builds(
    builds: BuildsDep, authorization: Annotated[str, Header(description="Bearer and the secret")] = ""
) -> Builds:
    """The `Builds` of this process, for callers with the secret. Raises HTTPProblem (403) for others."""
    _require_secret(builds, _bearer(authorization))
    return builds


if TYPE_CHECKING:
    AuthorizedBuildsDep = Annotated[Builds, Depends(_get_authorized_builds)]
else:
    AuthorizedBuildsDep = Annotated[object, Depends(_get_authorized_builds)]


def _bearer(authorization: str) -> str:
    return authorization.removeprefix("Bearer ").removeprefix("bearer ")


def _require_secret(builds: Builds, secret: str) -> None:
    if not builds.secret_matches(secret):
        raise problems.HTTPProblem(403, "forbidden", "Forbidden", "The secret is wrong.")


async def _ask(work: Callable[..., T], *values: Any) -> T:
    """Call a function of `Builds` in a thread, because it reads the database. Raises DatabaseUnavailable."""
    try:
        return await asyncio.to_thread(work, *values)
    except Exception as error:
        from service.builds.database import unavailable_reason

        reason = unavailable_reason(error)
        if reason is None:
            raise
        log.warning("The database cannot be used: %s", reason)
        message = f"Builds cannot be stored or read now: {reason}. Try again."
        raise DatabaseUnavailable(message, retry_after_s=DATABASE_RETRY_S) from error


def _not_found() -> problems.HTTPProblem:
    return problems.HTTPProblem(404, "unknown-build", "Not found", "There is no such build.")


async def _require_build(builds: Builds, build: str) -> dict[str, Any]:
    """The build's fields. Raises HTTPProblem (404) if there is none."""
    fields = await _ask(builds.get, build)
    if fields is None:
        raise _not_found()
    return fields


async def _get_build(
    build: str, builds: BuildsDep, authorization: Annotated[str, Header(description="Bearer and the secret")] = ""
) -> dict[str, Any]:
    """The build's fields, for everybody with its id. Raises HTTPProblem (404, 403).

    The id is the token: 128 random bits. It is sent only in the answer to the brief and to callers with the secret. So
    a link to a build works without a header. The ids of builds of earlier versions can be computed and are published
    on their site. Those builds need the secret.
    """
    fields = await _require_build(builds, build)
    if fields["public_id"] == fields["id"]:
        _require_secret(builds, _bearer(authorization))
    return fields


BuildDep = Annotated[dict[str, Any], Depends(_get_build)]


async def _accept(builds: Builds, brief: Brief) -> dict[str, Any]:
    """Store the brief durably. Raises HTTPProblem for a wrong secret (403), then for wrong attachments (422).

    The secret is checked first, because decoding attachments is expensive.
    """
    _require_secret(builds, brief.secret.get_secret_value())
    try:
        build = await _ask(builds.submit, brief)
    except InputsError as error:
        listed = [{"pointer": where, "detail": detail} for where, detail in error.problems[:MAX_LISTED]]
        raise problems.HTTPProblem(422, "invalid", "The brief is invalid", str(error), errors=listed) from error
    objection = await asyncio.to_thread(builds.objection, brief)
    detail = f"No callback will be sent. {objection}"
    return {**build, "warnings": [{"pointer": "/evaluation_url", "detail": detail}] if objection else []}


def _status_url(request: Request, public_url: str | None, build: str) -> str:
    """The URL of the build: below SAMEBOAT_PUBLIC_URL if that is set, else below the URL of the request."""
    if public_url is None:
        return str(request.url_for("status", build=build))
    return f"{public_url.rstrip('/')}{request.app.url_path_for('status', build=build)}"


@router.post(
    "/api-endpoint", summary="Send a brief: 200 when it is stored", responses={200: {"model": AcceptedResponse}}
)
async def api_endpoint(brief: Brief, request: Request, builds: BuildsDep) -> Response:
    """The same brief sent again gives the same build. The app is built in the background, after the 200."""
    build = await _accept(builds, brief)
    body = {
        "status": "accepted",
        "build_status": build["status"],
        "job_id": build["id"],
        "status_url": _status_url(request, builds.settings.public_url, build["id"]),
        "deadline": build["deadline_s"],
        "warnings": build["warnings"],
    }
    return JSONResponse(body, 200, headers={"location": f"/builds/{build['id']}"})


@router.post(
    "/builds", summary="Send a brief: 202 and its build", status_code=202, responses={202: {"model": BuildResponse}}
)
async def create_build(brief: Brief, builds: BuildsDep) -> Response:
    """As `/api-endpoint`, but with status 202, and the whole build in the answer."""
    build = await _accept(builds, brief)
    return JSONResponse(with_deprecated(build), 202, headers={"location": f"/builds/{build['id']}"})


@router.get("/builds", summary="List builds", responses={200: {"model": BuildListResponse}})
async def list_builds(
    builds: AuthorizedBuildsDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[float | None, Query(description="Only builds received before this Unix time")] = None,
) -> Response:
    """The newest first."""
    newest = await _ask(builds.newest, limit, before)
    return JSONResponse({"builds": [with_deprecated(build) for build in newest]})


@router.get("/builds/{build}", summary="Get a build", name="status", responses={200: {"model": BuildDetailResponse}})
async def get_build(build: BuildDep) -> Response:
    """The id gives access. It is random, and only the sender of the brief got it."""
    return JSONResponse(with_deprecated(build))


@router.get(
    "/builds/{build}/events",
    summary="Stream the events of a build",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream_events(build: BuildDep, builds: BuildsDep, last_event_id: Annotated[str, Header()] = "0") -> Response:
    """Server-sent events from the start, or after `Last-Event-ID`. The stream ends after the build and its callback."""
    after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 12 else 0
    return sse.EventStreamResponse(_events(builds, build["id"], after), openai=False)


async def _events(builds: Builds, build: str, after: int) -> AsyncGenerator[str, None]:
    ends = time.monotonic() + STREAM_MAX_S
    while True:
        fields = await _ask(builds.get, build)
        for event in await _ask(builds.events, build, after):
            after = event["number"]
            value = {"at_s": event["at_s"], "text": event["text"], "data": event["data"]}
            value["request_id"] = fields["request_id"] if fields is not None else None
            yield f"id: {after}\n" + sse.frame(value, event["kind"])
        if fields is None or (fields["status"] in ENDED and fields["delivery"] != "pending"):
            return
        if builds.shutdown.requested or time.monotonic() > ends:  # the client reconnects after the last number
            return
        await asyncio.sleep(POLL_S)


@router.get(
    "/builds/{build}/exchanges",
    summary="List the exchanges of a build with models",
    responses={200: {"model": ExchangesResponse}},
)
async def list_exchanges(build: str, builds: AuthorizedBuildsDep) -> Response:
    """Each question to a model and its answer, with tokens and cost. This service's secrets are removed."""
    await _require_build(builds, build)
    return JSONResponse({"exchanges": await _ask(builds.exchanges, build)})


@router.get(
    "/builds/{build}/diff",
    summary="Get the change of the app's files in a build",
    responses={200: {"model": ChangesResponse}},
)
async def get_diff(build: str, builds: AuthorizedBuildsDep) -> Response:
    """From the commit that the build edited, which is the round before. 404 before its own commit.

    Raises:
        HTTPProblem: if there is no commit of this build.
    """
    await _require_build(builds, build)
    changes = await _ask(builds.changes, build)
    if changes is None:
        raise problems.HTTPProblem(404, "unknown-build", "Not found", "There is no commit of this build.")
    return JSONResponse(changes)


@router.get(
    "/builds/{build}/screenshot",
    summary="Get a screenshot of the app",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_screenshot(build: BuildDep, builds: BuildsDep) -> Response:
    """A PNG of the last verification. 404 before the first one.

    Raises:
        HTTPProblem: if there is no screenshot.
    """
    data = await _ask(builds.screenshot, build["id"])
    if data is None:
        raise problems.HTTPProblem(404, "unknown-build", "Not found", "There is no screenshot of this build.")
    return Response(data, media_type="image/png")


@router.post(
    "/builds/{build}/cancel", summary="Cancel a build", status_code=202, responses={202: {"model": BuildResponse}}
)
async def cancel_build(build: str, builds: AuthorizedBuildsDep) -> Response:
    """The model's request is cancelled, and no further step starts. Pushed commits stay."""
    return await _act(build, builds, builds.cancel)


@router.post(
    "/builds/{build}/deliver",
    summary="Send the callback again",
    status_code=202,
    responses={202: {"model": BuildResponse}},
)
async def deliver_build(build: str, builds: AuthorizedBuildsDep) -> Response:
    """With the same `webhook-id`."""
    return await _act(build, builds, builds.deliver)


@router.post(
    "/builds/{build}/retry",
    summary="Build a failed or cancelled brief again",
    status_code=202,
    responses={202: {"model": BuildResponse}},
)
async def retry_build(build: str, builds: AuthorizedBuildsDep) -> Response:
    """The same build with a new deadline. A commit that it pushed before is not pushed twice."""
    return await _act(build, builds, builds.retry)


async def _act(build: str, builds: Builds, act: Callable[[str], dict[str, Any]]) -> Response:
    await _require_build(builds, build)
    return JSONResponse(with_deprecated(await _ask(act, build)), 202)
