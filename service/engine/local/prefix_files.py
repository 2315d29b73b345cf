"""Prefix states on the cache volume: one file each, trusted only when everything about it is what it was.

A file is a line of JSON (what computed the state, its token ids, the digest of its bytes) and the bytes. Its name is
the digest of that line. What computed it is `made_by`: the model's and its template's digests, the engine's version and
settings, llama.cpp's CPU features; a file of another maker is left alone, for it may be another service's on the same
volume. A file that is damaged is deleted. The folder is bounded in bytes; what was used longest ago goes first.

Writing happens on a thread of its own, since decoding should not wait for a disk. A volume that cannot be written to is
survived: nothing is saved, and `problem` says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
HEADER_BYTES = 1 << 20  # no header is longer
STALE_S = 3600.0  # a part of a file that is older was left by a process that died

State = npt.NDArray[np.uint8]


class PrefixFiles:
    """The folder, for one maker."""

    def __init__(self, folder: Path, made_by: Mapping[str, Any], *, limit_bytes: int) -> None:
        self._folder = folder
        self._made_by = json.loads(json.dumps(made_by))  # as it will be read again
        self._limit = limit_bytes
        self._jobs: queue.SimpleQueue[tuple[list[int], int, State, Callable[[Path], None]]] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._pending = 0
        self.problem: str | None = None

    def index(self) -> list[tuple[list[int], int, Path]]:
        """(token ids, how many of them are canonical, path) of every file of this maker. Reads headers only."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for path in sorted(self._folder.iterdir()):
                if path.suffix == ".part":
                    self._sweep(path)
                elif path.suffix == ".prefix":
                    header = self._header(path)
                    if header is not None and header["made_by"] == self._made_by:
                        found.append((header["tokens"], header["canonical"], path))
        return found

    def load(self, path: Path) -> State | None:
        """The bytes, verified; None when there are none to be trusted, and then the file is gone."""
        header = self._header(path)
        if header is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        state = np.frombuffer(data, dtype=np.uint8, offset=data.index(b"\n") + 1)
        if hashlib.sha256(state.data).hexdigest() != header["sha256"]:
            self.delete(path)
            return None
        with contextlib.suppress(OSError):  # a read-only volume keeps its order
            os.utime(path)
        return state

    def save(self, tokens: list[int], canonical: int, state: State, done: Callable[[Path], None]) -> None:
        """Write it soon; `done` gets the path, on the writer's thread. A volume that refused once is left alone."""
        if self.problem is not None:
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, daemon=True)
            self._writer.start()
        self._pending += 1
        self._jobs.put((tokens, canonical, state, done))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, at most `timeout_s`."""
        end = time.monotonic() + timeout_s
        while self._pending and self.problem is None and time.monotonic() < end:
            time.sleep(0.01)

    def delete(self, path: Path) -> None:
        """Remove a file that cannot be used, where that is allowed."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self.problem = f"{path.name} cannot be deleted: {error.strerror}"

    def _write_all(self) -> None:
        while True:
            tokens, canonical, state, done = self._jobs.get()
            try:
                done(self._write(tokens, canonical, state))
            except OSError as error:
                self.problem = f"prefixes cannot be saved: {error.strerror}"
            self._pending -= 1

    def _write(self, tokens: list[int], canonical: int, state: State) -> Path:
        header = json.dumps(
            {
                "version": VERSION,
                "made_by": self._made_by,
                "tokens": tokens,
                "canonical": canonical,
                "size": state.nbytes,
                "sha256": hashlib.sha256(state.data).hexdigest(),
            },
            separators=(",", ":"),
        ).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_name(header)}.prefix"
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                file.write(header + b"\n")
                file.write(state.data)
            self._make_room(part.stat().st_size)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _make_room(self, size: int) -> None:
        """Delete the files that were used longest ago until `size` more bytes are within the bound."""
        files = []
        for path in self._folder.glob("*.prefix"):
            with contextlib.suppress(FileNotFoundError):  # another service on this volume made room too
                there = path.stat()
                files.append((there.st_mtime, there.st_size, path))
        total = sum(bytes_ for _, bytes_, _ in files)
        for _, bytes_, path in sorted(files):
            if total + size <= self._limit:
                return
            total -= bytes_
            path.unlink(missing_ok=True)

    def _header(self, path: Path) -> dict[str, Any] | None:
        """The header, if the file has its name by right and is as long as it says. A damaged file is deleted."""
        try:
            with path.open("rb") as file:
                line = file.readline(HEADER_BYTES).rstrip(b"\n")
                size = path.stat().st_size - len(line) - 1
            header: dict[str, Any] = json.loads(line)
            if path.stem != _name(line) or header["version"] != VERSION or header["size"] != size:
                raise ValueError("not what was written")
        except OSError:
            return None
        except (ValueError, KeyError, TypeError):
            self.delete(path)
            return None
        return header

    def _sweep(self, part: Path) -> None:
        with contextlib.suppress(OSError):  # somebody else's, or gone already
            if time.time() - part.stat().st_mtime > STALE_S:
                part.unlink()


def _name(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()[:40]
