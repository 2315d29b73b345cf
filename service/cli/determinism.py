"""`sameboat doctor --determinism NAME`: ask the same cases cold, warm, shuffled, in a batch and over HTTP, and compare.

In: a prompt's name or file, and a number of cases. Out: a table and a conclusion.
"""

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
from service.evaluation.determinism import AnswerSources, AskFunction, ComparedAnswer, DeterminismReport
from service.prompts.file import Prompt
from service.prompts.promoted import PromotedFolder
from service.settings import Settings

STARTS_WITHIN_S = 180


def print_report(name: str, limit: int, *, as_json: bool) -> None:
    """Ask the first `limit` cases of a prompt in every way, and print the report.

    Raises:
        Exit: with code 1 if an answer in `exact` mode differs.
        EngineUnavailable: if the service for the HTTP requests does not start.
    """
    prompt = find_prompt(name)
    report = asyncio.run(_examine(prompt, limit))
    if as_json:
        typer.echo(json.dumps({**asdict(report), "conclusion": report.conclusion()}, indent=2))
    else:
        typer.echo(report.markdown())
    if not report.holds("exact"):
        raise typer.Exit(1)


async def _examine(prompt: Prompt, limit: int) -> DeterminismReport:
    settings = settings_module.load()
    promoted = PromotedFolder(settings.data_dir / "prompts" / prompt.name)
    folder = prompt.path.parent if prompt.path is not None else promoted.path
    cases = case_files.load(prompt, folder)[:limit]

    async def start_engine() -> Engine:
        engine = Engines(settings).get(prompt.spec.model)
        await engine.ready()
        return engine

    with Console(stderr=True).status(prompt.name) as status:
        if folder.resolve() != promoted.path.resolve() or not promoted.has_lock:
            typer.echo(f"{prompt.name} is a draft. No service answers it, so HTTP is left out.", err=True)
            return await determinism.examine(prompt, cases, AnswerSources(start_engine), announce=status.update)
        async with own_service(settings, prompt) as ask:
            sources = AnswerSources(start_engine, ask, recording.read(promoted.recording_path))
            return await determinism.examine(prompt, cases, sources, announce=status.update)


@contextlib.asynccontextmanager
async def own_service(settings: Settings, prompt: Prompt) -> AsyncGenerator[AskFunction, None]:
    """A service on a free port that only this process uses, and the function that asks it.

    Raises:
        EngineUnavailable: if the service does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    unset = ("SECRET", "SECRET_FILE", "API_KEYS", "API_KEYS_FILE", "OPEN")
    environment = {**os.environ, **{f"SAMEBOAT_{name}": "" for name in unset}}
    environment |= {"SAMEBOAT_HOST": "127.0.0.1", "SAMEBOAT_PORT": str(port)}
    if prompt.spec.model is not None:
        environment["SAMEBOAT_MODEL"] = prompt.spec.model
    devnull = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *python("service", "serve"), env=environment, stdout=devnull, stderr=devnull
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=settings.remote_timeout_s) as client:
            await _wait_until_ready(client, process)

            async def ask(inputs: Mapping[str, Any], mode: Mode) -> ComparedAnswer:
                headers = {"x-sameboat-mode": mode, "cache-control": "no-cache"}
                body = {"inputs": dict(inputs)}
                answer = (await client.post(f"/prompts/{prompt.name}", json=body, headers=headers)).json()
                if "tokens" not in answer:
                    raise EngineUnavailable(f"The service answered: {answer.get('detail', answer)}")
                return answer["text"], tuple(answer["tokens"]), tuple((answer["probabilities"] or {}).items())

            yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _wait_until_ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    for _ in range(STARTS_WITHIN_S * 5):
        if process.returncode is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if (await client.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.2)
    raise EngineUnavailable("The service did not start.", remedy="Run sameboat serve to read why.")
