"""One caller learns nothing about another. The real model, and a key for each caller."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.http.app import create_app
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.http.conftest import serving, until

pytestmark = pytest.mark.model

LETTER = "Patient record 9313: Maria Keller, diagnosis:"
REST = " epilepsy. " + "The patient was seen on Monday and asked for a second opinion about her treatment. " * 4
CALLERS = ("owner", "one", "another", "fourth", "fifth", *(f"stranger {number}" for number in range(7)))
GUESSES = (" asthma", " diabetes", " epilepsy", " cancer", " flu", " migraine", " gout")


def key(name: str) -> str:
    """A key of this caller."""
    return "sameboat_" + hashlib.sha256(name.encode()).hexdigest()[:43]


@pytest.fixture(scope="module")
def client(starter: Path, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with the starter model and no prompts, ready."""
    folder = tmp_path_factory.mktemp("service")
    lines = (f"{name.replace(' ', '-')}:sha256:{hashlib.sha256(key(name).encode()).hexdigest()}" for name in CALLERS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SAMEBOAT_API_KEYS", ",".join(lines))
        settings = settings_module.load(
            port=0, context=512, parallel=4, model=catalog.default, state_dir=folder / "state"
        )
    app = create_app(settings, engines=Engines(settings, catalog), library=Library(folder))
    with serving(app) as here, httpx.Client(base_url=here, timeout=60) as it:
        until(lambda: it.get("/readyz").status_code == 200, "the model is ready")
        yield it


def told(client: httpx.Client, prompt: str, caller: str, **body: Any) -> tuple[int, bool]:
    """(cached tokens, whether an answer was given again), as this caller is told."""
    fresh = {} if body.pop("again", False) else {"cache-control": "no-cache"}
    body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, **body}
    answer = client.post(
        "/v1/completions", json=body, headers={"authorization": f"Bearer {key(caller)}", **fresh}
    ).json()
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"], answer["sameboat"]["reused"]


def test_guesses_at_what_another_caller_sent_all_look_the_same(client: httpx.Client) -> None:
    """In a slot that is free again, and as a prefix that was kept because its owner shared it three times."""
    for turn in range(4):
        told(client, LETTER + REST + f"Question {turn}?", "owner")
    guesses = [told(client, f"{LETTER}{guess}.", f"stranger {number}") for number, guess in enumerate(GUESSES)]
    assert guesses == [(0, False)] * len(GUESSES)
    assert told(client, LETTER + REST + "Who?", "owner")[0] > len(REST) // 5


def test_a_cached_answer_is_given_to_its_caller_only(client: httpx.Client) -> None:
    asked = ("owner", "one", "owner", "one", "another")
    assert [told(client, "Is Bob a client?", caller, again=True)[1] for caller in asked] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_a_requests_own_salt_keeps_apart_and_joins_nobody(client: httpx.Client) -> None:
    """vLLM's `cache_salt`: the same caller with and without it, and another caller with the same salt."""
    asked = "Is Eve a client of ours, and since when has she been one, if she is?"
    told(client, asked, "fourth", cache_salt="mine")
    assert told(client, asked, "fourth", cache_salt="mine")[0] > 0
    assert told(client, asked, "fourth")[0] == 0
    assert told(client, asked, "fifth", cache_salt="mine")[0] == 0
