"""OpenAI's own client where keys are asked for, over a real socket."""

from __future__ import annotations

import httpx
import openai
import pytest

from service import keys
from tests.http.conftest import Make, serving
from tests.scripted import ScriptedEngine

KEY = keys.new()


def test_openais_client_is_let_in_by_its_key_and_knows_what_a_wrong_one_means(make: Make) -> None:
    """Also while it sends a large body, which is refused before it is read."""
    app = make(ScriptedEngine(lambda request: "Hello."), api_keys=keys.line("ada", KEY, requests=2))
    with serving(app) as url:
        ada = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        made = ada.chat.completions.create(model="smollm2-135m-instruct", messages=[{"role": "user", "content": "Hi"}])
        assert made.choices[0].message.content == "Hello."
        stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.AuthenticationError) as refused:
            stranger.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hi" * 2_000_000}])
        assert refused.value.code == "invalid_api_key"
        ada.models.list()
        with pytest.raises(openai.RateLimitError) as busy:
            ada.models.list()
        assert int(busy.value.response.headers["retry-after"]) > 0
        assert httpx.get(f"{url}/healthz").status_code == 200
