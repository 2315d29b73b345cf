"""A service with a remote engine: installed without the local one, and before another Sameboat."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, STARTER, Started, numbers, started, starter_cache, until
from tests.servers.openai_server import OpenAIServer

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "count": {"type": "integer", "minimum": 0}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}
ASK: dict[str, Any] = {
    "model": STARTER,
    "messages": [{"role": "user", "content": "Name a colour and a number."}],
    "temperature": 0,
    "max_tokens": 24,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "pick", "strict": True, "schema": SCHEMA}}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, ASK),
    "stop": (CHAT, {**ASK, "stop": ["number"]}),
    "several": (CHAT, {**ASK, "temperature": 0.9, "seed": 5, "n": 2, "max_tokens": 8}),
    "schema": (CHAT, {**ASK, "response_format": FORMAT}),
    "logprobs": (CHAT, {**ASK, "logprobs": True, "top_logprobs": 2}),
    "text": (TEXT, {"model": STARTER, "prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 8, "logprobs": 2}),
}


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment as `uv.lock` pins it, without the extra that decodes here."""
    sys.path.insert(0, str(ROOT / ".ci"))
    from bootstrap import uv

    folder = tmp_path_factory.mktemp("thin") / "venv"
    command = [uv(), "sync", "--locked", "--no-default-groups", "--quiet", "--python", sys.executable]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}, capture_output=True, text=True
    )
    if done.returncode and "dns error" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def before(thin: Path, folder: Path, url: str, **environment: str) -> Any:
    """A started service of that environment with its engine at `url`."""
    settings = {"SAMEBOAT_ENGINE": "remote", "SAMEBOAT_REMOTE_BASE_URL": f"{url}/v1", **environment}
    return started(folder, command=(thin / "sameboat", "serve"), **settings)


@pytest.fixture(scope="module")
def behind(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Sameboat that decodes. Its answers are exact: nothing but the way to it can make two of them differ."""
    folder = tmp_path_factory.mktemp("behind")
    more = {"SAMEBOAT_MODEL": STARTER, "SAMEBOAT_MODE": "exact", "SAMEBOAT_PARALLEL": "4"}
    with started(folder, SAMEBOAT_CACHE_DIR=starter_cache(starter, folder), **more) as it:
        yield it.url


@pytest.fixture(scope="module")
def front(thin: Path, behind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Sameboat before it."""
    with before(thin, tmp_path_factory.mktemp("front"), behind) as it:
        yield it.url


def test_the_service_is_imported_where_nothing_of_the_local_engine_is_installed(thin: Path) -> None:
    code = (
        "import service.http.app, importlib.util\n"
        "print([name for name in ('llama_cpp', 'llguidance', 'pip', 'pytest') if importlib.util.find_spec(name)])"
    )
    done = subprocess.run([thin / "python", "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_it_answers_there_through_any_openai_compatible_server(thin: Path, tmp_path: Path) -> None:
    with OpenAIServer("hello from afar") as remote:
        url = remote.base_url.removesuffix("/v1")
        with before(thin, tmp_path, url, SAMEBOAT_REMOTE_MODEL="theirs") as it:
            answer = httpx.post(f"{it.url}{CHAT}", json={"messages": ASK["messages"]}, timeout=60).json()
            assert answer["choices"][0]["message"]["content"] == "hello from afar"
            assert it.workers() == []
        assert [body["model"] for _, _, body in remote.asked] == ["theirs"]


def seen(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Of each choice: text, finish reason, log-probabilities."""
    return [
        (
            choice["message"]["content"] if "message" in choice else choice["text"],
            choice["finish_reason"],
            choice["logprobs"],
        )
        for choice in answer["choices"]
    ]


def joined(response: httpx.Response) -> str:
    """The text of the first choice of a stream that ended as it should."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    choices = [choice for line in lines for choice in json.loads(line)["choices"] if choice["index"] == 0]
    return "".join(choice["delta"].get("content") or "" if "delta" in choice else choice["text"] for choice in choices)


@pytest.mark.model
@pytest.mark.parametrize("what", ASKED)
def test_its_answers_equal_those_of_the_sameboat_behind(front: str, behind: str, what: str) -> None:
    """Text, finish reason, log-probabilities and usage are equal, and the text of a stream too."""
    path, body = ASKED[what]
    with httpx.Client(timeout=120, headers={"cache-control": "no-cache"}) as client:
        there, here = (client.post(f"{url}{path}", json=body).json() for url in (behind, front))
        assert seen(here) == seen(there)
        assert all(text for text, *_ in seen(here))
        counts = ("prompt_tokens", "completion_tokens")
        if what != "several":
            assert [here["usage"][count] for count in counts] == [there["usage"][count] for count in counts]
        streamed = client.post(f"{front}{path}", json={**body, "stream": True})
        assert joined(streamed) == seen(there)[0][0]


@pytest.mark.model
def test_a_promoted_prompt_answers_through_it(front: str, behind: str) -> None:
    body = {"inputs": {"text": "Kenji Mori, Iris Labs, kenji.mori@example.com"}}
    there, here = (httpx.post(f"{url}/prompts/sender", json=body, timeout=120).json() for url in (behind, front))
    assert (here["value"], here["text"]) == (there["value"], there["text"])
    assert here["tokens"] == []
    assert here["fingerprint"] != there["fingerprint"], "nothing proves which weights answered"


@pytest.mark.model
def test_it_refuses_requests_that_it_cannot_fulfil(front: str) -> None:
    """Exact answers: only a local engine can promise them."""
    exact = httpx.post(f"{front}{CHAT}", json=ASK, headers={"x-sameboat-mode": "exact"})
    assert (exact.status_code, exact.json()["error"]["param"]) == (400, "mode")


@pytest.mark.model
def test_labels_have_the_probabilities_of_the_one_behind(front: str, behind: str) -> None:
    """The front finds out that a Sameboat is behind it, and scores the labels by the echo of their tokens."""
    asked = {"inputs": {"text": "Guten Morgen"}}
    before, there = (httpx.post(f"{url}/prompts/language", json=asked).json() for url in (front, behind))
    assert before["value"] == there["value"]
    assert before["probabilities"] == pytest.approx(there["probabilities"], abs=0.01)


@pytest.mark.model
def test_a_client_that_leaves_it_is_heard_behind_it(front: str, behind: str) -> None:
    earlier = numbers(behind)
    body = {**ASK, "max_tokens": 1500, "stream": True, "messages": [{"role": "user", "content": "Tell a long story."}]}
    with httpx.stream("POST", f"{front}{CHAT}", json=body, timeout=60) as response:
        lines = response.iter_lines()
        while '"content":""' in (line := next(lines)) or not line:
            pass
    until(lambda: numbers(behind)["sequences_cancelled"] > earlier["sequences_cancelled"], "it is cancelled there")
    assert numbers(front)["requests_ended_early.cancelled"] >= 1
    assert numbers(behind)["running"] == 0


@pytest.mark.model
def test_an_engine_that_is_killed_behind_it_is_asked_again(thin: Path, alone: Started, tmp_path: Path) -> None:
    """The Sameboat behind answers 503 with Retry-After. The front one retries, and its caller gets an answer."""
    folder = tmp_path / "front"
    folder.mkdir()
    with before(thin, folder, alone.url) as it, ThreadPoolExecutor(1) as pool:
        expected = httpx.post(f"{it.url}{CHAT}", json=ASK, timeout=60).json()["choices"][0]["message"]["content"]
        [worker] = alone.workers()
        os.kill(worker, signal.SIGSTOP)
        asked = pool.submit(httpx.post, f"{it.url}{CHAT}", json=ASK, headers={"cache-control": "no-cache"}, timeout=120)
        until(lambda: alone.numbers()["running"] == 1, "the engine has it")
        os.kill(worker, signal.SIGKILL)
        answer = asked.result()
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"] == expected
        assert it.numbers()["remote_retries"] == 1
