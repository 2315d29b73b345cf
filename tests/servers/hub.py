"""A stand-in for the Hugging Face hub and for an Ollama registry, with their wire formats.

In: repositories and files as bytes. Out: a server on 127.0.0.1 that answers as huggingface.co does: the API, `resolve`
with a redirect to another origin for the bytes, ranges, errors by X-Error-Code. Under `/v2/` it answers as
registry.ollama.ai does. `tests/models/test_hub_client.py` asks it with the hub's own client.
Not here: Xet, which a client may use instead of the redirect.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import gguf
import numpy as np

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # pragma: allowlist secret
TOKEN = "hf_stand_in_only"  # pragma: allowlist secret
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def model_bytes(
    folder: Path, *, file_type: int = 15, rows: int = 64, template: str | None = TEMPLATE, parts: int = 1
) -> bytes:
    """A small GGUF file. More `rows` make it larger. With several `parts` it says that it is the first of them."""
    path = folder / f"{file_type}-{rows}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(file_type)
    writer.add_context_length(4096)
    writer.add_block_count(1)
    writer.add_embedding_length(64)
    writer.add_head_count(1)
    writer.add_token_list(["a", "b"])
    if template is not None:
        writer.add_chat_template(template)
    if parts > 1:
        writer.add_uint16("split.count", parts)
    writer.add_tensor("weights", np.full((rows, 64), file_type, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@dataclass
class Repository:
    """A repository at one commit, which its `branches` name too. `gated` needs TOKEN. `card` is its README's head."""

    files: dict[str, bytes]
    card: dict[str, Any] = field(default_factory=lambda: {"license": "apache-2.0"})
    gated: bool = False
    branches: tuple[str, ...] = ("main",)


class HubServer(http.server.ThreadingHTTPServer):
    """Holds repositories, Ollama models and plain files. `cut` ends the next body early, `flip` changes one byte.

    `busy` is the `Retry-After` of a refusal that every request gets.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.ollama: dict[str, list[tuple[str, bytes]]] = {}
        self.plain: dict[str, bytes] = {}
        self.cut: int | None = None
        self.flip = False
        self.busy: str | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers in lower case of each request."""

    @property
    def url(self) -> str:
        """The hub's endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def blobs(self) -> dict[str, bytes]:
        """Every file by its digest."""
        bodies = [*self.plain.values()]
        bodies += [data for repository in self.repositories.values() for data in repository.files.values()]
        bodies += [data for layers in self.ollama.values() for _, data in layers]
        return {hashlib.sha256(data).hexdigest(): data for data in bodies}

    def ranges(self) -> list[str | None]:
        """The ranges that downloads asked for, in order."""
        return [headers.get("range") for method, path, headers in self.requests
                if method == "GET" and path.startswith("/cdn/")]  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        return

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, path, headers))
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if self.server.busy is not None:
            self._send(429, b"slow down", Retry_After=self.server.busy)
        elif parts[0] == "cdn":
            self._bytes(self.server.blobs().get(parts[1]))
        elif parts[0] == "plain":
            self._bytes(self.server.plain.get(parts[1]))
        elif parts[0] == "page":
            self._send(200, b"<!doctype html><title>Log in</title>", Content_Type="text/html; charset=utf-8")
        elif parts[0] == "v2":
            self._registry(parts[1:])
        elif parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[5] if parts[4:5] == ["revision"] else "main")
        else:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        body = json.dumps({"error": code}).encode()
        self._send(status, body, X_Error_Code=code, X_Error_Message=code, Content_Type="application/json")

    def _repository(self, name: str, revision: str) -> Repository | None:
        """The repository, or None and the hub's refusal. Strangers are told 401 for one that does not exist."""
        repository = self.server.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound")
        elif revision not in (*repository.branches, COMMIT):
            self._refuse(404, "RevisionNotFound")
            return None
        return repository

    def _api(self, name: str, revision: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        siblings: list[dict[str, Any]] = []
        for file, data in repository.files.items():
            row: dict[str, Any] = {"rfilename": file}
            if parse_qs(urlsplit(self.path).query).get("blobs"):
                large = file.endswith(".gguf")
                row |= {"size": len(data), "blobId": hashlib.sha1(data, usedforsecurity=False).hexdigest()}
                digest = hashlib.sha256(data).hexdigest()
                row |= {"lfs": {"sha256": digest, "size": len(data), "pointerSize": 134}} if large else {}
            siblings.append(row)
        body = json.dumps(
            {"_id": "1", "id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 1,
             "gated": "manual" if repository.gated else False, "cardData": repository.card, "siblings": siblings}
        ).encode()  # fmt: skip
        self._send(200, body, Content_Type="application/json; charset=utf-8")

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        if repository.gated and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._refuse(403 if self.headers.get("authorization") else 401, "GatedRepo")
            return
        if file not in repository.files:
            self._refuse(404, "EntryNotFound")
            return
        data = repository.files[file]
        digest = hashlib.sha256(data).hexdigest()
        other_origin = f"http://localhost:{self.server.server_port}/cdn/{digest}"
        self._send(302, b"Found", Location=other_origin, X_Repo_Commit=COMMIT, X_Linked_Size=str(len(data)),
                   X_Linked_Etag=f'"{digest}"', Accept_Ranges="bytes")  # fmt: skip

    def _registry(self, parts: list[str]) -> None:
        name, kind, reference = "/".join(parts[:-2]), parts[-2], parts[-1]
        if kind == "blobs":
            place = f"http://localhost:{self.server.server_port}/cdn/{reference.removeprefix('sha256:')}"
            self._send(307, Location=place)
            return
        layers = self.server.ollama.get(f"{name}:{reference}")
        if layers is None:
            body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            self._send(404, body, Content_Type="application/json")
            return
        rows = [{"mediaType": f"application/vnd.ollama.image.{kind}", "size": len(data),
                 "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"} for kind, data in layers]  # fmt: skip
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": {"digest": "sha256:0", "size": 2}, "layers": rows}  # fmt: skip
        self._send(200, json.dumps(manifest).encode(), Content_Type="text/plain; charset=utf-8")

    def _bytes(self, data: bytes | None) -> None:
        if data is None:
            self._send(404, b"not found")
            return
        etag, start, status = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"', 0, 200
        more = {"ETag": etag, "Accept_Ranges": "bytes"}
        wanted = self.headers.get("range", "")
        if wanted and self.headers.get("if-range", etag) == etag:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, status = int(first), 206
            if start >= len(data):
                self._send(416, b"", Content_Range=f"bytes */{len(data)}", **more)
                return
            end = int(last) if last else len(data) - 1
            more["Content_Range"] = f"bytes {start}-{end}/{len(data)}"
            data = data[: end + 1]
        body = data[start:]
        if self.server.flip and status == 200 and self.command == "GET":
            body = bytes([*body[:-1], body[-1] ^ 1])
        size = len(body)
        if self.server.cut is not None and self.command == "GET":
            body = body[: self.server.cut]
            self.close_connection = True
        self._send(status, body, Content_Length=str(size), **more)


@contextmanager
def serving() -> Iterator[HubServer]:
    """A server for the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
