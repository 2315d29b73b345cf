"""The providers' file: several models of one service, each with its own server, key and kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import doctor
from service import settings as settings_module
from service.engine.pool import Engines
from service.engine.providers_file import read_providers
from service.engine.remote import RemoteEngine
from service.errors import EngineUnavailable, SettingsError, UnknownModel
from service.http.app import create_app
from service.settings import Settings
from tests.http.conftest import ask
from tests.servers.openai_server import OpenAIServer


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, OpenAIServer, OpenAIServer]]:
    """Two servers: `near` serves callers and has its key in a file, `far` is for builds and has it in a variable."""
    with OpenAIServer("from near") as near, OpenAIServer("from far") as far:
        key = tmp_path / "key"
        key.write_text("near-secret\n")
        monkeypatch.setenv("FAR_KEY", "far-secret")
        path = tmp_path / "providers.toml"
        path.write_text(
            f'[providers.near]\nbase_url = "{near.base_url}"\nkey_file = "{key}"\nmodel = "n"\nserves = true\n'
            f'kind = "openai"\n[providers.far]\nbase_url = "{far.base_url}"\nkey = "FAR_KEY"\nmodel = "f"\n'
        )
        yield settings_module.load(providers_file=path, cache_dir=tmp_path / "cache", port=0), near, far


def test_a_service_with_a_local_engine_serves_a_remote_model_beside_it(
    two: tuple[Settings, OpenAIServer, OpenAIServer],
) -> None:
    """With its own key and its server's name. An entry that does not serve is no model for callers."""
    settings, near, far = two
    app = create_app(settings)
    body = {"model": "near", "messages": [{"role": "user", "content": "x"}]}
    answer = ask(app, "POST", "/v1/chat/completions", json=body)
    assert answer.json()["choices"][0]["message"]["content"] == "from near"
    [(_, headers, sent)] = [asked for asked in near.asked if asked[0].endswith("completions")]
    assert (headers["authorization"], sent["model"]) == ("Bearer near-secret", "n")
    assert [model["id"] for model in ask(app, "GET", "/v1/models").json()["data"]] == ["near"]
    assert ask(app, "POST", "/v1/chat/completions", json={**body, "model": "far"}).status_code == 404
    assert far.asked == []


def test_builds_may_ask_every_entry(two: tuple[Settings, OpenAIServer, OpenAIServer]) -> None:
    settings, _, _ = two
    engines = Engines(settings)
    far = engines.provider("far")
    assert isinstance(far, RemoteEngine)
    assert engines.provider("far") is far
    with pytest.raises(UnknownModel):
        engines.get("far")
    asyncio.run(engines.stop(0))


def test_an_entry_without_its_key_is_named_and_never_asked(
    two: tuple[Settings, OpenAIServer, OpenAIServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, near, _ = two
    monkeypatch.delenv("FAR_KEY")
    engines = Engines(settings)
    with pytest.raises(EngineUnavailable, match="set FAR_KEY"):
        engines.provider("far")
    entry = engines.providers["near"]
    assert entry.key_file is not None
    entry.key_file.unlink()
    assert engines.missing("near") == "its key_file cannot be read, or is empty"
    assert "near" not in engines.available()
    assert near.asked == []


def test_the_doctor_shows_each_entry_without_its_key(
    two: tuple[Settings, OpenAIServer, OpenAIServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _, _ = two
    findings = {finding.what: finding for finding in doctor._providers(settings)}
    assert findings["provider near"].level == "ok"
    assert "for callers, prompts and builds" in findings["provider near"].found
    assert findings["provider far"].found.endswith("for builds")
    monkeypatch.delenv("FAR_KEY")
    [_, far] = doctor._providers(settings)
    assert (far.level, "FAR_KEY" in far.found) == ("note", True)
    assert "secret" not in str(findings)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('kind = "llama"', "providers.x.kind"),
        ('key = "A"\nkey_file = "/a"', "providers.x.key_file"),
        ('api_key = "sk-1"', "providers.x.api_key"),  # pragma: allowlist secret
        ("concurrency = 0", "providers.x.concurrency"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, line: str, key: str) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(f'[providers.x]\nbase_url = "https://a.example/v1"\nmodel = "m"\n{line}\n')
    with pytest.raises(SettingsError) as refused:
        read_providers(path)
    assert refused.value.key == key
    assert "sk-1" not in str(refused.value)
