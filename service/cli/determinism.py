"""`sameboat doctor --determinism NAME`: the same cases cold, warm, shuffled, in a batch and over HTTP, compared."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any

import httpx
import typer
from rich.console import Console

from service import settings as settings_module
from service.children import python
from service.cli.prompt import find_prompt
from service.engine.pool import Engines
from service.engine.types import Engine, Mode
from service.errors import EngineUnavailable
from service.evaluation import cases as case_files
from service.evaluation import determinism, recording
from service.evaluation.determinism import AskFunction, ComparedAnswer, DeterminismReport
from service.prompts.file import Prompt
from service.settings import Settings

STARTS_WITHIN_S = 180


def print_report(name: str, limit: int, *, as_json: bool) -> None:
    """Run it and print what it found. Exits with 1 when `exact` does not hold what it promises."""
    prompt = find_prompt(name)
    done = asyncio.run(_examine(prompt, limit))
    if as_json:
        typer.echo(json.dumps({**asdict(done), "conclusion": done.conclusion()}, indent=2))
    else:
        typer.echo(done.markdown())
    if not done.holds("exact"):
        raise typer.Exit(1)


async def _examine(prompt: Prompt, limit: int) -> DeterminismReport:
    settings = settings_module.load()
    folder = settings.data_dir / "prompts" / prompt.name
    home = prompt.path.parent if prompt.path is not None else folder
    cases = case_files.load(prompt, home)[:limit]
    promoted = home.resolve() == folder.resolve() and (folder / "lock.json").exists()
    known = recording.read(folder / "recording.jsonl") if promoted else None

    async def fresh() -> Engine:
        engine = Engines(settings).get(prompt.spec.model)
        await engine.ready()
        return engine

    with Console(stderr=True).status(prompt.name) as shown:
        if not promoted:
            typer.echo(f"{prompt.name} is a draft, which no service answers: HTTP is left out.", err=True)
            return await determinism.examine(prompt, cases, fresh, known=known, said=shown.update)
        async with own_service(settings, prompt) as ask:
            return await determinism.examine(prompt, cases, fresh, http=ask, known=known, said=shown.update)


@contextlib.asynccontextmanager
async def own_service(settings: Settings, prompt: Prompt) -> AsyncGenerator[AskFunction, None]:
    """A service of its own on a free port, and how to ask it. Raises EngineUnavailable when it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    unset = ("SECRET", "SECRET_FILE", "API_KEYS", "API_KEYS_FILE", "OPEN")  # its own, for nobody else
    environment = {**os.environ, **{f"SAMEBOAT_{name}": "" for name in unset}}
    environment |= {"SAMEBOAT_HOST": "127.0.0.1", "SAMEBOAT_PORT": str(port)}
    if prompt.spec.model is not None:
        environment["SAMEBOAT_MODEL"] = prompt.spec.model
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *python("service", "serve"), env=environment, stdout=nowhere, stderr=nowhere
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=settings.remote_timeout_s) as client:
            await _ready(client, process)

            async def ask(inputs: Mapping[str, Any], mode: Mode) -> ComparedAnswer:
                headers = {"x-sameboat-mode": mode, "cache-control": "no-cache"}
                body = {"inputs": dict(inputs)}
                answer = (await client.post(f"/prompts/{prompt.name}", json=body, headers=headers)).json()
                if "tokens" not in answer:
                    raise EngineUnavailable(f"The service answered: {answer.get('detail', answer)}")
                shares = tuple((answer["probabilities"] or {}).items())
                return answer["text"], tuple(answer["tokens"]), shares

            yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    for _ in range(STARTS_WITHIN_S * 5):
        if process.returncode is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if (await client.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.2)
    raise EngineUnavailable("The service did not start.", remedy="Run sameboat serve to read why.")
