"""Alive, ready, measured, versioned. Never blocked by admission, never waiting for an engine."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service import __version__, resources
from service.engine.types import Health
from service.errors import SameboatError
from service.http.deps import Service, ServiceDep
from service.http.metrics import Metrics
from service.settings import Settings

probes = APIRouter(tags=["service"])
router = APIRouter(tags=["service"])


@probes.get("/healthz", summary="Alive: this process answers")
async def healthz() -> dict[str, str]:
    """Says nothing about models: a long load must not read as a hung process."""
    return {"status": "alive"}


@probes.get("/readyz", summary="Ready: every engine can answer")
async def readyz(request: Request, service: ServiceDep) -> JSONResponse:
    """200 when every engine that the service was started with is ready.

    Else 503 with the state: loading, stalled, failed or draining. Who shows a key, or is alone on loopback, is told
    more: each engine's state, progress and reason, and what this container may use.
    """
    engines = {name: _shown(service.engines.get(name).health()) for name in sorted(service.serves)}
    state = "draining" if service.draining.is_set() else _overall({each["state"] for each in engines.values()})
    body: dict[str, Any] = {"state": state}
    if request.state.caller.trusted:
        body |= {"engines": engines, **_machine(service.settings)}
    done = state == "ready"
    return JSONResponse(body, 200 if done else 503, headers=None if done else {"retry-after": "2"})


def _machine(settings: Settings) -> dict[str, Any]:
    threads, why_threads = resources.threads(settings)
    memory, why_memory = resources.memory_bytes(settings)
    return {
        "threads": {"value": threads, "reason": why_threads},
        "memory_bytes": {"value": memory, "reason": why_memory},
    }


def _overall(states: set[str]) -> str:
    """One word for all engines: what a person has to act on first, then what has only to be waited for."""
    for each in ("failed", "draining", "stopped", "stalled"):
        if each in states:
            return each
    return "ready" if states == {"ready"} else "loading"


def _shown(health: Health) -> dict[str, Any]:
    return {"state": health.state, "reason": health.reason, "progress": health.progress, "restarts": health.restarts}


@router.get("/version", summary="What is served, by digest")
async def version(service: ServiceDep) -> dict[str, Any]:
    """Version, models and promoted prompts with their digests; the image's labels say the same."""
    return {"version": __version__, "models": _models(service), "prompts": _prompts(service)}


def _prompts(service: Service) -> dict[str, Any]:
    """Digests by name; of a prompt whose files are no longer what was promoted, why it is not served."""
    found: dict[str, Any] = {}
    for name in service.library.names():
        try:
            found[name] = service.library.digest(name)
        except SameboatError as error:
            found[name] = {"refused": str(error)}
    return found


def _models(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, engine in service.engines.all().items():
        try:
            identity = engine.identity
        except SameboatError as error:
            found[name] = {"error": str(error)}
            continue
        found[name] = {
            "engine": identity.engine,
            "engine_version": identity.version,
            "sha256": identity.model_sha256,
            "template_sha256": identity.template_sha256,
        }
    return found


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceDep) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    collected: Metrics = service.metrics
    return Response(collected.text(service.engines), media_type=collected.media_type)
