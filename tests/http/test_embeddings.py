"""/v1/embeddings with a real model behind it, compared with the same weights computed by numpy alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from service import settings as settings_module
from service.engine.local.client import LocalEngine
from service.engine.pool import Engines
from service.engine.types import Request
from service.errors import NotSupported
from service.http.app import create_app
from service.http.openai_types import MAX_TEXTS, EmbeddingBody
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.engine.minilm import PACKAGE, MiniLM, NotFetched, catalog_entry, fetched
from tests.http.conftest import serving, until

pytestmark = pytest.mark.model

NAME = "all-minilm-l6-v2"
TEXTS = [
    "A boat is rowed across the river.",
    "Someone crosses a stream in a small ship.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "The invoice no. 2031-A was paid on 3 May; thank you, Ms. O'Neill!",
    "Quarterly revenue grew by 12.5 %, mostly in Asia.",
    "x",
    "A much longer text, " * 30,
]


@pytest.fixture(scope="module")
def original() -> MiniLM:
    """The model as published, kept beside the models of the cache."""
    try:
        return fetched(settings_module.load().cache_dir / "tests" / "minilm")
    except NotFetched as error:
        pytest.skip(f"{PACKAGE} (84 MB) cannot be fetched: {error}")


@pytest.fixture(scope="module")
def client(original: MiniLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A service with an embedding model as its default."""
    folder = tmp_path_factory.mktemp("minilm")
    settings = settings_module.load(port=0, model=NAME, context=512, cache_dir=folder / "cache")
    catalog = Catalog({NAME: catalog_entry(Cache(settings.cache_dir), original, folder)}, NAME, folder / "models.toml")
    app = create_app(settings, engines=Engines(settings, catalog), library=Library(folder))
    with serving(app) as url:
        until(lambda: httpx.get(f"{url}/readyz", timeout=60).status_code == 200, "the model is ready")
        with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=60) as it:
            yield it


def vectors(
    client: openai.OpenAI, texts: list[str], **more: object
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """One row per text."""
    answer = client.embeddings.create(model=NAME, input=texts, **more)  # type: ignore[arg-type]
    assert [each.index for each in answer.data] == list(range(len(texts)))
    return np.array([each.embedding for each in answer.data], dtype=np.float32)


def test_vectors_are_those_of_the_original(client: openai.OpenAI, original: MiniLM) -> None:
    """Cosine above 0.99999 with an implementation that shares no code, and the same count of tokens."""
    found = vectors(client, TEXTS)
    wanted = np.array([original.vector(text) for text in TEXTS])
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert (found * wanted).sum(1).min() > 0.99999
    usage = client.embeddings.create(model=NAME, input=TEXTS).usage
    assert usage.prompt_tokens == sum(len(original.tokens(text)) for text in TEXTS)


def test_texts_with_the_same_meaning_are_near(client: openai.OpenAI) -> None:
    """The two sentences about crossing a river are nearest to each other, with no word in common but "a"."""
    found = vectors(client, TEXTS[:5])
    near = found @ found.T - 2 * np.eye(5)
    assert (near[0].argmax(), near[1].argmax()) == (1, 0)
    assert near[0, 1] > 0.5 > near[0, 2:].max() + 0.1


def test_both_encodings_are_the_same_vector_and_company_changes_none(client: openai.OpenAI) -> None:
    """base64, the official client's default, and plain numbers, alone and in a batch."""
    packed, plain = vectors(client, TEXTS[:3]), vectors(client, TEXTS[:3], encoding_format="float")
    assert np.array_equal(packed, plain)
    assert np.array_equal(vectors(client, TEXTS[2:3])[0], packed[2])


def test_a_text_that_is_too_long_is_refused_with_the_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        vectors(client, ["boat " * 600])
    assert refused.value.code == "context_length_exceeded"
    assert "602" in refused.value.message
    assert "512" in refused.value.message


def test_a_parameter_at_its_ends(client: openai.OpenAI) -> None:
    """Every honoured parameter: its limits are answered, and values just outside are a 400 that names it."""
    ends: dict[str, tuple[list[object], list[object]]] = {
        "model": ([NAME, None], [1]),
        "input": (["x", "🦜", ["x"] * 32], ["", [], ["x", ""], ["x"] * (MAX_TEXTS + 1), 1, [1], [[1, 2]], None]),
        "encoding_format": (["float", "base64", None], ["md5", 1]),
    }
    assert set(ends) == set(EmbeddingBody.model_fields)
    for name, (good, wrong) in ends.items():
        for value, status in [*((value, 200) for value in good), *((value, 400) for value in wrong)]:
            answer = httpx.post(f"{client.base_url}embeddings", json={"input": "x", name: value}, timeout=60)
            assert answer.status_code == status, (name, value, answer.text)
            assert status == 200 or name in answer.json()["error"]["message"]


def test_it_writes_no_text(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="gives embeddings and writes no text"):
        client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "x"}])


def test_a_model_that_embeds_counts_no_prompts(original: MiniLM, tmp_path: Path) -> None:
    """Its worker knows only texts to embed: the question would have waited for ever."""
    settings = settings_module.load(cache_dir=tmp_path / "cache")
    model = catalog_entry(Cache(settings.cache_dir), original, tmp_path)
    with pytest.raises(NotSupported, match="writes no text"):
        asyncio.run(LocalEngine(model, settings).count(Request(text="x")))
