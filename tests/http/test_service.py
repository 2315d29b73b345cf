"""The service without a model: status codes of errors, readiness, version, and shutdown."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import httpx
import pytest
import uvicorn

from service.engine.types import Health
from service.errors import EngineBusy, EngineUnavailable, PromptTooLong, SameboatError
from service.http import problems
from service.http.server import Server
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("llama_cpp", "llguidance"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from service import settings
from service.http.app import create_app
create_app(settings.load(engine="remote", remote_base_url="http://127.0.0.1:9/v1"))
"""


def test_a_remote_service_is_made_without_the_native_libraries() -> None:
    """With llama_cpp and llguidance unimportable, a service with a remote engine is still put together."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def every_error(base: type[SameboatError]) -> list[type[SameboatError]]:
    return [base, *(each for below in base.__subclasses__() for each in every_error(below))]


@pytest.mark.parametrize("error", every_error(SameboatError), ids=lambda error: error.__name__)
def test_only_a_fault_of_the_service_is_a_500(error: type[SameboatError]) -> None:
    """A class added to errors.py without a status of its own is found here."""
    status, _ = problems.classify(error.__new__(error))
    broken_here = {"SameboatError", "SettingsError", "EvaluationError", "CaseUnusable", "RequestFailed"}
    assert (status == 500) == (error.__name__ in broken_here)


@pytest.mark.parametrize("state", ["starting", "loading", "stalled", "failed", "ready"])
def test_ready_tells_the_states_apart_and_alive_does_not_care(make: Make, state: str) -> None:
    """`/readyz` names the state with its reason, and is 200 only when ready."""
    engine = ScriptedEngine(lambda _: "x")
    app = make(engine)
    engine.state = Health(state, "because", 0.5)  # type: ignore[arg-type]
    answer = ask(app, "GET", "/readyz")
    assert answer.status_code == (200 if state == "ready" else 503)
    assert answer.json()["state"] == {"starting": "loading"}.get(state, state)
    assert [each["reason"] for each in answer.json()["engines"].values()] == ["because"]
    assert {"value", "reason"} == set(answer.json()["threads"]) == set(answer.json()["memory_bytes"])
    engine.state = Health(state, "because", 0.5)  # type: ignore[arg-type]
    assert ask(app, "GET", "/healthz").json() == {"status": "alive"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (EngineBusy("full", retry_after_s=2.2), 429, "3"),
        (EngineUnavailable("restarting", retry_after_s=1), 503, "1"),
        (PromptTooLong("too long", limit=2048, count=3000), 400, None),
    ],
)
def test_an_engines_refusal_is_a_status_with_retry_after(
    make: Make, error: SameboatError, status: int, retry: str | None, stream: bool
) -> None:
    """An error before the first token is an HTTP status with Retry-After, also for a stream."""
    app = make(ScriptedEngine(lambda _: error))
    answer = ask(app, "POST", "/v1/chat/completions", json={**CHAT, "stream": stream})
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


class Leaving(ScriptedEngine):
    """An engine with a grace time that the test ends."""

    def __init__(self) -> None:
        super().__init__(lambda _: "x")
        self.stopping = asyncio.Event()
        self.ended = asyncio.Event()

    async def stop(self, grace_s: float) -> None:
        self.stopping.set()
        await self.ended.wait()


@pytest.mark.parametrize("impatient", [False, True])
def test_a_service_that_leaves_says_draining_until_its_answers_have_ended(make: Make, impatient: bool) -> None:
    """After SIGTERM the port stays open and `/readyz` says 503 draining, until the engines stopped or a second one."""

    async def story() -> None:
        engine = Leaving()
        app = make(engine)
        config = uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=5)
        server = Server(config, app.state.service)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port()}", timeout=30) as client:
            assert (await client.get("/readyz")).status_code == 200
            server.handle_exit(signal.SIGTERM, None)
            await engine.stopping.wait()
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["state"]) == (503, "draining")
            assert (await client.get("/healthz")).status_code == 200
            assert not server.should_exit
            if impatient:
                server.handle_exit(signal.SIGTERM, None)
                assert server.should_exit
        engine.ended.set()
        await serving
        assert server.should_exit

    # uvicorn raises the captured signal again, to end its caller. It must not end the test.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        asyncio.run(story())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_version_has_the_digests_of_prompts_and_models(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    body = ask(app, "GET", "/version").json()
    library = app.state.service.library
    assert body["prompts"]["greet"] == {"prompt": library["greet"].sha256, "lock": library.lock("greet").digest()}
    assert {model["sha256"] for model in body["models"].values()} == {"0" * 64}
