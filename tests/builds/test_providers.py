"""Providers of the providers' file: how many requests one of them gets at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from service import settings as settings_module
from service.builds.generate import model_client
from service.builds.generate.providers import Providers
from service.engine.pool import Engines
from service.engine.types import Answer, Message, Request
from service.prompts.library import Library
from tests.servers.openai_server import OpenAIServer

HELLO = Request(messages=(Message("user", "Hi"),))


def test_two_models_of_one_provider_keep_to_its_concurrency_together(tmp_path: Path) -> None:
    """Two entries with one base URL, the more modest of which says two: twelve answers, never more than two at once."""
    with OpenAIServer("word " * 400) as server:
        path = tmp_path / "providers.toml"
        path.write_text(
            f'[providers.big]\nbase_url = "{server.base_url}"\nmodel = "large"\nconcurrency = 2\n'
            f'[providers.small]\nbase_url = "{server.base_url}/"\nmodel = "small"\n'
        )
        settings = settings_module.load(providers_file=str(path), maker_model="big,small", remote_concurrency=5)

        async def main() -> list[Answer]:
            library = Library(settings.data_dir)
            pool = Engines(settings)
            providers = Providers(settings, library, pool)
            engines = [each.engine() for each in providers.of(library["build-files"])]
            answers = await asyncio.gather(*(engine.answer(HELLO) for engine in engines * 6))
            await pool.stop(0)
            return answers

        assert len(asyncio.run(main())) == 12
        assert server.most_at_once == 2
        assert {body["model"] for _, _, body in server.asked} == {"large", "small"}


def test_a_build_that_is_tried_again_asks_every_provider_again() -> None:
    events: list[dict[str, Any]] = [
        {"kind": "provider", "data": {"provider": "one"}},
        {"kind": "asked", "data": {"provider": "two"}},
        {"kind": "unusable", "data": {}},
        {"kind": "retried", "data": {}},
    ]
    assert model_client._history(events[:3]) == ({"one"}, {"two": 1})
    assert model_client._history(events) == (set(), {})
