"""/v1/responses, token counts and echoed prompts with the real starter model."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

pytestmark = pytest.mark.model

MODEL = "smollm2-135m-instruct"


class Pick(BaseModel):
    colour: Literal["red", "green", "blue"]
    count: int


def test_the_real_model_answers_a_response_whole_streamed_and_structured(starter_url: str) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": "Name a colour and a number.", "temperature": 0}
    with openai.OpenAI(base_url=f"{starter_url}/v1", api_key="x", max_retries=0) as client:
        whole = client.responses.create(**asked, max_output_tokens=12)
        with client.responses.stream(**asked, max_output_tokens=12) as stream:
            deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        picked = client.responses.parse(**asked, max_output_tokens=60, text_format=Pick)
        counted = client.responses.input_tokens.count(model=MODEL, input=asked["input"])
    assert deltas == whole.output_text != ""
    assert whole.usage is not None
    assert counted.input_tokens == whole.usage.input_tokens
    assert isinstance(picked.output_parsed, Pick)


def test_token_ids_of_a_text_are_scored_as_the_text(starter_service: httpx.Client) -> None:
    """The way of lm-evaluation-harness: tokenize, then score the ids."""
    text = "The capital of France is Paris"
    tokens = starter_service.post("/tokenize", json={"prompt": text, "add_special_tokens": False}).json()["tokens"]
    body = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    of_ids, of_text = (
        starter_service.post("/v1/completions", json={**body, "prompt": prompt}).json()["choices"][0]
        for prompt in ([tokens], text)
    )
    assert of_ids["text"] == of_text["text"] != text
    assert of_ids["text"].startswith(text)
    logprobs = of_ids["logprobs"]
    assert logprobs == of_text["logprobs"]
    assert [logprobs["token_logprobs"][0], len(logprobs["tokens"])] == [None, len(tokens) + 1]
    assert logprobs["token_logprobs"][-2] == max(logprobs["top_logprobs"][-2].values())  # " Paris" is the best token
