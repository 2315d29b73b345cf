"""The directory of verified model files. It can always be rebuilt from the catalog, and may be deleted at any time.

Layout: `models/<sha256>.gguf` (whole and verified), `partial/` (downloads on their way), `locks/` (one per digest).
A file is named by what it must hash to, so its name is its contract; it is hashed again before every load, because
existence proves nothing: volumes faithfully keep broken files. Hashing costs about 0.7 s per gigabyte.

What comes in: models. What goes out: paths to files whose bytes are what the catalog says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service import file_lock, folders
from service.errors import LicenceNotAccepted, ModelCorrupt, ModelFetchError, ModelMissing
from service.models import sources
from service.models.catalog import Model, licence_accepted

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what is being done."""

CHUNK_BYTES = 1 << 22


def no_progress(done: int, total: int, what: str) -> None:
    """The progress of who does not want to know."""


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The digest of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress(done)
    return digest.hexdigest()


@dataclass(frozen=True)
class Verification:
    """What `verify` found: `ok`, `missing`, or `corrupt` with the digest that is there instead."""

    state: Literal["ok", "missing", "corrupt"]
    found: str | None = None


def _inode(path: Path) -> tuple[int, int] | None:
    """Which file is there now: another one of the same name has another number."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _gone(path: Path) -> bool:
    """Delete a file; whether it was there and is gone."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


class Cache:
    """Model files under one directory, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, model: Model) -> Path:
        """Where the model's file is or would be; says nothing about whether it is there."""
        return self.root / "models" / f"{model.sha256}.gguf"

    def holds(self, model: Model) -> bool:
        """Whether a file of the right size is there. For lists; a load goes through `find`."""
        try:
            return self.path(model).stat().st_size == model.size_bytes
        except OSError:
            return False

    def verify(self, model: Model, progress: Progress = no_progress) -> Verification:
        """Hash the file, and change nothing."""
        try:
            found = sha256_of(self.path(model), lambda done: progress(done, model.size_bytes, "verifying"))
        except (FileNotFoundError, NotADirectoryError):
            return Verification("missing")
        return Verification("ok") if found == model.sha256 else Verification("corrupt", found)

    def find(self, model: Model, progress: Progress = no_progress) -> Path | None:
        """The verified file, or None when there is none.

        Raises ModelCorrupt when the bytes are not the model's; the file is deleted first, where that is allowed, and
        unless another process has put a new one in its place while this one was hashed.
        """
        there = _inode(self.path(model))
        checked = self.verify(model, progress)
        if checked.state == "missing":
            return None
        if checked.state == "corrupt":
            if _inode(self.path(model)) != there:
                return self.find(model, progress)
            removed = _gone(self.path(model))
            raise ModelCorrupt(
                f"{self.path(model)} hashes to {checked.found}, and {model.name} must be {model.sha256}."
                + (" The file was deleted." if removed else " It could not be deleted."),
                key=model.name,
                remedy=f"Fetch it again: sameboat model pull {model.name}",
            )
        return self.path(model)

    def require(self, model: Model, progress: Progress = no_progress) -> Path:
        """`find`, with ModelMissing instead of None."""
        path = self.find(model, progress)
        if path is None:
            raise ModelMissing(
                f"{model.name} is not in the cache.",
                key=model.name,
                remedy=f"Fetch it ({model.size_bytes / 1e6:.0f} MB): sameboat model pull {model.name}",
            )
        return path

    def adopt(self, path: Path) -> tuple[str, int]:
        """Take in a file that was made here, under the digest of its bytes; that digest and its size in bytes."""
        digest, size = sha256_of(path), path.stat().st_size
        target = self.root / "models" / f"{digest}.gguf"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o444)
        os.replace(path, target)
        return digest, size

    def remove(self, model: Model) -> bool:
        """Delete the model's file and its partial downloads; whether anything was there and is gone."""
        paths = [self.path(model), *(self.root / "partial").glob(f"{model.sha256}.*")]
        return sum(_gone(path) for path in paths) > 0  # all of them, not only the first

    def pull(
        self,
        model: Model,
        progress: Progress = no_progress,
        *,
        offline: bool = False,
        accept: str = "",
        base: Path | None = None,
    ) -> Path:
        """The verified file, fetched from the first source that delivers it.

        Safe to call from several processes: one fetches, the others wait and take its file. A cut download goes on
        where it stopped. A read-only cache that holds the file is enough.
        Raises LicenceNotAccepted, ModelFetchError with what each source said.
        """
        with contextlib.suppress(ModelCorrupt):  # deleted just now, hence fetched again
            if path := self.find(model, progress):
                return path
        if not licence_accepted(model, accept):
            raise LicenceNotAccepted(
                f"{model.name} comes under the {model.licence}" + (f" ({model.terms})." if model.terms else "."),
                key="SAMEBOAT_ACCEPT_LICENCES",
                remedy=f"If you accept it, set SAMEBOAT_ACCEPT_LICENCES={model.asks}",
            )
        if offline:
            raise ModelFetchError(
                f"{model.name} is not in the cache and SAMEBOAT_OFFLINE forbids fetching it.", key="SAMEBOAT_OFFLINE"
            )
        try:
            with self._lock(model.sha256, lambda: progress(0, model.size_bytes, "waiting for another process")):
                return self._fetch(model, progress, base or Path.cwd())
        except OSError as error:
            found = folders.problem(self.root, "SAMEBOAT_CACHE_DIR")
            raise ModelFetchError(
                f"The cache {found.what}" if found else f"The cache {self.root} cannot be written: {error.strerror}.",
                key="SAMEBOAT_CACHE_DIR",
                remedy=found.remedy if found else "Make it writable for this user, or name another directory.",
            ) from None

    def _fetch(self, model: Model, progress: Progress, base: Path) -> Path:
        """With the lock held: look again, then try the sources in order."""
        with contextlib.suppress(ModelCorrupt):
            if path := self.find(model, progress):
                return path
        said: list[str] = [] if model.sources else [f"it is made out of {model.parent}, by sameboat model pull"]
        for number, source in enumerate(model.sources):
            partial = self.root / "partial" / f"{model.sha256}.{number}.part"
            partial.parent.mkdir(parents=True, exist_ok=True)
            name = sources.describe(source)
            try:
                sources.fetch(
                    source,
                    partial,
                    lambda done, what: progress(done, model.size_bytes, what),
                    base=base,
                    size_bytes=model.size_bytes,
                )
            except ModelFetchError as error:
                if isinstance(error, sources.Oversized):
                    _gone(partial)
                    for note in partial.parent.glob(f"{partial.stem}.*"):
                        _gone(note)
                said.append(f"{name}: {error.message}")
                continue
            found = sha256_of(partial, lambda done: progress(done, model.size_bytes, "verifying"))
            if found == model.sha256:
                target = self.path(model)
                target.parent.mkdir(parents=True, exist_ok=True)
                partial.chmod(0o444)
                os.replace(partial, target)
                for left in partial.parent.glob(f"{model.sha256}.*"):
                    left.unlink(missing_ok=True)
                return target
            size = partial.stat().st_size
            for left in partial.parent.glob(f"{partial.stem}.*"):
                left.unlink(missing_ok=True)
            said.append(f"{name}: delivered {size} bytes that hash to {found}, not to {model.sha256}; deleted")
        kept = any(left.stat().st_size for left in (self.root / "partial").glob(f"{model.sha256}.*.part"))
        raise ModelFetchError(
            f"{model.name} could not be fetched. " + "; ".join(said) + ".",
            key=model.name,
            remedy="What was fetched is kept, and the next pull goes on from there." if kept else None,
        )

    @contextlib.contextmanager
    def _lock(self, digest: str, waiting: Callable[[], None]) -> Iterator[None]:
        """One process at a time per digest. The kernel drops the lock with its holder, so a crash leaves none."""
        path = self.root / "locks" / f"{digest}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.hold(path, waiting):
            yield
