"""Shared by the tests of builds: an evaluator that checks the contract, an application around builds, a brief."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from service import settings as settings_module
from service import telemetry
from service.backoff import Backoff
from service.builds import generation_steps, queues
from service.engine.pool import Engines
from service.engine.types import Answer, Chunk, Engine, Identity, Request
from service.http import builds as routes
from service.http import builds_lifespan, problems
from service.http.access import AccessLog
from service.http.metrics import Metrics
from service.http.quiet_server import QuietServer
from service.prompts.file import Prompt, load
from service.prompts.library import Library
from service.settings import Settings
from tests.ports import free_port
from tests.scripted import ScriptedEngine

queues.POLL_S = 0.2  # tests wait less than a service
generation_steps.REFUSALS = Backoff(0.2, 3.0, longest_asked_s=30.0)

SECRET = "canary-secret-7f3a"
PLAN = {
    "title": "Sum of sales",
    "summary": "What was sold.",
    "sections": [{"heading": "Sales", "text": "All of them."}],
}


class Unlocked(Library):
    """The prompts of the repository as they are now, promoted or not: these tests are not about locks."""

    def __getitem__(self, name: str) -> Prompt:
        path = self.folder(name) / f"{name}.prompt.yml"
        return load(path) if path.exists() else super().__getitem__(name)

    def verify(self, name: str, identity: Identity) -> None:
        return None


class OneEngine(Engines):
    """Every model is this engine."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        super().__init__(settings)
        self.engine = engine

    def get(self, name: str | None = None) -> Engine:
        return self.engine

    def missing(self, name: str) -> str | None:
        return None


def settings_for(state: Path, **more: Any) -> Settings:
    port, pages = more.pop("port", None) or free_port(), more.pop("pages_port", None) or free_port()
    values = {
        "secret": SECRET,
        "state_dir": state,
        "port": port,
        "pages_port": pages,
        "shutdown_grace_s": 5.0,
        "callback_allow": "127.0.0.0/8",
        "callback_signing_key": "whsec_c2lnbmluZyBrZXk=",
        "maker": "plan",
    }
    return settings_module.load(**(values | more))


def app_for(settings: Settings, engine: Engine) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engines = OneEngine(settings, engine)
        async with builds_lifespan.running(app, settings, Unlocked(settings.data_dir), engines):
            yield
        await engine.stop(0)
        await engines.stop(0)
        await asyncio.to_thread(measured.stop)

    measured = telemetry.start(os.environ)
    app = FastAPI(lifespan=lifespan, telemetry=cast(TelemetryConfig, measured.of_framework(["/builds"], [])))
    app.add_middleware(AccessLog, metrics=Metrics(), lines=False)
    app.include_router(routes.router)
    problems.install(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    return app


@contextlib.contextmanager
def serving(settings: Settings, engine: Engine) -> Iterator[httpx.Client]:
    """The application on real ports in a thread, and a client for it."""
    server = QuietServer(
        uvicorn.Config(app_for(settings, engine), host="127.0.0.1", port=settings.port, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def plans(_: Request) -> str:
    """A scripted model that always plans."""
    return json.dumps(PLAN)


def planner() -> ScriptedEngine:
    return ScriptedEngine(plans)


def engine_for(state: Path) -> ScriptedEngine:
    """A planner that leaves a line in `STATE/asked` for every request, so that processes together can be counted.

    It takes `TEST_ANSWER_S` for an answer, and gives none when it is stopped meanwhile, as a real one. It writes
    `TEST_LEAKS` into its plan.
    """

    def counted(request: Request) -> str:
        with (state / "asked").open("a", encoding="ascii") as log:
            log.write("x\n")
        return json.dumps(PLAN | {"summary": os.environ.get("TEST_LEAKS", PLAN["summary"])})

    return SlowEngine(counted)


class SlowEngine(ScriptedEngine):
    """Answers after a while."""

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        await asyncio.sleep(float(os.environ.get("TEST_ANSWER_S", "0")))
        async with contextlib.aclosing(super().stream(request)) as items:
            async for item in items:
                yield item


def brief(evaluator: str, **changes: Any) -> dict[str, Any]:
    """A brief as a sender posts it."""
    sample = base64.b64encode(b"product,sales\nA,1.5\nB,2.5\n").decode()
    return {
        "email": "student@example.com",
        "secret": SECRET,
        "task": "sum-of-sales-1a2b3",
        "round": 1,
        "nonce": "ab12-1",
        "brief": "Publish a page that shows the sales.",
        "checks": ["Repo has MIT license", {"js": "!!document.title"}],
        "evaluation_url": evaluator,
        "attachments": [{"name": "data.csv", "url": f"data:text/csv;base64,{sample}"}],
    } | changes


def row(name: str, **changes: Any) -> dict[str, Any]:
    """A row of the table of builds, as `Store.accept` takes it."""
    return {
        "id": name, "identity": name, "received_s": 5.0, "deadline_s": 60.0, "payload_sha256": "", "attachments": [],
        "brief": brief("https://example.com/") | {"secret": ""}, "repository": "app", "enqueued": False,
        "status": "accepted", "delivery": "none", **changes,
    }  # fmt: skip


def until(what: Callable[[], Any], seconds: float = 240.0) -> Any:
    """Wait for something to become true. The limit only ends a test that would hang."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it never became true")


def finished(client: httpx.Client, build: str, seconds: float = 240.0) -> dict[str, Any]:
    """The build when it and its callback are over."""

    def over() -> dict[str, Any] | None:
        shown: dict[str, Any] = client.get(f"/builds/{build}").json()
        ended = shown["status"] in ("done", "failed", "cancelled") and shown["delivery"] != "pending"
        return shown if ended else None

    found: dict[str, Any] = until(over, seconds)
    return found


def posted(client: httpx.Client, body: Mapping[str, Any]) -> dict[str, Any]:
    response = client.post("/api-endpoint", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@dataclass
class Heard:
    """One request at the evaluator."""

    at_s: float
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.raw)
        return value


@dataclass
class Memory:
    """The requests to the evaluator, and its next answers."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    says: list[tuple[int, str]] = field(default_factory=list)
