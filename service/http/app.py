"""The application, put together: `create_app(settings)`. Read top to bottom, it is the list of what the service does.

What comes in: settings; for tests also engines and prompts of their own. What goes out: an ASGI application whose
lifespan starts the engines of the promoted prompts and stops them with grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from service import __version__, exposure
from service.engine.pool import Engines
from service.errors import SameboatError
from service.exposure import Exposure
from service.http import builds, docs, health, listener, openai_routes, openapi, problems, prompts
from service.http.admission import Admission
from service.http.auth import Authentication
from service.http.brute_force import FailedAttempts, SecretThrottle
from service.http.deps import Service
from service.http.hosts import AllowedHosts, CrossSiteGuard
from service.http.metrics import Metrics
from service.http.pages import router as pages
from service.http.rate_limit import RateLimit
from service.prompts.library import Library
from service.prompts.warmup import variants
from service.settings import Settings

log = logging.getLogger("sameboat")
DEADLINE_MARGIN_S = 1.0  # later than the engine's own deadline, which knows better what to say
TAGS = [
    {"name": "prompts", "description": "What was promoted, typed: inputs are checked, answers keep to their schema."},
    {"name": "OpenAI-compatible", "description": "For the clients that people have already."},
    {"name": "builds", "description": "A brief comes in, an app is made, checked, published and reported."},
    {"name": "service", "description": "Alive, ready, measured, versioned."},
]
"""In the order of `/docs`."""
EXPOSED_HEADERS = ["ratelimit", "ratelimit-policy", "retry-after", "location", "x-sameboat-fingerprint"]
"""Headers of an answer that a page of another origin may read."""


def create_app(settings: Settings, *, engines: Engines | None = None, library: Library | None = None) -> FastAPI:
    """The service as an ASGI application. Raises LockMismatch when a prompt's files are not what was promoted, and
    SettingsError when strangers could use it although no setting says so."""
    found = exposure.require(settings)
    service = Service(
        settings=settings,
        engines=engines or Engines(settings),
        library=library or Library(settings.data_dir),
        metrics=Metrics(),
    )
    app = FastAPI(
        title="Sameboat",
        version=__version__,
        summary="A prompt, its model and its service, provably in the same boat",
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = service
    list(service.library)  # raises when a prompt's files are not what was promoted
    everything: tuple[APIRouter, ...] = (
        health.probes,
        pages,
        health.router,
        prompts.router,
        openai_routes.router,
        builds.router,
        docs.router,
    )
    if settings.role == "worker":  # it only builds, and without a key it tells nothing
        everything = (health.probes,) if found.closed else (health.probes, health.router)
    for router in everything:
        app.include_router(router)
    problems.install(app)
    openapi.install(app, service.library if settings.role != "worker" else None, keyed=bool(found.keys))
    max_active = 2 * (settings.queue_requests + settings.parallel)
    app.add_middleware(
        Admission,
        max_body_bytes=settings.max_body_bytes,
        max_active=max_active,
        bodies_bytes=settings.body_buffer_bytes,
        deadline_s=settings.request_deadline_s + DEADLINE_MARGIN_S,
        per_address=settings.connections_per_address,
        is_shared=listener.shared_addresses(settings),
        wait_s=service.wait_s,
        rejected=service.metrics.rejected,
    )
    _add_middleware(app, found, service)
    return app


def _add_middleware(app: FastAPI, found: Exposure, service: Service) -> None:
    """What a request passes before any route sees it: the last that is added here is the first that it meets."""
    rejected, attempts = service.metrics.rejected, FailedAttempts()
    app.add_middleware(SecretThrottle, attempts=attempts)
    app.add_middleware(
        RateLimit,
        exposure=found,
        requests=service.settings.requests_per_minute,
        tokens=service.settings.tokens_per_minute,
        rejected=rejected,
    )
    app.add_middleware(Authentication, exposure=found, attempts=attempts, rejected=rejected)
    if found.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=found.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            allow_private_network=True,
        )
    app.add_middleware(CrossSiteGuard, origins=found.origins, own=found.own_origin, rejected=rejected)
    app.add_middleware(AllowedHosts, names=found.hosts, rejected=rejected)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what is served, serve, and let it end."""
    service: Service = app.state.service
    service.serves = frozenset(models_to_start(service))
    for name in sorted(service.serves):
        await service.engines.start(name)
    service.metrics.watch(service.engines)
    checks = asyncio.create_task(_verify_prompts(service))
    try:
        async with contextlib.AsyncExitStack() as stack:
            if service.settings.secret is not None:  # without one, the routes say that builds are off
                life = await asyncio.to_thread(importlib.import_module, "service.http.builds_lifespan")
                work = life.running(app, service.settings, service.library, service.engines)
                await stack.enter_async_context(work)
            yield
    finally:
        checks.cancel()
        service.draining.set()
        await service.engines.stop(0.0)


def models_to_start(service: Service) -> list[str]:
    """The default model, and those of promoted prompts that the cache holds: the others answer when they are pulled."""
    wanted = {service.engines.default}
    if service.settings.engine == "local":
        from service.models.cache import Cache

        cache = Cache(service.settings.cache_dir)
        named = {prompt.spec.model for prompt in service.library if prompt.spec.model}
        wanted |= {
            name for name in named if name in service.engines.catalog and cache.holds(service.engines.catalog[name])
        }
    return sorted(wanted)


async def _verify_prompts(service: Service) -> None:
    """Say early, in the log, which prompts will be refused, and have the others' beginnings decoded ahead."""
    refused: dict[str, list[str]] = {}
    for name in service.library.names():
        try:
            promoted = service.library.promoted(name)
            prompt, engine = promoted.prompt, service.engine_for(promoted)
            if (prompt.spec.model or service.engines.default) in service.serves:
                await engine.warm_up([variants(prompt)])
        except SameboatError as error:
            refused.setdefault(str(error), []).append(name)
    for why, names in refused.items():
        log.warning("not served: %s. %s", ", ".join(names), why)
