"""The stand-in for the hub is right, as far as the hub's own client sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from service.models import hub
from tests.servers.hub import COMMIT, TOKEN, HubServer, Repository, model_bytes, serving

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with serving() as made:
        made.repositories["o/open"] = Repository({"a-Q4_K_M.gguf": model_bytes(tmp_path), "README.md": b"# A"})
        made.repositories["o/gated"] = Repository({"g.gguf": b"GGUF"}, {"license": "gemma"}, gated=True)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def test_the_real_client_and_ours_read_the_same_of_a_repository(server: HubServer) -> None:
    theirs = huggingface_hub.HfApi(endpoint=server.url, token=False).model_info("o/open", files_metadata=True)
    ours = hub.look_up("o/open")
    assert theirs.card_data is not None
    assert theirs.siblings is not None
    assert (ours.commit, ours.licence) == (theirs.sha, theirs.card_data["license"]) == (COMMIT, "apache-2.0")
    lfs = {file.rfilename: (file.lfs.size, file.lfs.sha256) for file in theirs.siblings if file.lfs}
    assert {file.name: (file.size_bytes, file.sha256) for file in ours.files} == lfs
    assert len(lfs) == 1


def test_a_file_that_the_real_client_downloaded_is_found_in_its_cache(server: HubServer, tmp_path: Path) -> None:
    assert hub.cached("o/open", COMMIT, "a-Q4_K_M.gguf") is None
    path = huggingface_hub.hf_hub_download(
        "o/open", "a-Q4_K_M.gguf", endpoint=server.url, token=False, cache_dir=tmp_path / "hf" / "hub"
    )
    there = hub.cached("o/open", COMMIT, "a-Q4_K_M.gguf")
    assert there == Path(path).resolve()
    assert there.read_bytes() == server.repositories["o/open"].files["a-Q4_K_M.gguf"]


def test_the_real_client_sends_the_token_to_the_hub_only(server: HubServer, tmp_path: Path) -> None:
    server.repositories["o/gated"].files["g.gguf"] = model_bytes(tmp_path, rows=900)
    huggingface_hub.hf_hub_download("o/gated", "g.gguf", endpoint=server.url, token=TOKEN, cache_dir=tmp_path / "c")
    asked = {path.split("/")[1]: headers.get("authorization") for _, path, headers in server.requests}
    assert asked == {"o": f"Bearer {TOKEN}", "cdn": None}


@pytest.mark.parametrize(
    ("repository", "file", "revision", "theirs", "ours"),
    [
        ("o/gated", "g.gguf", "main", errors.GatedRepoError, "gated, and no token is set"),
        ("o/none", "g.gguf", "main", errors.RepositoryNotFoundError, "no repository 'o/none'"),
        ("o/open", "x.gguf", "main", errors.RemoteEntryNotFoundError, "no such file"),
        ("o/open", "a-Q4_K_M.gguf", "old", errors.RevisionNotFoundError, "no such revision"),
    ],
)
def test_a_refusal_has_the_same_reason_for_the_real_client_and_for_ours(
    server: HubServer, repository: str, file: str, revision: str, theirs: type[Exception], ours: str
) -> None:
    import httpx

    with pytest.raises(theirs):
        huggingface_hub.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(repository, file, revision=revision, endpoint=server.url),
            token=False,
            endpoint=server.url,
        )
    response = httpx.get(f"{server.url}/{repository}/resolve/{revision}/{file}")
    assert ours in str(hub.refusal(response, repository))
