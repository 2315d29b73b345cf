"""The promise: the same request gives the same tokens in the notebook, in a process and over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from service import settings
from service.engine.local import recipe
from service.engine.pool import Engines
from service.evaluation import cases as case_files
from service.evaluation import recording
from service.prompts import run as prompts
from service.prompts.library import Library

ROOT = Path(__file__).resolve().parents[2]
NAME, COUNT = "sender", 20
Seen = dict[str, tuple[str, list[int], str]]  # case id: text, token ids, fingerprint
pytestmark = pytest.mark.model

CELL = f"""
import json
from service import workbench as bench
for case in bench.cases("{NAME}", {COUNT}):
    result = bench.run("{NAME}", {{"text": case.values["text"]}})
    print(json.dumps([case.id, result.text, list(result.answer.tokens), result.fingerprint]))
"""


def in_a_notebook() -> Seen:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    text = "".join(output["text"] for output in notebook.cells[0].outputs if output.get("name") == "stdout")
    rows: list[Any] = [json.loads(line) for line in text.splitlines()]
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def in_this_process(count: int) -> Seen:
    async def work() -> Seen:
        loaded = settings.load()
        engines = Engines(loaded)
        library = Library(loaded.data_dir)
        prompt = library[NAME]
        engine = engines.get(prompt.spec.model)
        await engine.ready()
        found: Seen = {}
        for case in case_files.load(prompt, library.folder(NAME))[:count]:
            result = await prompts.run(prompts.build_request(prompt, case.inputs(prompt), mode="exact"), engine)
            found[case.id] = (result.text, list(result.answer.tokens), result.fingerprint)
        await engines.stop(0)
        return found

    return asyncio.run(work())


def over_http(url: str, count: int) -> Seen:
    """All at once, so that the server batches, orders and caches them as it likes."""
    library = Library(settings.load().data_dir)
    prompt = library[NAME]

    async def work() -> Seen:
        async with httpx.AsyncClient(base_url=url, timeout=300) as client:
            headers = {"x-sameboat-mode": "exact", "cache-control": "no-cache"}

            async def one(case: case_files.Case) -> tuple[str, tuple[str, list[int], str]]:
                body = {"inputs": case.inputs(prompt)}
                response = await client.post(f"/prompts/{NAME}", json=body, headers=headers)
                answer = response.json()
                assert response.status_code == 200, answer
                return case.id, (answer["text"], answer["tokens"], answer["fingerprint"])

            cases = case_files.load(prompt, library.folder(NAME))[:count]
            return dict(await asyncio.gather(*(one(case) for case in cases)))

    return asyncio.run(work())


def assert_recorded(answers: Seen) -> None:
    """The recording has these texts, token ids and fingerprints. Other kernels may round differently, so they skip."""
    library = Library(settings.load().data_dir)
    if library.lock(NAME).engine_kernels != recipe.kernels():
        pytest.skip(f"The recording was not computed by {recipe.kernels()}.")
    known = recording.read(library.folder(NAME) / "recording.jsonl")
    assert {key: (known[key].text, list(known[key].tokens), known[key].fingerprint) for key in answers} == answers


def test_process_and_service_give_the_recorded_tokens(server: str) -> None:
    """Twenty real cases: text, token ids and fingerprint are identical."""
    process = in_this_process(COUNT)
    assert len(process) == COUNT
    assert over_http(server, COUNT) == process
    assert_recorded(process)


def test_a_notebook_gives_the_recorded_tokens() -> None:
    """Twenty real cases."""
    notebook = in_a_notebook()
    assert len(notebook) == COUNT
    assert_recorded(notebook)
