"""DSPy's searches beside the search here: the task for DSPy's Python, a service for it, and its result as a draft.

In: a draft, dev cases, a Python with dspy. Out: a result file, and the draft that it stands for.
Not here: the searches (`dspy_search.py`), and the judgement (`improve.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from service import workbench as bench
from service.evaluation.cases import Case
from service.evaluation.improve.examples import DraftParts, expected_answer, user_message
from service.prompts.file import Prompt
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 120


def task(draft: Prompt, dev: Sequence[Case]) -> dict[str, Any]:
    """Everything that another search needs, as JSON."""
    spec, schema = draft.spec, draft.schema
    request: dict[str, Any] = {"extra_body": {"guided_choice": list(spec.choices)}}
    if schema is not None:
        form = {"name": "answer", "schema": schema, "strict": True}
        request = {"response_format": {"type": "json_schema", "json_schema": form}}
    pairs = [(user_message(draft, case), expected_answer(draft, case)) for case in dev]
    return {
        "model": spec.model, "instruction": "\n".join(message.content for message in DraftParts.of(draft).head),
        "json": schema is not None, "max_tokens": spec.modelParameters.maxTokens, "request": request,
        "dev": [{"message": message, "answer": answer} for message, answer in pairs if answer is not None],
    }  # fmt: skip


def search(python: Path, draft: Prompt, dev: Sequence[Case], result: Path, words: Sequence[str]) -> dict[str, Any]:
    """Run the other search through `/v1` of a service that only it asks, unless its result is there.

    `words` are further ones for `dspy_search.py`.
    """
    if not result.exists():
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder, "task.json")
            given.write_text(json.dumps(task(draft, dev), ensure_ascii=False), encoding="utf-8")
            environment = {"SAMEBOAT_PORT": str(port), "SAMEBOAT_STATE_DIR": folder, "SAMEBOAT_MODEL": draft.spec.model}
            server = subprocess.Popen(
                [Path(sys.executable).with_name("sameboat"), "serve"], cwd=ROOT, env={**os.environ, **environment},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                _until_ready(f"http://127.0.0.1:{port}/readyz", server)
                command = [
                    python, ROOT / "tests/bench/dspy_search.py", given, f"http://127.0.0.1:{port}", result, *words,
                ]  # fmt: skip
                offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # it would ask the network for prices first
                subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, **offline})
            finally:
                server.terminate()
                server.wait(60)
    found = json.loads(result.read_text(encoding="utf-8"))
    numbers = {"examples": len(found["examples"]), "answers": found["answers"], "wall_s": round(found["seconds"], 1)}
    return {**numbers, "instruction": found["instruction"], "version": found["dspy"]}


def _until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"sameboat serve does not answer at {url}: exit code {server.poll()}.")
        time.sleep(0.1)


def prompt(draft: Prompt, result: Path) -> Prompt:
    """The draft with the instruction and the examples of a result, and without calibration, as `/v1` answered."""
    found = json.loads(result.read_text(encoding="utf-8"))
    turns = [
        {"role": role, "content": content}
        for pair in found["examples"]
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    asked = {"role": "user", "content": DraftParts.of(draft).asked.content}
    keys: dict[str, Any] = {"messages": [{"role": "system", "content": found["instruction"]}, *turns, asked]}
    if draft.spec.choices:
        keys["calibration"] = "none"
    return bench.with_(draft, **keys)
