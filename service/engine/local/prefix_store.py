"""Prefix states on the cache volume, one file each. A file is trusted only with a code made with a key from elsewhere.

In: token ids and states, a key that is not on the volume. Out: the same states.
Not here: the choice of prefixes, which are those of promoted prompts only (`prefix_cache`). The place of the key.

A file is a line of JSON (maker, token ids, digest of the bytes), a line with that line's code (keyed BLAKE2b), and the
bytes. Its name is the code. The maker (`made_by`) is the model's and its template's digest, the engine's version,
settings and kernels. Files of another maker are left alone, since another service may share the key. A file without a
valid code, or with other bytes, is removed with a warning.

Each key has its own folder, so services with different keys do not touch each other's files. All folders together are
bounded in bytes. The least recently used file is removed first, so the files of a lost key go too. Folders have mode
0700, files 0600.

A separate thread writes, because decoding should not wait for a disk. If the volume is not writable, nothing is saved
and `problem` holds the reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from service import atomic_files, private_files

VERSION = 2
HEADER_BYTES = 1 << 20  # no header is longer
CODE_BYTES = 32
STALE_S = 3600.0  # a part of a file that is older was left by a process that died
log = logging.getLogger("sameboat")

State = npt.NDArray[np.uint8]


class PrefixStore:
    """The files of one maker and one key, in `root`."""

    def __init__(self, root: Path, made_by: Mapping[str, Any], *, key: bytes, limit_bytes: int) -> None:
        self._root = root
        self._key = key
        self._folder = root / self._code(b"folder")[:16]
        self._made_by = json.loads(json.dumps(made_by))  # as it will be read again
        self._limit = limit_bytes
        self._jobs: queue.SimpleQueue[tuple[list[int], int, State, Callable[[Path], None]]] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._pending = 0
        self.problem: str | None = None

    def index(self) -> list[tuple[list[int], int, Path]]:
        """(token ids, how many of them are canonical, path) of every file of this maker. Reads headers only."""
        entries = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            if self._root.is_dir():
                private_files.folder(self._root)
            for path in self._root.glob("*.prefix"):
                self._remove(path, "is of a form that held callers' prompts too")  # version 1
            for path in sorted(self._folder.iterdir()):
                if path.suffix == ".part":
                    self._sweep(path)
                elif path.suffix == ".prefix":
                    header, _ = self._read(path, whole=False)
                    if header is not None and header["made_by"] == self._made_by:
                        entries.append((header["tokens"], header["canonical"], path))
        return entries

    def load(self, path: Path) -> State | None:
        """The verified bytes. None, and the file is removed, if they cannot be trusted."""
        header, state = self._read(path, whole=True)
        if header is None:
            return None
        with contextlib.suppress(OSError):  # a read-only volume keeps its order
            os.utime(path)
        return state

    def save(self, tokens: list[int], canonical: int, state: State, done: Callable[[Path], None]) -> None:
        """Queue a file for writing. The writer thread calls `done` with its path. After one failed write nothing is
        saved.
        """
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

    def _code(self, data: bytes) -> str:
        return hashlib.blake2b(data, key=self._key, digest_size=CODE_BYTES).hexdigest()

    def _remove(self, path: Path, why: str) -> None:
        log.warning("%s %s; it is removed and not used.", path, why)
        self.delete(path)

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
        private_files.folder(self._root)
        private_files.folder(self._folder)
        code = self._code(header)
        path = self._folder / f"{code}.prefix"
        with atomic_files.replacing(path, mode=private_files.FILE) as file:
            file.write(header + b"\n" + code.encode() + b"\n")
            file.write(state.data)
            self._make_room(file.tell())
        return path

    def _make_room(self, size: int) -> None:
        """Delete the files that were used longest ago until `size` more bytes are within the bound."""
        files = []
        for path in self._root.glob("*/*.prefix"):
            with contextlib.suppress(FileNotFoundError):  # another service on this volume made room too
                there = path.stat()
                files.append((there.st_mtime, there.st_size, path))
        total = sum(bytes_ for _, bytes_, _ in files)
        for _, bytes_, path in sorted(files):
            if total + size <= self._limit:
                return
            total -= bytes_
            path.unlink(missing_ok=True)

    def _read(self, path: Path, *, whole: bool) -> tuple[dict[str, Any] | None, State | None]:
        """Header and, if `whole`, state of a file with a valid code. Any other file is removed."""
        try:
            with _regular(path) as file:
                line = file.readline(HEADER_BYTES).rstrip(b"\n")
                code = file.readline(2 * CODE_BYTES + 1).rstrip(b"\n").decode("ascii", "replace")
                if not hmac.compare_digest(code.encode(), self._code(line).encode()) or path.stem != code:
                    raise ValueError("has no valid code")
                header: dict[str, Any] = json.loads(line)
                if header["version"] != VERSION or header["size"] != os.fstat(file.fileno()).st_size - file.tell():
                    raise ValueError("is not as long as it says")
                state = np.frombuffer(file.read(), dtype=np.uint8) if whole else None
                if state is not None and hashlib.sha256(state.data).hexdigest() != header["sha256"]:
                    raise ValueError("has other bytes than were saved")
        except OSError:
            return None, None
        except ValueError as error:
            self._remove(path, str(error))
            return None, None
        return header, state

    def _sweep(self, part: Path) -> None:
        with contextlib.suppress(OSError):  # somebody else's, or gone already
            if time.time() - part.stat().st_mtime > STALE_S:
                part.unlink()


def _regular(path: Path) -> BinaryIO:
    """The file, opened. Raises ValueError for a pipe, which would be waited for, and OSError for a link."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("is no file")
    return file
