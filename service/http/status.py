"""The routes that show this service to a person: models and settings with their reasons, and the last hour in numbers.

In: the running service. Out: JSON. A caller without a key sees no more than `/version` and `/metrics` show.
Not here: readiness for machines (`health`), Prometheus' format (`metrics`).
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import APIRouter, Query, Request

from service import __version__
from service.errors import SameboatError
from service.http import pages, problems
from service.http.deps import Service, ServiceDep
from service.http.history import COLUMNS, EVERY_S
from service.settings import Settings, env_variables

router = APIRouter(tags=["service"])
PLAIN = (bool, int, float, date, type(None))


@router.get("/status", summary="Describe the service")
async def get_status(request: Request, service: ServiceDep) -> dict[str, Any]:
    """The engines with state, reason and memory, the estimated wait, and for a caller with a key the settings.

    A setting of text is told as set or not set, because it may name hosts, folders or people.
    """
    trusted = request.state.caller.trusted
    return {
        "version": __version__,
        "default_model": service.engines.default,
        "wait_s": service.wait_s(),
        "sites": pages.site_source(getattr(request.app.state, "site_pattern", None)) if trusted else None,
        "engines": {name: _engine(name, service, trusted=trusted) for name in service.engines.all()},
        "settings": _settings(service.settings) if trusted else None,
    }


@router.get("/status/history", summary="Get the numbers of the last hour")
async def get_history(
    service: ServiceDep, after: Annotated[float, Query(description="Only rows after this Unix time")] = 0.0
) -> dict[str, Any]:
    """One row every five seconds. Counters only grow, so the difference of two rows covers the time in between."""
    return {"every_s": EVERY_S, "columns": COLUMNS, "rows": service.history.rows(after)}


@router.get("/status/doctor", summary="Examine the machine")
async def get_findings(request: Request, service: ServiceDep) -> list[dict[str, str]]:
    """The findings of `sameboat doctor`, except those about the port and the kernels, which the running service uses.

    They name folders, hosts and callers. So only the person who started the studio, or the single user of a service
    on loopback without keys, gets them.

    Raises:
        HTTPProblem: for every other caller, and while another examination runs.
    """
    caller = request.state.caller
    if not caller.trusted or not (caller.name is None or service.in_studio):
        detail = "Findings name folders and callers. On the machine of the service: sameboat doctor"
        raise problems.HTTPProblem(403, "forbidden", "Forbidden", detail)
    if service.examining.locked():
        raise problems.HTTPProblem(
            409, "examining", "Conflict", "The machine is being examined. Ask again in a moment."
        )
    async with service.examining:
        return await asyncio.to_thread(_findings, service.settings)


def _findings(settings: Settings) -> list[dict[str, str]]:
    from service.doctor import examine  # it imports the engine and the builds, and few people ask

    return [asdict(finding) for finding in examine(settings)]


def _engine(name: str, service: Service, *, trusted: bool) -> dict[str, Any]:
    """Its state. For a trusted caller also the reasons."""
    engine = service.engines.get(name)
    health = engine.health()
    state: dict[str, Any] = {"state": health.state}
    if not trusted:
        return state
    state |= {"reason": health.reason, "progress": health.progress, "restarts": health.restarts}
    try:
        identity, context = engine.identity, engine.n_ctx
    except SameboatError as error:  # such as a model that is not in the cache
        return {**state, "reason": str(error)}
    return {
        **state,
        "engine": identity.engine,
        "engine_version": identity.version,
        "sha256": identity.model_sha256,
        "kernels": identity.kernels,
        "context": context,
        "stats": dict(engine.stats()),
    }


def _settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting by its variable, in the order of `.env.example`, with its value, its default and its purpose."""
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        default = field.get_default(call_default_factory=True)
        plain = _is_plain(field.annotation)
        rows.append(
            {
                "name": env_variables(name)[0],
                "value": _shown(value, plain=plain),
                "default": _shown(default, plain=plain),
                "changed": value != default,
                "description": field.description,
            }
        )
    return rows


def _is_plain(annotation: Any) -> bool:
    """Whether every value of a type is a number, a date, or one of the words that the type lists."""
    if get_origin(annotation) is Literal or annotation in PLAIN:
        return True
    parts = get_args(annotation)
    return bool(parts) and all(_is_plain(part) for part in parts)


def _shown(value: Any, *, plain: bool) -> Any:
    if plain:
        return value.isoformat() if isinstance(value, date) else value
    return "set" if value else None
