"""Health, readiness, version and metrics. Admission never rejects these routes, and they never wait for an engine.

In: the running service. Out: its state as JSON, and metrics as text.
Not here: the numbers themselves (`metrics`).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service import __version__, resources
from service.engine.types import Health
from service.errors import SameboatError
from service.http.deps import Service, ServiceDep
from service.settings import Settings

probes = APIRouter(tags=["service"])
router = APIRouter(tags=["service"])


@probes.get("/healthz", summary="Alive: this process answers")
async def healthz() -> dict[str, str]:
    """Independent of the models, so that a long load does not look like a hung process."""
    return {"status": "alive"}


@probes.get("/readyz", summary="Ready: every engine can answer")
async def readyz(request: Request, service: ServiceDep) -> JSONResponse:
    """200 if every engine that the service was started with is ready.

    Else 503 with the state: loading, stalled, failed or draining. A caller with a key, or the only user on loopback,
    also gets the state, progress and reason of each engine, and the threads and memory of this container.
    """
    engines = {name: _health_json(service.engines.get(name).health()) for name in sorted(service.served_models)}
    state = "draining" if service.draining.is_set() else _overall({engine["state"] for engine in engines.values()})
    body: dict[str, Any] = {"state": state}
    if request.state.caller.trusted:
        body |= {"engines": engines, **_machine(service.settings)}
    if state == "ready":
        return JSONResponse(body)
    return JSONResponse(body, 503, headers={"retry-after": "2"})


def _machine(settings: Settings) -> dict[str, Any]:
    threads, threads_reason = resources.threads(settings)
    memory, memory_reason = resources.memory_bytes(settings)
    return {
        "threads": {"value": threads, "reason": threads_reason},
        "memory_bytes": {"value": memory, "reason": memory_reason},
    }


def _overall(states: set[str]) -> str:
    """One state for all engines: first the states that need action, then those that need time."""
    for state in ("failed", "draining", "stopped", "stalled"):
        if state in states:
            return state
    return "ready" if states == {"ready"} else "loading"


def _health_json(health: Health) -> dict[str, Any]:
    return {"state": health.state, "reason": health.reason, "progress": health.progress, "restarts": health.restarts}


@router.get("/version", summary="Version and digests")
async def version(service: ServiceDep) -> dict[str, Any]:
    """The version, and the digests of models and promoted prompts. The image's labels have the same digests."""
    return {"version": __version__, "models": _models(service), "prompts": _prompts(service)}


def _prompts(service: Service) -> dict[str, Any]:
    """Digests by name. If the files of a prompt differ from the promoted ones, the reason in place of the digest."""
    digests: dict[str, Any] = {}
    for name in service.library.names():
        try:
            digests[name] = service.library.digest(name)
        except SameboatError as error:
            digests[name] = {"refused": str(error)}
    return digests


def _models(service: Service) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for name, engine in service.engines.all().items():
        try:
            identity = engine.identity
        except SameboatError as error:
            models[name] = {"error": str(error)}
            continue
        models[name] = {
            "engine": identity.engine,
            "engine_version": identity.version,
            "sha256": identity.model_sha256,
            "template_sha256": identity.template_sha256,
        }
    return models


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceDep) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    return Response(service.metrics.text(service.engines), media_type=service.metrics.media_type)
