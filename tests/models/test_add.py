"""`sameboat model add`: a model by the name that people know it by, pinned by commit and digest, and fetched."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.cli.model import app
from service.errors import LicenceNotAccepted, ModelError, ModelFetchError
from service.models import references, web
from service.models.cache import WAITING, Cache
from service.models.catalog import Catalog, UrlSource
from tests.servers.hub import COMMIT, TOKEN, HubServer, Repository, model_bytes, serving

CATALOG = Path(__file__).resolve().parents[2] / "data" / "models.toml"
REPOSITORY = "maker/Small-Model-GGUF"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one repository, and settings that lead there. Nothing of this user's own cache or token is read."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models.toml").write_bytes(CATALOG.read_bytes())
    with serving() as made:
        files = {f"Small-Model-{name}.gguf": model_bytes(tmp_path, file_type=kind, rows=rows)
                 for name, kind, rows in (("Q2_K", 10, 2_000), ("Q4_K_M", 15, 6_000), ("Q8_0", 7, 12_000))}  # fmt: skip
        more = {"README.md": b"# Small", "mmproj-f16.gguf": b"GGUF, a projector"}
        made.repositories[REPOSITORY] = Repository({**files, **more})
        for name, value in {
            "HF_HOME": tmp_path / "hf",
            "HF_ENDPOINT": made.url,
            "SAMEBOAT_OLLAMA_REGISTRY": made.url,
            "SAMEBOAT_DATA_DIR": tmp_path / "data",
            "SAMEBOAT_CACHE_DIR": tmp_path / "cache",
        }.items():
            monkeypatch.setenv(name, str(value))
        yield made


def add(*arguments: str) -> Result:
    """Run the command. An error of ours is raised here, as it would be shown."""
    return CliRunner().invoke(app, ["add", *arguments], catch_exceptions=False)


def added(*arguments: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(add(*arguments, "--json").stdout)
    return facts


def catalog(tmp_path: Path) -> Catalog:
    return Catalog.load(tmp_path / "data" / "models.toml")


def test_a_model_of_the_hub_is_shown_pinned_by_commit_and_digest_and_fetched(server: HubServer, tmp_path: Path) -> None:
    shown = add(f"hf:{REPOSITORY}").output
    model = catalog(tmp_path)["small-model"]
    data = server.repositories[REPOSITORY].files["Small-Model-Q4_K_M.gguf"]
    assert (model.sha256, model.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (model.licence, model.asks, model.context, model.quantization) == ("Apache-2.0", None, 4096, "Q4_K_M")
    assert model.sources[0].model_dump() == {
        "kind": "huggingface", "repository": REPOSITORY, "revision": COMMIT, "file": "Small-Model-Q4_K_M.gguf",
    }  # fmt: skip
    assert (tmp_path / "cache" / "models" / f"{model.sha256}.gguf").read_bytes() == data
    for fact in (COMMIT, "Apache-2.0", "4096 tokens", "chat template", "memory", model.sha256, "models.local.toml"):
        assert fact in shown
    assert "mmproj" not in shown


def test_the_same_model_again_changes_nothing(server: HubServer, tmp_path: Path) -> None:
    add(f"hf:{REPOSITORY}")
    text = (tmp_path / "data" / "models.local.toml").read_text(encoding="utf-8")
    assert added(f"hf:{REPOSITORY}")["pinned"] is False
    assert (tmp_path / "data" / "models.local.toml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("limit", "chosen"), [(None, "Q4_K_M"), (104_000_000, "Q2_K"), (103_000_000, None)], ids=["room", "little", "none"]
)
def test_of_several_quantizations_one_is_chosen_that_fits(
    limit: int | None, chosen: str | None, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual one, or else a smaller one. The limit is the container's."""
    if limit is not None:
        monkeypatch.setenv("SAMEBOAT_MEMORY_LIMIT_BYTES", str(limit))
    monkeypatch.setenv("SAMEBOAT_CONTEXT", "256")
    monkeypatch.setenv("SAMEBOAT_PARALLEL", "1")
    if chosen is None:
        with pytest.raises(ModelError, match="None of the 3 files fits: the smallest needs"):
            add(f"hf:{REPOSITORY}")
    else:
        assert added(f"hf:{REPOSITORY}", "--no-pull")["quantization"] == chosen


@pytest.mark.parametrize("wanted", ["Q8_0", "q8_0", "Small-Model-Q8_0.gguf"])
def test_a_quantization_or_a_file_can_be_named(wanted: str, server: HubServer) -> None:
    assert added(f"hf:{REPOSITORY}:{wanted}", "--no-pull")["file"] == "Small-Model-Q8_0.gguf"


def test_no_such_file_names_the_similar_one(server: HubServer) -> None:
    with pytest.raises(ModelFetchError, match="Did you mean") as refused:
        add(f"hf:{REPOSITORY}:Small-Model-Q8_1.gguf")
    assert "Small-Model-Q8_0.gguf" in str(refused.value)


def test_a_gated_repository_needs_the_token_of_an_account_with_access(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its facts are public, its bytes are not. The token goes to the hub and to no other origin."""
    repository = server.repositories[REPOSITORY]
    repository.gated, repository.card = True, {"license": "gemma"}
    with pytest.raises(ModelFetchError, match=r"no token is set.*HF_TOKEN"):
        add(f"hf:{REPOSITORY}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_account")
    with pytest.raises(ModelFetchError, match="no access"):
        add(f"hf:{REPOSITORY}")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(f"{TOKEN}\n", encoding="ascii")  # as the client's login stores it
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(LicenceNotAccepted, match="SAMEBOAT_ACCEPT_LICENCES=gemma"):
        add(f"hf:{REPOSITORY}")
    monkeypatch.setenv("SAMEBOAT_ACCEPT_LICENCES", "gemma")
    assert added(f"hf:{REPOSITORY}")["path"]
    sent = {(path.split("/")[1], headers.get("authorization")) for _, path, headers in server.requests}
    assert ("cdn", None) in sent
    assert not any(place == "cdn" and token for place, token in sent)


def test_a_cut_download_stays_pinned_and_goes_on_where_it_stopped(server: HubServer, tmp_path: Path) -> None:
    server.cut = 1_000_000
    with pytest.raises(ModelFetchError, match=r"[^.]\. The fetched bytes are kept"):
        add(f"hf:{REPOSITORY}")
    assert "small-model" in catalog(tmp_path)
    server.cut = None
    assert added(f"hf:{REPOSITORY}")["path"]
    assert server.ranges()[-1] == "bytes=1000000-"


def test_bytes_of_another_digest_are_never_a_model(server: HubServer, tmp_path: Path) -> None:
    server.flip = True
    with pytest.raises(ModelFetchError, match=r"hash to .*, not to .*; deleted"):
        add(f"hf:{REPOSITORY}")
    assert not list((tmp_path / "cache").glob("models/*"))
    assert not list((tmp_path / "cache").glob("partial/*.part"))


def test_a_wrong_expected_digest_pins_nothing(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--sha256"):
        add(f"hf:{REPOSITORY}", "--sha256", "0" * 64)
    assert not (tmp_path / "data" / "models.local.toml").exists()


def test_a_file_in_the_cache_of_the_hub_s_client_is_linked_and_not_downloaded(
    server: HubServer, tmp_path: Path
) -> None:
    """And if its bytes are wrong, it is left alone and downloaded."""
    data = server.repositories[REPOSITORY].files["Small-Model-Q4_K_M.gguf"]
    for content, downloads in ((data, False), (b"x" * len(data), True)):
        hub = tmp_path / f"hub-{downloads}"
        place = hub / "models--maker--Small-Model-GGUF" / "snapshots" / COMMIT / "Small-Model-Q4_K_M.gguf"
        place.parent.mkdir(parents=True)
        (hub / "blob").write_bytes(content)
        place.symlink_to(hub / "blob")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_CACHE", str(hub))
            patch.setenv("SAMEBOAT_CACHE_DIR", str(tmp_path / f"cache-{downloads}"))
            server.requests.clear()
            path = Path(added(f"hf:{REPOSITORY}")["path"])
        assert path.read_bytes() == data
        assert path.samefile(hub / "blob") is not downloads
        assert (hub / "blob").read_bytes() == content
        assert len(server.ranges()) == 1 + downloads  # the header, and the file


def test_a_name_of_ollama_s_library_is_its_layer_by_digest(server: HubServer, tmp_path: Path) -> None:
    data = model_bytes(tmp_path, file_type=7, rows=500)
    licence = b"LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\nVersion"
    server.ollama["library/llama3.2:1b"] = [("license", licence), ("model", data), ("params", b"{}")]
    facts = added("llama3.2:1b", "--no-pull")
    assert (facts["name"], facts["licence"], facts["asks"]) == ("llama3.2-1b", "llama3.2", "llama3.2")
    assert facts["sha256"] == hashlib.sha256(data).hexdigest()
    with pytest.raises(ModelFetchError, match=r"no model 'llama3.2:9b' \(HTTP 404\)"):
        add("ollama:llama3.2:9b")


def test_a_url_is_fetched_once_and_pinned_by_the_digest_of_its_bytes(server: HubServer, tmp_path: Path) -> None:
    server.plain["My_Model.Q8_0.gguf"] = data = model_bytes(tmp_path, file_type=7, rows=3000, template=None)
    url = f"http://localhost:{server.server_port}/plain/My_Model.Q8_0.gguf"  # another host than the hub's
    server.cut = 500_000
    with pytest.raises(ModelFetchError):
        add(url)
    server.cut = None
    shown = add(url).output
    assert "not stated" in shown
    assert "none, so it takes raw texts only" in shown
    model = catalog(tmp_path)["my-model"]
    assert model.sha256 == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "cache" / "models" / f"{model.sha256}.gguf").read_bytes() == data
    ranges = [headers.get("range") for _, path, headers in server.requests if path.startswith("/plain/")]
    assert ranges == [None, None, None, "bytes=500000-"]


def test_a_file_of_this_machine_is_copied_and_another_model_of_its_name_is_refused(
    server: HubServer, tmp_path: Path
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(model_bytes(tmp_path, rows=70))
    copy = Path(added(str(path))["path"])
    assert copy.read_bytes() == path.read_bytes()
    assert not copy.samefile(path)
    path.write_bytes(model_bytes(tmp_path, rows=71))
    with pytest.raises(ModelError, match="--name"):
        add(str(path))
    assert added(str(path), "--name", "mine-2")["name"] == "mine-2"


def test_a_server_that_is_no_hub_and_a_file_that_is_no_model_are_told(server: HubServer, tmp_path: Path) -> None:
    server.repositories[REPOSITORY].files = {"a.gguf": b"<html>"}
    with pytest.raises(ModelError, match="not a GGUF file"):
        add(f"hf:{REPOSITORY}")
    with pytest.raises(ModelError, match="is not a file"):
        add("./none.gguf")
    server.repositories[REPOSITORY].files = {"model.safetensors": b"x", "mmproj-f16.gguf": b"GGUF"}
    with pytest.raises(ModelFetchError, match="no GGUF file with a language model"):
        add(f"hf:{REPOSITORY}")
    with pytest.raises(ModelFetchError, match="no repository"):
        add("hf:maker/none")


@pytest.mark.parametrize("text", [f"hf:{REPOSITORY}", "ollama:llama3.2:1b", "{}/plain/x.gguf"])
def test_a_source_that_asks_for_patience_says_for_how_long(text: str, server: HubServer) -> None:
    server.busy = "37"
    with pytest.raises(ModelFetchError, match=r"HTTP 429 \(Too Many Requests, again in 37 s\)"):
        add(text.format(f"http://localhost:{server.server_port}"))


def test_a_download_that_is_asked_for_patience_says_for_how_long(server: HubServer) -> None:
    add(f"hf:{REPOSITORY}", "--no-pull")
    server.busy = "37"
    with pytest.raises(ModelFetchError, match=r"hub maker/.*: HTTP 429 \(Too Many Requests, again in 37 s\)"):
        CliRunner().invoke(app, ["pull", "small-model"], catch_exceptions=False)


def test_a_revision_with_a_slash_is_pinned_by_its_commit(server: HubServer, tmp_path: Path) -> None:
    server.repositories[REPOSITORY].branches = ("refs/pr/1",)
    add(f"https://huggingface.co/{REPOSITORY}/tree/refs/pr/1", "--no-pull")
    assert catalog(tmp_path)["small-model"].sources[0].model_dump()["revision"] == COMMIT


def test_one_part_of_a_model_is_no_model(server: HubServer, tmp_path: Path) -> None:
    """By the name that the tool for splitting gives it, or by its header, whatever its name is."""
    first, whole = model_bytes(tmp_path, rows=70, parts=2), model_bytes(tmp_path, rows=71)
    server.repositories[REPOSITORY].files = {"x-00001-of-00002.gguf": whole, "x-00002-of-00002.gguf": whole}
    server.plain["x-00001-of-00002.gguf"] = whole
    path = tmp_path / "mine.gguf"
    path.write_bytes(first)
    for text in (f"hf:{REPOSITORY}", f"http://localhost:{server.server_port}/plain/x-00001-of-00002.gguf", str(path)):
        with pytest.raises(ModelFetchError, match=r"only in several files.*llama-gguf-split --merge"):
            add(text)
    assert not (tmp_path / "data" / "models.local.toml").exists()


def test_a_web_page_is_told_from_a_file(server: HubServer) -> None:
    with pytest.raises(ModelFetchError, match="is a web page and no file"):
        add(f"http://localhost:{server.server_port}/page/x.gguf")


def test_an_adapter_of_ollama_s_library_is_refused(server: HubServer, tmp_path: Path) -> None:
    server.ollama["library/tuned:latest"] = [("model", model_bytes(tmp_path)), ("adapter", b"GGUF")]
    with pytest.raises(ModelFetchError, match="adapters are not read"):
        add("ollama:tuned")


def test_a_path_with_blanks_and_a_name_with_an_escape_give_clean_names(server: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "my model.gguf").write_bytes(model_bytes(tmp_path, rows=72))
    assert added(str(folder / "my model.gguf"), "--no-pull")["name"] == "my-model"
    server.plain["Your Model.gguf"] = model_bytes(tmp_path, rows=73)
    assert added(f"http://localhost:{server.server_port}/plain/Your%20Model.gguf")["name"] == "your-model"


@pytest.mark.parametrize(
    ("name", "value"),
    [("HF_ENDPOINT", "huggingface.co"), ("HF_ENDPOINT", "http://[::1"), ("HF_TOKEN", "hf_\u00e4")],
)
def test_an_unusable_setting_of_the_hub_is_named(
    name: str, value: str, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelError) as refused:
        add(f"hf:{REPOSITORY}")
    assert refused.value.key == name
    assert value not in str(refused.value)


def test_wrong_bytes_of_a_url_are_fetched_anew(server: HubServer, tmp_path: Path) -> None:
    """The bytes that were kept would answer every further try."""
    server.plain["x.gguf"] = data = model_bytes(tmp_path, rows=74)
    url, digest = f"http://localhost:{server.server_port}/plain/x.gguf", hashlib.sha256(data).hexdigest()
    server.flip = True
    with pytest.raises(ModelError, match="--sha256"):
        add(url, "--sha256", digest)
    server.flip = False
    assert added(url, "--sha256", digest)["sha256"] == digest


def test_two_processes_do_not_write_one_url_into_one_file(server: HubServer, tmp_path: Path) -> None:
    server.plain["x.gguf"] = data = model_bytes(tmp_path, rows=5000)
    source = UrlSource(kind="url", url=f"http://localhost:{server.server_port}/plain/x.gguf")
    waiting, digests = threading.Event(), []

    def second() -> None:
        other = Cache(tmp_path / "cache")
        digests.append(
            other.receive(source, len(data), lambda _, __, work: waiting.set() if work == WAITING else None)[1]
        )

    thread = threading.Thread(target=second)

    def first_byte(_: int, __: int, work: str) -> None:
        if work == "downloading" and thread.ident is None:
            thread.start()
            assert waiting.wait(30)

    digests.append(Cache(tmp_path / "cache").receive(source, len(data), first_byte)[1])
    thread.join()
    assert digests == [hashlib.sha256(data).hexdigest()] * 2


def test_a_cache_that_cannot_be_written_is_named(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plain["x.gguf"] = model_bytes(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SAMEBOAT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ModelFetchError) as refused:
        add(f"http://localhost:{server.server_port}/plain/x.gguf")
    assert refused.value.key == "SAMEBOAT_CACHE_DIR"


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("hf:a/B-GGUF", "HubReference", ("a/B-GGUF", "main", None)),
        ("hf:a/B@v1.0:Q4_K_M", "HubReference", ("a/B", "v1.0", "Q4_K_M")),
        ("hf:a/B:sub/x.gguf", "HubReference", ("a/B", "main", "sub/x.gguf")),
        ("hf.co/a/B:Q4_K_M", "HubReference", ("a/B", "main", "Q4_K_M")),
        ("https://huggingface.co/a/B", "HubReference", ("a/B", "main", None)),
        ("https://huggingface.co/a/B/blob/main/x%20y.gguf?download=true", "HubReference", ("a/B", "main", "x y.gguf")),
        ("hf:a/B@refs/pr/1:Q4_K_M", "HubReference", ("a/B", "refs/pr/1", "Q4_K_M")),
        ("https://huggingface.co/a/B/tree/refs/pr/1", "HubReference", ("a/B", "refs/pr/1", None)),
        ("https://huggingface.co/a/B/blob/feature%2Fx/y.gguf", "HubReference", ("a/B", "feature/x", "y.gguf")),
        ("https://example.org/x.gguf", "UrlReference", ("https://example.org/x.gguf",)),
        ("https://ollama.com/library/llama3.2:1b", "OllamaReference", ("llama3.2", "1b")),
        ("ollama.com/library/llama3.2/tags", "OllamaReference", ("llama3.2", "latest")),
        ("https://registry.ollama.ai/User/Model:8B", "OllamaReference", ("User/Model", "8B")),
        ("ollama:User/Model:8B-q4_K_M", "OllamaReference", ("User/Model", "8B-q4_K_M")),
        ("qwen3:0.6b", "OllamaReference", ("qwen3", "0.6b")),
        ("qwen3", "OllamaReference", ("qwen3", "latest")),
        ("ollama:user/model", "OllamaReference", ("user/model", "latest")),
        ("./x.gguf", "PathReference", (Path("x.gguf"),)),
        ("my models/x y.gguf", "PathReference", (Path("my models/x y.gguf"),)),
        ("file:///my%20models/x%20y.gguf", "PathReference", (Path("/my models/x y.gguf"),)),
        ("file://localhost/x.gguf", "PathReference", (Path("/x.gguf"),)),
    ],
)
def test_each_form_of_a_name_is_read(text: str, kind: str, values: tuple[Any, ...]) -> None:
    reference = references.parse(text)
    assert type(reference).__name__ == kind
    assert tuple(vars(reference).values()) == values


@pytest.mark.parametrize(
    "text",
    ["", "hf:", "hf:name", "hf:a/../b", "hf:a/b/c", "https://huggingface.co/", "https://u:p@example.org/x.gguf",
     "https://example.org/x.gguf?token=s3cret", "http://example.org/x.gguf", "a b", "ollama:../x", "https://[/x",
     "https://example.org:99999/x.gguf", "https://ollama.com/", "~nobody-here/x.gguf", "Owner/Model", "x y" * 2000],
)  # fmt: skip
def test_other_forms_and_passwords_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ModelError) as refused:
        references.parse(text)
    assert "s3cret" not in str(refused.value)
    assert "u:p" not in str(refused.value)


def test_the_added_file_cannot_shadow_the_catalog_or_hold_other_keys(server: HubServer, tmp_path: Path) -> None:
    local = tmp_path / "data" / "models.local.toml"
    add(f"hf:{REPOSITORY}", "--no-pull")
    text = local.read_text(encoding="utf-8")
    for content, problem in (
        (text.replace("small-model", "phi-2"), "models.toml has a model of this name"),
        ('default = "small-model"\n' + text, "'default' is no key of this file"),
    ):
        local.write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match=problem):
            catalog(tmp_path)


@pytest.mark.parametrize(
    ("location", "followed"), [("http://b.example/", False), ("https://b.example/", True), ("/c", True)]
)
def test_behind_https_no_redirect_to_plain_http_is_followed(
    location: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No digest would show a change on that way."""
    asked = []

    def answer(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200) if len(asked) > 1 else httpx.Response(302, headers={"location": location})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    if followed:
        with web.get("https://a.example/") as response:
            assert response.status_code == 200
    else:
        with (
            pytest.raises(ModelFetchError, match=r"a\.example redirects from https to plain http"),
            web.get("https://a.example/"),
        ):
            pass
    assert len(asked) == 1 + followed
