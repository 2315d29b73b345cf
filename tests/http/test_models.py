"""The list of models: those that answer, their aliases, context and abilities."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.errors import EngineUnavailable, SettingsError
from service.http import app as app_module
from service.http.app import create_app
from service.http.deps import Service
from service.models.catalog import Catalog
from tests.http.conftest import Scripted, ask
from tests.scripted import ScriptedEngine

STARTER, CODER = "smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"


def settings_with(aliases: str, **more: Any) -> settings_module.Settings:
    return settings_module.load(model_aliases=aliases, model=None, **more)


def test_an_alias_is_listed_and_answers_as_its_model(tmp_path: Path) -> None:
    settings = settings_with(f"gpt-4o-mini={STARTER}, small = {STARTER},away={CODER}", cache_dir=tmp_path)
    engine = ScriptedEngine(lambda request: "hello")
    app = create_app(settings, engines=Scripted(settings, Catalog.of(settings), engine))
    listed = {model["id"]: model for model in ask(app, "GET", "/v1/models").json()["data"]}
    assert set(listed) == {STARTER, "gpt-4o-mini", "small"}  # the other one's model is not in the cache
    own, alias = listed[STARTER], listed["gpt-4o-mini"]
    assert {**alias, "id": STARTER} == own == {**own, "root": STARTER, "parent": None}
    assert own["max_model_len"] == own["context_length"] == 2048
    assert own["created"] > 1_700_000_000
    assert {"schema", "tools"} <= set(own["abilities"])
    assert "embeddings" not in own["abilities"]
    assert ask(app, "GET", "/v1/models/small").json()["root"] == STARTER
    for route, body in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/responses", {"input": "x"}),
        ("/tokenize", {"prompt": "x"}),
    ):
        assert ask(app, "POST", route, json={**body, "model": "gpt-4o-mini"}).status_code == 200
        assert ask(app, "POST", route, json={**body, "model": "gpt-4o"}).status_code == 404


def test_an_alias_and_its_model_have_one_engine() -> None:
    engines = Engines(settings_with(f"gpt-4o-mini={STARTER}"))
    assert engines.get("gpt-4o-mini") is engines.get(STARTER)
    assert "gpt-4o-mini" in engines.catalog
    assert engines.catalog["gpt-4o-mini"].name == STARTER
    named = settings_module.load(model_aliases=f"mine={CODER}", model="mine")
    assert Engines(named).default == CODER


def test_a_remote_model_of_any_name_may_have_an_alias() -> None:
    settings = settings_with("mine=vendor/Model-9", engine="remote", remote_base_url="http://127.0.0.1:9/v1")
    engines = Engines(settings)
    assert engines.get("mine").identity.model == "vendor/Model-9"
    assert "vendor/Model-9" in engines.available()


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ("gpt-4o-mini", "each part is NAME=MODEL"),
        (f"={STARTER}", "each part is NAME=MODEL"),
        ("a=", "each part is NAME=MODEL"),
        (f"a={STARTER},a={CODER}", "twice"),
        ("a=smollm2-135m-instuct", f"Did you mean '{STARTER}'"),
        (f"{STARTER}={CODER}", "a model's own name"),
        (f"a=b,b={STARTER}", "an alias itself"),
    ],
)
def test_a_mistake_in_the_setting_is_told(aliases: str, problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Engines(settings_with(aliases))
    assert refused.value.key == "SAMEBOAT_MODEL_ALIASES"
    assert problem in str(refused.value)


@pytest.mark.parametrize("fails", [False, True])
def test_other_models_load_when_the_default_one_answers_or_has_failed(fails: bool) -> None:
    """Two models that load at the same time take the cores of each other, and of the first answer."""
    started: list[str] = []

    async def check() -> None:
        settled = asyncio.Event()

        async def ready() -> None:
            await settled.wait()
            if fails:
                raise EngineUnavailable("no")

        async def start(name: str) -> None:
            started.append(name)

        engines = SimpleNamespace(get=lambda: SimpleNamespace(ready=ready), start=start)
        service = cast(Service, SimpleNamespace(engines=engines, served_models={STARTER, CODER}))
        others = asyncio.create_task(app_module._start_others(service))
        await asyncio.sleep(0)
        assert started == []
        settled.set()
        await others

    asyncio.run(check())
    assert started == [CODER, STARTER]
