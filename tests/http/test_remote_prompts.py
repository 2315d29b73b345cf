"""Promoted prompts of a service with a remote engine: refused on an engine that no promotion names, unless allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service import settings as settings_module
from service.engine.remote import RemoteEngine
from service.http.app import create_app
from service.prompts import lock as locks
from service.prompts.file import load
from tests.http.conftest import GREET, GREET_INPUTS, ask, promote
from tests.ports import free_port
from tests.scripted import ScriptedEngine
from tests.servers.openai_server import OpenAIServer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`greet`, promoted on a scripted engine."""
    promote(tmp_path, ScriptedEngine(lambda _: "hello"), GREET, "greet")
    return tmp_path


def service(data: Path, url: str, **more: Any) -> FastAPI:
    settings = settings_module.load(
        data_dir=data, port=0, engine="remote", remote_base_url=url, remote_retries=0, model="tiny", **more
    )
    catalog = settings_module.load().data_dir / "models.toml"
    (data / "models.toml").write_bytes(catalog.read_bytes())
    return create_app(settings)


def test_an_engine_that_no_promotion_names_is_refused_and_the_rest_of_the_service_is_not(data: Path) -> None:
    """The setting allows it. `/v1` needs no promotion."""
    with OpenAIServer("hello") as server:
        refused = ask(service(data, server.base_url), "POST", "/prompts/greet", json={"inputs": GREET_INPUTS})
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert "not on this openai-compatible-tiny" in refused.json()["detail"]
        assert "SAMEBOAT_UNPROMOTED_ENGINES" in refused.text
        assert server.base_url not in refused.text
        chat = {"messages": [{"role": "user", "content": "x"}]}
        assert ask(service(data, server.base_url), "POST", "/v1/chat/completions", json=chat).status_code == 200
        allowed = service(data, server.base_url, unpromoted_engines="allow")
        answer = ask(allowed, "POST", "/prompts/greet", json={"inputs": GREET_INPUTS})
        assert (answer.status_code, answer.json()["text"]) == (200, "hello")


def test_a_promoted_engine_is_served_and_a_silent_one_is_503_with_retry_after(data: Path) -> None:
    """A server that does not answer may be the promoted one, so the caller is asked to come again."""
    with OpenAIServer("hello") as server:
        engine = RemoteEngine(settings_module.load(remote_base_url=server.base_url), "tiny")
        folder = data / "prompts" / "greet"
        lock = locks.make(load(folder / "greet.prompt.yml"), folder, engine.identity)
        (folder / "lock.json").write_text(lock.text())
        answer = ask(service(data, server.base_url), "POST", "/prompts/greet", json={"inputs": GREET_INPUTS})
        assert (answer.status_code, answer.json()["text"]) == (200, "hello")
    url = f"http://127.0.0.1:{free_port()}/v1"
    silent = ask(service(data, url), "POST", "/prompts/greet", json={"inputs": GREET_INPUTS})
    assert silent.status_code == 503
    assert int(silent.headers["retry-after"]) >= 1
