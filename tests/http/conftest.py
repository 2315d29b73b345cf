"""A service with scripted engines and prompts in a temporary directory, and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.types import Answer, Chunk, Engine, Health, Request
from service.http.app import create_app
from service.http.quiet_server import QuietServer
from service.models.catalog import Catalog
from service.prompts import lock as locks
from service.prompts.file import load
from service.prompts.library import Library
from service.settings import Settings
from tests.scripted import ScriptedEngine

GREET = """\
name: greet
description: Greets somebody
messages:
  - role: user
    content: "Greet {{name}}."
inputs:
  type: object
  properties:
    name: {type: string, maxLength: 40}
  required: [name]
testDataFile: cases.jsonl
"""
PERSON = """\
name: person
description: Who is it?
responseFormat: json_schema
jsonSchema:
  type: object
  additionalProperties: false
  required: [first, age]
  properties:
    first: {type: string}
    age: {type: integer}
messages:
  - role: user
    content: "{{text}}"
testDataFile: cases.jsonl
"""
DRAFT = "name: draft\nmessages: [{role: user, content: hello}]\n"


class Scripted(Engines):
    """Engines of which every one is the same scripted engine."""

    def __init__(self, settings: Settings, catalog: Catalog, engine: ScriptedEngine) -> None:
        super().__init__(settings, catalog)
        self.engine = engine

    def _make(self, name: str) -> Engine:
        assert name in self.catalog or self.catalog[name]  # an unknown name is refused as by the real ones
        return self.engine


class Held(ScriptedEngine):
    """Gives `first` chunks and then never another one, until the request is withdrawn."""

    def __init__(self, first: int) -> None:
        super().__init__(lambda request: "never")
        self.first = first

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        self.asked.append(request)
        try:
            for _ in range(self.first):
                yield Chunk("word ")
            await asyncio.Event().wait()
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise


def promote(data: Path, engine: Engine, text: str, name: str) -> None:
    """Write a prompt with everything that a promotion leaves beside it."""
    folder = data / "prompts" / name
    folder.mkdir(parents=True)
    path = folder / f"{name}.prompt.yml"
    path.write_text(text)
    (folder / "cases.jsonl").write_text('{"id": "1", "name": "Ada", "greeting": "Hello, Ada."}\n')
    (folder / "recording.jsonl").write_text("")
    (folder / "lock.json").write_text(locks.make(load(path), folder, engine.identity).text())


GREET_INPUTS = {"name": "Ada"}
Make = Callable[..., FastAPI]


@pytest.fixture
def make(tmp_path: Path, catalog: Catalog) -> Make:
    """Makes a service with this engine. Keywords are settings."""

    def made(engine: ScriptedEngine, **overrides: Any) -> FastAPI:
        data = tmp_path / "data"
        if not data.exists():
            for text, name in ((GREET, "greet"), (PERSON, "person")):
                promote(data, engine, text, name)
            (data / "prompts" / "draft").mkdir()
            (data / "prompts" / "draft" / "draft.prompt.yml").write_text(DRAFT)
        settings = settings_module.load(data_dir=data, port=0, **overrides)
        return create_app(settings, engines=Scripted(settings, catalog, engine), library=Library(data))

    return made


@pytest.fixture(scope="session")
def starter_url(starter: Path, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the starter model, ready, and one prompt, `greet`. All tests share it: none may end its worker."""
    data = tmp_path_factory.mktemp("starter") / "data"
    settings = settings_module.load(port=0, context=1024, parallel=4, model=catalog.default, data_dir=data)
    engines = Engines(settings, catalog)
    promote(data, engines.get(), f"{GREET}modelParameters: {{maxTokens: 2}}\n", "greet")
    with serving(create_app(settings, engines=engines, library=Library(data))) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            until(lambda: client.get("/readyz").status_code == 200, "the model is ready")
        yield url


@pytest.fixture
def starter_service(starter_url: str) -> Iterator[httpx.Client]:
    """A client of the shared service."""
    with httpx.Client(base_url=starter_url, timeout=60) as client:
        yield client


@contextlib.asynccontextmanager
async def inside(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application without a socket. The application's lifespan runs meanwhile."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as it,
    ):
        yield it


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """One request to the application."""

    async def asked() -> httpx.Response:
        async with inside(app) as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())


def looks(app: FastAPI, *paths: str, **headers: str) -> list[httpx.Response]:
    """GET each of these, with these headers, in one life of the application."""

    async def looked() -> list[httpx.Response]:
        async with inside(app) as client:
            return [await client.get(path, headers=headers) for path in paths]

    return asyncio.run(looked())


@contextlib.contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The application with real sockets, on a free port or on this one. Yields its URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none", timeout_graceful_shutdown=5)
    server = QuietServer(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the server starts")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(120)
        if thread.is_alive():
            faulthandler.dump_traceback(all_threads=True)
            pytest.fail("the server does not end")


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a state. The limit ends a test that would hang."""
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"did not happen: {what}")
        time.sleep(0.01)


def events(text: str) -> list[tuple[str, str]]:
    """(event, data) of every server-sent event."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields.get("event", "message"), fields["data"]))
    return found


READY = Health("ready", "scripted")
