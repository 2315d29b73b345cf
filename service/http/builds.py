"""Builds over HTTP: a brief in, status, events, cancel, deliver again.

`/api-endpoint` is the public contract: size, then shape (422, with pointers and never the input), then the secret
(403), then the durable commit, then 200. Our own routes take the same secret as a bearer token. When builds are
switched off because no secret is set, every route says so with 503.
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
    ExchangesResponse,
)
from service.http.json_body import JsonRoute

if TYPE_CHECKING:
    from service.builds.runtime import Builds

log = logging.getLogger("sameboat.http")
T = TypeVar("T")
router = APIRouter(tags=["builds"], route_class=JsonRoute)
LOOK_S = 0.4
LASTS_S = 1800.0  # of a stream of events: long enough for most builds, and no connection is for ever
AWAY_RETRY_S = 5.0  # a database that restarts is back in seconds
OVER = ("done", "failed", "cancelled")


async def _open(request: Request) -> Builds:
    """What this process builds with. Raises HTTPProblem where builds are off, as everywhere without a secret."""
    found: Builds | None = getattr(request.app.state, "builds", None)
    if found is None:
        said = "Builds are switched off here: SAMEBOAT_SECRET is not set."
        raise problems.HTTPProblem(503, "builds-off", "Builds are switched off", said)
    return found


if TYPE_CHECKING:
    Open = Annotated[Builds, Depends(_open)]
else:  # importing them takes a second, which a service without builds need not wait for (see `builds_lifespan`)
    Open = Annotated[object, Depends(_open)]


async def _trusted(
    builds: Open, authorization: Annotated[str, Header(description="Bearer and the secret")] = ""
) -> Builds:
    """The same, for who knows the secret. Raises HTTPProblem, the same for every wrong one."""
    _admit(builds, _bearer(authorization))
    return builds


if TYPE_CHECKING:
    Trusted = Annotated[Builds, Depends(_trusted)]
else:
    Trusted = Annotated[object, Depends(_trusted)]


def _bearer(authorization: str) -> str:
    return authorization.removeprefix("Bearer ").removeprefix("bearer ")


def _admit(builds: Builds, secret: str) -> None:
    if not builds.secret_matches(secret):
        raise problems.HTTPProblem(403, "forbidden", "Forbidden", "The secret is wrong.")


async def _ask(work: Callable[..., T], *values: Any) -> T:
    """Call a function of `Builds` in a thread, because it reads the database. Raises DatabaseUnavailable."""
    try:
        return await asyncio.to_thread(work, *values)
    except Exception as error:
        from service.builds.database import unavailable_reason

        what = unavailable_reason(error)
        if what is None:
            raise
        log.warning("Refused: %s", what)
        said = f"Nothing can be stored or looked up now: {what}. Come again."
        raise DatabaseUnavailable(said, retry_after_s=AWAY_RETRY_S) from error


def _unknown() -> problems.HTTPProblem:
    return problems.HTTPProblem(404, "unknown-build", "Not found", "There is no such build.")


async def _known(builds: Builds, build: str) -> dict[str, Any]:
    """The build as it is shown. Raises HTTPProblem when there is none."""
    shown = await _ask(builds.get, build)
    if shown is None:
        raise _unknown()
    return shown


async def _viewed(
    build: str, builds: Open, authorization: Annotated[str, Header(description="Bearer and the secret")] = ""
) -> dict[str, Any]:
    """The build, for who may look at it: who was told its id. Raises HTTPProblem for others.

    The id is the token: 128 random bits, told in the answer to the brief and in what the secret opens, published
    nowhere. A link in a mail or a progress bar needs no header then. Builds of earlier versions have an id that can be
    computed and is on their site: those need the secret.
    """
    shown = await _known(builds, build)
    if shown["public_id"] == shown["id"]:
        _admit(builds, _bearer(authorization))
    return shown


Viewed = Annotated[dict[str, Any], Depends(_viewed)]


async def _accepted(builds: Builds, brief: Brief) -> dict[str, Any]:
    """The build of a brief that is durably stored. Raises HTTPProblem for a wrong secret, then for wrong attachments.

    Decoding attachments costs, so that comes after the secret; what is wrong is pointed to and not repeated.
    """
    _admit(builds, brief.secret.get_secret_value())
    try:
        shown = await _ask(builds.submit, brief)
    except InputsError as error:
        found = [{"pointer": where, "detail": detail} for where, detail in error.problems[:MAX_LISTED]]
        raise problems.HTTPProblem(422, "invalid", "The brief is invalid", str(error), errors=found) from error
    against = await asyncio.to_thread(builds.objection, brief)
    warnings = [{"pointer": "/evaluation_url", "detail": f"No callback will be sent. {against}"}] if against else []
    return {**shown, "warnings": warnings}


def _status_url(request: Request, public_url: str | None, build: str) -> str:
    """Where to look at the build: below SAMEBOAT_PUBLIC_URL where it is set, whatever name the request was sent to."""
    if public_url is None:
        return str(request.url_for("status", build=build))
    return f"{public_url.rstrip('/')}{request.app.url_path_for('status', build=build)}"


@router.post(
    "/api-endpoint", summary="A brief: 200 when it is durably stored", responses={200: {"model": AcceptedResponse}}
)
async def endpoint(brief: Brief, request: Request, builds: Open) -> Response:
    """The same brief again, at any time, is the same build. Everything after the 200 happens in the background."""
    shown = await _accepted(builds, brief)
    body = {
        "status": "accepted",
        "build_status": shown["status"],
        "job_id": shown["id"],
        "status_url": _status_url(request, builds.settings.public_url, shown["id"]),
        "deadline": shown["deadline_s"],
        "warnings": shown["warnings"],
    }
    return JSONResponse(body, 200, headers={"location": f"/builds/{shown['id']}"})


@router.post(
    "/builds", summary="A brief: 202 and where to watch it", status_code=202, responses={202: {"model": BuildResponse}}
)
async def submit(brief: Brief, builds: Open) -> Response:
    """As `/api-endpoint`, with the status code that HTTP has for it."""
    shown = await _accepted(builds, brief)
    return JSONResponse(shown, 202, headers={"location": f"/builds/{shown['id']}"})


@router.get("/builds", summary="The newest builds", responses={200: {"model": BuildListResponse}})
async def every(
    builds: Trusted,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[float | None, Query(description="Only those received before this Unix time")] = None,
) -> Response:
    """BuildListResponse first."""
    return JSONResponse({"builds": await _ask(builds.newest, limit, before)})


@router.get("/builds/{build}", summary="One build", name="status", responses={200: {"model": BuildDetailResponse}})
async def status(shown: Viewed) -> Response:
    """Its id is random and only its sender was told; nothing else is needed to look at it."""
    return JSONResponse(shown)


@router.get(
    "/builds/{build}/events",
    summary="What happens in a build, as server-sent events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(shown: Viewed, builds: Open, last_event_id: Annotated[str, Header()] = "0") -> Response:
    """From the beginning, or after `Last-Event-ID`; it ends when the build and its callback have ended."""
    after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 12 else 0
    return sse.EventStreamResponse(_events(builds, shown["id"], after), openai=False, headers={})


async def _events(builds: Builds, build: str, after: int) -> AsyncGenerator[str, None]:
    ends = time.monotonic() + LASTS_S
    while True:
        shown = await _ask(builds.get, build)
        for event in await _ask(builds.events, build, after):
            after = event["number"]
            value = {"at_s": event["at_s"], "text": event["text"], "data": event["data"]}
            yield f"id: {after}\n" + sse.frame(value, event["kind"])
        if shown is None or (shown["status"] in OVER and shown["delivery"] != "pending"):
            return
        if builds.shutdown.requested or time.monotonic() > ends:  # the client comes again, with the last number it saw
            return
        await asyncio.sleep(LOOK_S)


@router.get(
    "/builds/{build}/exchanges",
    summary="What models were asked for a build, and what they answered",
    responses={200: {"model": ExchangesResponse}},
)
async def exchanges(build: str, builds: Trusted) -> Response:
    """Everything that was told to a model and came back, with tokens and cost, and without this service's secrets."""
    await _known(builds, build)
    return JSONResponse({"exchanges": await _ask(builds.exchanges, build)})


@router.get(
    "/builds/{build}/screenshot",
    summary="The page as the last verification saw it",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def screenshot(shown: Viewed, builds: Open) -> Response:
    """A PNG; 404 before there is one."""
    data = await _ask(builds.screenshot, shown["id"])
    if data is None:
        raise _unknown()
    return Response(data, media_type="image/png")


@router.post(
    "/builds/{build}/cancel",
    summary="Begin no further step of a build",
    status_code=202,
    responses={202: {"model": BuildResponse}},
)
async def cancel(build: str, builds: Trusted) -> Response:
    """A model that answers for it is withdrawn; what was pushed stays."""
    return await _act(build, builds, builds.cancel)


@router.post(
    "/builds/{build}/deliver", summary="Call back again", status_code=202, responses={202: {"model": BuildResponse}}
)
async def deliver(build: str, builds: Trusted) -> Response:
    """With the same `webhook-id`."""
    return await _act(build, builds, builds.deliver)


@router.post(
    "/builds/{build}/retry",
    summary="Build a failed or cancelled brief again",
    status_code=202,
    responses={202: {"model": BuildResponse}},
)
async def retry(build: str, builds: Trusted) -> Response:
    """The same build with a new deadline; what it pushed before is found and not pushed twice."""
    return await _act(build, builds, builds.retry)


async def _act(build: str, builds: Builds, act: Callable[[str], dict[str, Any]]) -> Response:
    await _known(builds, build)
    return JSONResponse(await _ask(act, build), 202)
