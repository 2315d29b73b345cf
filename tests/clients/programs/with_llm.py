"""llm by Simon Willison: its command line with the model entry that the docs show, and its Python API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(FOLDER)

import kit  # noqa: E402
import llm  # noqa: E402
from kit import ASK, MODEL, TOKENS, Pick, cell  # noqa: E402

ENTRY = """\
- model_id: {id}
  model_name: {model}
  api_base: {url}/v1
  supports_schema: true
  supports_tools: true
"""
CLOCK = 'def clock(town: str) -> str:\n    "The time in a town."\n    return "12:34"\n'
(FOLDER / "extra-openai-models.yaml").write_text(
    ENTRY.format(id="sameboat", model=MODEL, url=kit.STARTER)
    + ENTRY.format(id="scripted", model=MODEL, url=kit.SCRIPTED)
)
OPTIONS = {"temperature": 0, "max_tokens": TOKENS, "key": kit.KEY}


def command(*words: str, model: str = "sameboat", tokens: int = TOKENS) -> str:
    options = ["-m", model, "-o", "temperature", "0", "-o", "max_tokens", str(tokens), "--key", kit.KEY]
    program = str(Path(sys.executable).parent / "llm")
    done = subprocess.run([program, *options, *words], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    return done.stdout


@cell("chat:--no-stream")
def _() -> Any:
    return {"text": command("--no-stream", ASK).removesuffix("\n")}


@cell("chat:prompt")
def _() -> Any:
    answer = llm.get_model("sameboat").prompt(ASK, stream=False, **OPTIONS)
    text = answer.text()
    used = answer.usage()
    return {"text": text, **kit.usage(used.input, used.output)}


@cell("stream:prompt")
def _() -> Any:
    return {"pieces": list(llm.get_model("sameboat").prompt(ASK, **OPTIONS))}


@cell("structured:--schema")
def _() -> Any:
    text = command("--schema", json.dumps(Pick.model_json_schema()), ASK)
    return kit.picked(Pick.model_validate_json(text))


@cell("structured:prompt")
def _() -> Any:
    return kit.picked(Pick.model_validate_json(llm.get_model("sameboat").prompt(ASK, schema=Pick, **OPTIONS).text()))


@cell("auto:chain")
def _() -> Any:
    return kit.executed(
        llm.get_model("scripted").chain(kit.TIME, tools=[kit.clock], key=kit.KEY, options={"temperature": 0}).text()
    )


@cell("auto:no tool is needed")
def _() -> Any:
    return kit.executed(
        llm.get_model("scripted").chain(kit.HELLO, tools=[kit.clock], key=kit.KEY, options={"temperature": 0}).text()
    )


@cell("auto:--functions")
def _() -> Any:
    return {"text": command("--functions", CLOCK, kit.TIME, model="scripted")}


kit.main("llm", "openai")
