"""Clients that people have already, unchanged, against the started service: `llm` and LiteLLM.

Each runs in a process of its own, as its users run it: its warnings are its own, and nothing of ours is in its memory.
The official `openai` client has its tests in `test_service.py`, `test_tools.py` and `tests/http`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.model

MODEL = "smollm2-135m-instruct"
ASK = "Name a colour and a number."
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "count": {"type": "integer", "minimum": 0}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}
LITELLM = """
import asyncio, json, sys
import litellm

url, schema = sys.argv[1], json.loads(sys.argv[2])
ask = dict(model="openai/smollm2-135m-instruct", api_base=url, api_key="none",  # pragma: allowlist secret
           num_retries=0,
           messages=[{"role": "user", "content": "Name a colour and a number."}], temperature=0, max_tokens=24)
whole = litellm.completion(**ask)
chunks = list(litellm.completion(**ask, stream=True, stream_options={"include_usage": True}))
wanted = {"type": "json_schema", "json_schema": {"name": "pick", "strict": True, "schema": schema}}
enforced = litellm.completion(**ask, response_format=wanted)

async def several():
    return await asyncio.gather(*(litellm.acompletion(**ask) for _ in range(4)))

together = [each.choices[0].message.content for each in asyncio.run(several())]
try:
    litellm.completion(**{**ask, "messages": [{"role": "user", "content": "word " * 3000}]})
    refused = "no"
except litellm.ContextWindowExceededError:
    refused = "ContextWindowExceededError"
print(json.dumps({
    "whole": whole.choices[0].message.content, "usage": whole.usage.completion_tokens,
    "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
    "enforced": json.loads(enforced.choices[0].message.content), "together": together, "refused": refused,
}))
"""


def run(command: list[str], **environment: str) -> str:
    """The command's output. A failure shows its errors."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def expected(server: str) -> str:
    """The answer as the service gives it to a plain HTTP request."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": ASK}], "temperature": 0, "max_tokens": 24}
    answer = httpx.post(f"{server}/v1/chat/completions", json=body, timeout=120).json()
    return str(answer["choices"][0]["message"]["content"])


def test_llm_with_a_model_entry_answers_streams_and_keeps_to_a_schema(
    server: str, expected: str, tmp_path: Path
) -> None:
    """`llm` by Simon Willison, with the model entry that the README shows."""
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: sameboat\n  model_name: {MODEL}\n  api_base: {server}/v1\n  supports_schema: true\n"
    )
    llm = [str(Path(sys.executable).parent / "llm")]
    options = ["-m", "sameboat", "-o", "temperature", "0", "-o", "max_tokens", "24", "--key", "none"]
    home = {"LLM_USER_PATH": str(tmp_path)}
    streamed = run([*llm, *options, ASK], **home)
    whole = run([*llm, *options, "--no-stream", ASK], **home)
    assert streamed.strip() == whole.strip() == expected.strip()
    value = json.loads(run([*llm, *options, "--schema", json.dumps(SCHEMA), ASK], **home))
    assert value["colour"] in {"red", "green", "blue"}
    assert value["count"] >= 0


def test_litellm_answers_streams_keeps_to_a_schema_and_knows_our_errors(server: str, expected: str) -> None:
    """LiteLLM's completion, acompletion and streaming. A prompt that is too long is LiteLLM's error class for that."""
    told = run([sys.executable, "-c", LITELLM, f"{server}/v1", json.dumps(SCHEMA)], LITELLM_LOCAL_MODEL_COST_MAP="True")
    found = json.loads(told.strip().splitlines()[-1])
    assert found["whole"] == found["streamed"] == expected
    assert found["together"] == [expected] * 4
    assert found["usage"] > 0
    assert found["enforced"]["colour"] in {"red", "green", "blue"}
    assert found["refused"] == "ContextWindowExceededError"
