"""Builds over HTTP: a brief in, status, events, cancel, deliver again; and the local forge's smart HTTP.

`/api-endpoint` is the public contract: size, then shape (422, with pointers and never the input), then the secret
(403), then the durable commit, then 200. Our own routes take the same secret as a bearer token. When builds are
switched off because no secret is set, every route says so with 503.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from service.builds.brief import Brief
from service.builds.forge.local import LocalForge
from service.builds.forge.serve import asgi, git_app, pages_app
from service.builds.runtime import Builds
from service.engine.pool import Engines
from service.errors import InputsError, SettingsError
from service.http import problems, sse
from service.http.builds_types import Accepted, Exchanges, Newest, Shown, ShownWithCallbacks
from service.http.state import Service
from service.prompts.library import Library
from service.settings import Settings

router = APIRouter(tags=["builds"])
LOOK_S = 0.4
OVER = ("done", "failed", "cancelled")


def _builds(request: Request) -> Builds | None:
    found: Builds | None = getattr(request.app.state, "builds", None)
    return found


BuildsDep = Annotated[Builds | None, Depends(_builds)]
Bearer = Annotated[str, Header(alias="authorization", description="Bearer and the secret")]


def off() -> Response:
    """What every route says without a secret."""
    said = "Builds are switched off here: SAMEBOAT_SECRET is not set."
    return problems.respond("", 503, problems.problem(503, "builds-off", "Builds are switched off", said))


def forbidden() -> Response:
    """The same for every wrong secret."""
    return problems.respond("", 403, problems.problem(403, "forbidden", "Forbidden", "The secret is wrong."))


def unknown() -> Response:
    """No such build."""
    return problems.respond("", 404, problems.problem(404, "unknown-build", "Not found", "There is no such build."))


def wrong(error: InputsError) -> Response:
    """Attachments that cannot be used, with pointers into what was sent; after the secret, for decoding costs."""
    found = [{"pointer": where, "detail": detail} for where, detail in error.problems]
    body = problems.problem(422, "invalid", "The brief is invalid", str(error), errors=found)
    return problems.respond("", 422, body)


@router.post("/api-endpoint", summary="A brief: 200 when it is durably stored", responses={200: {"model": Accepted}})
async def endpoint(brief: Brief, request: Request, builds: BuildsDep) -> Response:
    """The same brief again, at any time, is the same build. Everything after the 200 happens in the background."""
    if builds is None:
        return off()
    if not builds.admits(brief.secret.get_secret_value()):
        return forbidden()
    try:
        shown = await asyncio.to_thread(builds.submit, brief)
    except InputsError as error:
        return wrong(error)
    body = {
        "status": "accepted",
        "build_status": shown["status"],
        "job_id": shown["id"],
        "status_url": str(request.url_for("status", build=shown["id"])),
        "deadline": shown["deadline_s"],
    }
    return JSONResponse(body, 200, headers={"location": f"/builds/{shown['id']}"})


@router.post(
    "/builds", summary="A brief: 202 and where to watch it", status_code=202, responses={202: {"model": Shown}}
)
async def submit(brief: Brief, builds: BuildsDep) -> Response:
    """As `/api-endpoint`, with the status code that HTTP has for it."""
    if builds is None:
        return off()
    if not builds.admits(brief.secret.get_secret_value()):
        return forbidden()
    try:
        shown = await asyncio.to_thread(builds.submit, brief)
    except InputsError as error:
        return wrong(error)
    return JSONResponse(shown, 202, headers={"location": f"/builds/{shown['id']}"})


def _bearer(header: str) -> str:
    return header.removeprefix("Bearer ").removeprefix("bearer ")


@router.get("/builds", summary="The newest builds", responses={200: {"model": Newest}})
async def every(
    builds: BuildsDep,
    authorization: Bearer = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[float | None, Query(description="Only those received before this Unix time")] = None,
) -> Response:
    """Newest first."""
    if builds is None:
        return off()
    if not builds.admits(_bearer(authorization)):
        return forbidden()
    return JSONResponse({"builds": await asyncio.to_thread(builds.newest, limit, before)})


@router.get("/builds/{build}", summary="One build", name="status", responses={200: {"model": ShownWithCallbacks}})
async def status(build: str, builds: BuildsDep) -> Response:
    """Its id is hard to guess and is what its sender was told; nothing else is needed to look at it."""
    if builds is None:
        return off()
    shown = await asyncio.to_thread(builds.get, build)
    return JSONResponse(shown) if shown is not None else unknown()


@router.get(
    "/builds/{build}/events",
    summary="What happens in a build, as server-sent events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(build: str, builds: BuildsDep, last_event_id: Annotated[str, Header()] = "0") -> Response:
    """From the beginning, or after `Last-Event-ID`; it ends when the build and its callback have ended."""
    if builds is None:
        return off()
    if await asyncio.to_thread(builds.get, build) is None:
        return unknown()
    after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 12 else 0
    return sse.Events(_events(builds, build, after), openai=False, headers={})


async def _events(builds: Builds, build: str, after: int) -> AsyncGenerator[str, None]:
    while True:
        shown = await asyncio.to_thread(builds.get, build)
        for event in await asyncio.to_thread(builds.events, build, after):
            after = event["number"]
            value = {"at_s": event["at_s"], "text": event["text"], "data": event["data"]}
            yield f"id: {after}\n" + sse.frame(value, event["kind"])
        if shown is None or (shown["status"] in OVER and shown["delivery"] != "pending"):
            return
        if builds.leaving.begun:  # the client comes again, with the last number it saw
            return
        await asyncio.sleep(LOOK_S)


@router.get(
    "/builds/{build}/exchanges",
    summary="What models were asked for a build, and what they answered",
    responses={200: {"model": Exchanges}},
)
async def exchanges(build: str, builds: BuildsDep, authorization: Bearer = "") -> Response:
    """Everything that was told to a model and came back, with tokens and cost, and without this service's secrets."""
    if builds is None:
        return off()
    if not builds.admits(_bearer(authorization)):
        return forbidden()
    if await asyncio.to_thread(builds.get, build) is None:
        return unknown()
    return JSONResponse({"exchanges": await asyncio.to_thread(builds.exchanges, build)})


@router.get(
    "/builds/{build}/screenshot",
    summary="The page as the last verification saw it",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def screenshot(build: str, builds: BuildsDep) -> Response:
    """A PNG; 404 before there is one."""
    if builds is None:
        return off()
    data = await asyncio.to_thread(builds.screenshot, build)
    return unknown() if data is None else Response(data, media_type="image/png")


@router.post(
    "/builds/{build}/cancel",
    summary="Begin no further step of a build",
    status_code=202,
    responses={202: {"model": Shown}},
)
async def cancel(build: str, builds: BuildsDep, authorization: Bearer = "") -> Response:
    """A model that answers for it is withdrawn; what was pushed stays."""
    return await _act(build, builds, authorization, "cancel")


@router.post("/builds/{build}/deliver", summary="Call back again", status_code=202, responses={202: {"model": Shown}})
async def deliver(build: str, builds: BuildsDep, authorization: Bearer = "") -> Response:
    """With the same `webhook-id`."""
    return await _act(build, builds, authorization, "deliver")


async def _act(build: str, builds: Builds | None, authorization: str, what: str) -> Response:
    if builds is None:
        return off()
    if not builds.admits(_bearer(authorization)):
        return forbidden()
    if await asyncio.to_thread(builds.get, build) is None:
        return unknown()
    shown: dict[str, Any] = await asyncio.to_thread(getattr(builds, what), build)
    return JSONResponse(shown, 202)


@contextlib.asynccontextmanager
async def running(app: FastAPI, settings: Settings, library: Library, engines: Engines) -> AsyncIterator[None]:
    """For the application's lifespan: builds run, and the local forge is served, until it ends.

    Without a secret nothing is started, and the routes say that builds are off.
    """
    if settings.secret is None:
        yield
        return
    builds = Builds(settings, library, engines)
    await builds.start()
    app.state.builds = builds
    sites: Sites | None = None
    service: Service | None = getattr(app.state, "service", None)
    hears = asyncio.create_task(_leave(builds, service.draining)) if service is not None else None
    try:
        if isinstance(builds.forge, LocalForge):
            token = settings.forge_token.get_secret_value() if settings.forge_token is not None else None
            app.mount("/git", asgi(git_app(builds.forge, token), "/git"))
            if settings.role != "worker":
                sites = Sites(builds.forge, settings)
                await sites.start()
        yield
    finally:
        if hears is not None:
            hears.cancel()
        if sites is not None:
            await sites.stop()
        await builds.stop()
        app.state.builds = None


async def _leave(builds: Builds, draining: asyncio.Event) -> None:
    """Builds let go before the engines do: an engine that leaves must not look like one that cannot answer."""
    await draining.wait()
    builds.leave()


class Sites:
    """The published sites on their own port, so on their own origin, in the same process."""

    def __init__(self, forge: LocalForge, settings: Settings) -> None:
        self._server = _Inside(
            uvicorn.Config(
                pages_app(forge),
                host=settings.host,
                port=settings.pages_port,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises when the port is taken."""
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            if self._task.done():
                raise SettingsError(
                    f"The port {self._server.config.port} of the published sites cannot be listened on.",
                    key="SAMEBOAT_PAGES_PORT",
                    remedy="Set another one.",
                )
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Inside(uvicorn.Server):
    """A server inside another one: signals are the outer one's, and a failed start does not end the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: Any = None) -> None:
        """As uvicorn's, but a taken port is only remembered: `started` stays False."""
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True
