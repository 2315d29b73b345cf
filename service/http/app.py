"""The application: `create_app(settings)` puts routers and middleware together.

In: settings, and for tests other engines and prompts. Out: an ASGI application. Its lifespan starts the engines of the
promoted prompts, and shuts them down gracefully.
Not here: the server and its sockets (`server`, `listener`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
from collections.abc import AsyncIterator
from typing import cast

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from service import __version__, exposure, telemetry
from service.engine.pool import Engines
from service.errors import EngineUnavailable, SameboatError
from service.exposure import Exposure
from service.http import (
    builds,
    docs,
    evaluations,
    health,
    listener,
    openai_routes,
    openapi,
    problems,
    prompts,
    responses_routes,
    status,
    tokens_routes,
)
from service.http.access import QUIET, AccessLog
from service.http.admission import Admission
from service.http.auth import Authentication
from service.http.brute_force import FailedAttempts, SecretThrottle
from service.http.deps import Service
from service.http.hosts import AllowedHosts, CrossSiteGuard
from service.http.metrics import Metrics
from service.http.pages import router as pages
from service.http.rate_limit import RateLimit
from service.prompts import tool_decision
from service.prompts.library import Library
from service.prompts.warmup import variants
from service.settings import Settings

log = logging.getLogger("sameboat")
DEADLINE_MARGIN_S = 1.0  # the engine's own deadline comes first, because its error is more exact
TAGS = [
    {"name": "prompts", "description": "Promoted prompts with typed inputs. Answers match their schema."},
    {"name": "OpenAI-compatible", "description": "OpenAI's API, for existing clients."},
    {"name": "builds", "description": "Send a brief. The app is built, checked, published and reported."},
    {"name": "service", "description": "Health, readiness, metrics, version."},
]
"""In the order in which `/docs` shows them."""
EXPOSED_HEADERS = ["ratelimit", "ratelimit-policy", "retry-after", "location", "x-sameboat-fingerprint", "x-request-id"]
"""Response headers that a page of another origin may read."""
PLAIN_PATHS = (
    "/", "/api-endpoint", "/builds", "/prompts", "/readyz", "/status", "/v1/chat/completions", "/v1/completions",
    "/v1/embeddings", "/v1/models", "/v1/responses", "/version",
)  # fmt: skip
"""The paths that traces show. Others may hold a build's id, which lets its holder read the build."""


def create_app(settings: Settings, *, engines: Engines | None = None, library: Library | None = None) -> FastAPI:
    """The service as an ASGI application.

    Raises LockMismatch if the files of a prompt differ from the promoted ones, and SettingsError if the service can be
    reached from other machines without a key and SAMEBOAT_OPEN is not set.
    """
    exposed = exposure.require(settings)
    service = Service(
        settings=settings,
        engines=engines or Engines(settings),
        library=library or Library(settings.data_dir),
        metrics=Metrics(),
    )
    measured = telemetry.start(os.environ)
    app = FastAPI(
        title="Sameboat",
        version=__version__,
        summary="A prompt, its model and its service, provably in the same boat",
        openapi_tags=TAGS,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        telemetry=cast(TelemetryConfig, measured.of_framework(PLAIN_PATHS, QUIET)),
    )
    app.state.service, app.state.telemetry = service, measured
    list(service.library)  # raises LockMismatch
    routers: tuple[APIRouter, ...] = (
        health.probes,
        pages,
        health.router,
        status.router,
        evaluations.router,
        prompts.router,
        openai_routes.router,
        responses_routes.router,
        tokens_routes.router,
        builds.router,
        docs.router,
    )
    if settings.role == "worker":  # a worker has no API, and needs a key for more than the probes
        routers = (health.probes,) if exposed.closed else (health.probes, health.router)
    for router in routers:
        app.include_router(router)
    problems.install(app)
    openapi.install(app, service.library if settings.role != "worker" else None, keyed=bool(exposed.keys))
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
    _add_middleware(app, exposed, service)
    return app


def _add_middleware(app: FastAPI, exposed: Exposure, service: Service) -> None:
    """The middleware outside of `Admission`. A request passes the middleware that is added last first."""
    rejected, attempts = service.metrics.rejected, FailedAttempts()
    app.add_middleware(SecretThrottle, attempts=attempts)
    app.add_middleware(
        RateLimit,
        exposure=exposed,
        requests=service.settings.requests_per_minute,
        tokens=service.settings.tokens_per_minute,
        rejected=rejected,
    )
    app.add_middleware(Authentication, exposure=exposed, attempts=attempts, rejected=rejected)
    if exposed.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=exposed.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            allow_private_network=True,
        )
    app.add_middleware(CrossSiteGuard, origins=exposed.origins, own=exposed.own_origin, rejected=rejected)
    app.add_middleware(AllowedHosts, names=exposed.hosts, rejected=rejected)
    app.add_middleware(
        AccessLog, metrics=service.metrics, lines=service.settings.access_log, content=service.settings.log_content
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the engines and builds, serve, and stop them."""
    service: Service = app.state.service
    service.served_models = frozenset(models_to_start(service))
    for name in sorted(service.served_models):
        service.engines.get(name)
    service.metrics.watch(service.engines)
    await service.engines.start()
    service.keeper.start()
    tasks = [
        asyncio.create_task(_start_others(service)),
        asyncio.create_task(_verify_prompts(service)),
        asyncio.create_task(service.history.keep(service.engines, service.metrics)),
    ]
    try:
        async with contextlib.AsyncExitStack() as stack:
            if service.settings.secret is not None:  # without one, the routes of builds answer 503
                lifespan = await asyncio.to_thread(importlib.import_module, "service.http.builds_lifespan")
                builds_run = lifespan.running(app, service.settings, service.library, service.engines)
                await stack.enter_async_context(builds_run)
            yield
    finally:
        for task in tasks:
            task.cancel()
        service.draining.set()
        await service.engines.stop(0.0)
        await service.keeper.stop()
        await asyncio.to_thread(app.state.telemetry.stop)


async def _start_others(service: Service) -> None:
    """Load the other models when the default one answers or has failed. Until then they would take its cores."""
    with contextlib.suppress(EngineUnavailable):
        await service.engines.get().ready()
    for name in sorted(service.served_models):
        await service.engines.start(name)


def models_to_start(service: Service) -> list[str]:
    """The default model, and the models of promoted prompts in the cache. Others start when they are pulled."""
    models = {service.engines.default}
    if service.settings.engine == "local":
        from service.models.cache import Cache

        cache, catalog = Cache(service.settings.cache_dir), service.engines.catalog
        named = {prompt.spec.model for prompt in service.library if prompt.spec.model}
        models |= {catalog.resolve(name) for name in named if name in catalog and cache.holds(catalog[name])}
    return sorted(models)


async def _verify_prompts(service: Service) -> None:
    """Log the prompts that cannot be served, and warm up the prefixes of the others, and of questions about tools."""
    for name in sorted(service.served_models):
        engine = service.engines.get(name)
        if engine.tools_threshold is not None:
            await engine.warm_up([tool_decision.variants()])
    refused: dict[str, list[str]] = {}
    for name in service.library.names():
        try:
            promoted = service.library.promoted(name)
            prompt, engine = promoted.prompt, await service.engine_for(promoted)
            if service.engines.catalog.resolve(prompt.spec.model or service.engines.default) in service.served_models:
                await engine.warm_up([variants(prompt)])
        except SameboatError as error:
            refused.setdefault(str(error), []).append(name)
    for reason, names in refused.items():
        log.warning("not served: %s. %s", ", ".join(names), reason)
