"""The directory of verified model files. It may be deleted at any time and is rebuilt from the catalog.

In: models. Out: paths to files with exactly the bytes that the catalog pins.
Not here: how bytes are fetched (`sources`).

Layout: `models/<sha256>.gguf` (complete and verified), `partial/` (unfinished files), `locks/` (one per digest).
A model with `derived_from` is made from the file that its sources deliver (`repack`), and has a pinned digest too.
A file is named by its digest, and is hashed again before every load, because a volume can keep a damaged file. Hashing
takes about 0.7 s per gigabyte.
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
from service.errors import ModelCorrupt, ModelFetchError, ModelMissing
from service.models import hub, sources
from service.models.catalog import HuggingFaceSource, Model, UrlSource, require_licence

Progress = Callable[[int, int, str], None]
"""Called with the bytes done, the bytes in all, and a name for the present work."""

CHUNK_BYTES = 1 << 22
WAITING = "waiting for another process"


def no_progress(done: int, total: int, what: str) -> None:
    """A progress callback that does nothing."""


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
    """The result of `verify`: `ok`, `missing`, or `corrupt` with the digest of the file that is there."""

    state: Literal["ok", "missing", "corrupt"]
    digest: str | None = None


def _inode(path: Path) -> tuple[int, int] | None:
    """The identity of the file that is there now. Another file of the same name has another inode."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _gone(path: Path) -> bool:
    """Delete a file. True if it was there and is gone now."""
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
        """The path of the model's file, which may not exist."""
        return self.root / "models" / f"{model.sha256}.gguf"

    def holds(self, model: Model) -> bool:
        """Whether a file of the right size is there. This is enough for lists. A load uses `find`."""
        try:
            return self.path(model).stat().st_size == model.size_bytes
        except OSError:
            return False

    def verify(self, model: Model, progress: Progress = no_progress) -> Verification:
        """Hash the file and compare. The file is not changed."""
        try:
            digest = sha256_of(self.path(model), lambda done: progress(done, model.size_bytes, "verifying"))
        except (FileNotFoundError, NotADirectoryError):
            return Verification("missing")
        return Verification("ok") if digest == model.sha256 else Verification("corrupt", digest)

    def find(self, model: Model, progress: Progress = no_progress) -> Path | None:
        """The verified file, or None if there is none.

        A corrupt file is deleted, unless another process has replaced it during the hashing.

        Raises:
            ModelCorrupt: if the file has another digest.
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
                f"{self.path(model)} hashes to {checked.digest}, and {model.name} must be {model.sha256}."
                + (" The file was deleted." if removed else " It could not be deleted."),
                key=model.name,
                remedy=f"Fetch it again: sameboat model pull {model.name}",
            )
        return self.path(model)

    def require(self, model: Model, progress: Progress = no_progress) -> Path:
        """The verified file.

        Raises:
            ModelMissing: if there is none.
            ModelCorrupt: if the file has another digest.
        """
        path = self.find(model, progress)
        if path is None:
            raise ModelMissing(
                f"{model.name} is not in the cache.",
                key=model.name,
                remedy=f"Fetch it ({model.original.size_bytes / 1e6:.0f} MB): sameboat model pull {model.name}",
            )
        return path

    def remove(self, model: Model) -> bool:
        """Delete the model's file and its partial downloads. True if anything was deleted."""
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

        Several processes may call it: one fetches, and the others wait and use its file. An interrupted download
        continues where it stopped. A read-only cache that holds the file is enough.

        Raises:
            LicenceNotAccepted: if the model's licence must be accepted first.
            ModelFetchError: if no source delivered it. The message has the error of each source.
        """
        with contextlib.suppress(ModelCorrupt):  # deleted just now, hence fetched again
            if path := self.find(model, progress):
                return path
        require_licence(model, accept)
        held = self._held(model)
        if offline and not held:
            raise ModelFetchError(
                f"{model.name} is not in the cache and SAMEBOAT_OFFLINE forbids fetching it.", key="SAMEBOAT_OFFLINE"
            )
        tried: list[sources.AnySource] = [*held, *(() if offline else model.sources)]
        with self._writing(model.sha256, lambda: progress(0, model.size_bytes, WAITING)):
            return self._fetch(model, tried, progress, base or Path.cwd())

    def receive(self, source: UrlSource, size_bytes: int, progress: Progress = no_progress) -> tuple[Path, str]:
        """Fetch a file that no catalog pins yet. Returns it, and the digest of its bytes. `adopt` makes it a model's.

        One process at a time fetches a URL, because no digest would show that two wrote into one file.

        Raises:
            ModelFetchError: if the source does not deliver. The bytes so far are kept for the next try.
            Oversized: if it has more bytes than it said. They are deleted.
        """
        name = f"url-{hashlib.sha256(source.url.encode()).hexdigest()}"
        partial = self.root / "partial" / f"{name}.part"
        with self._writing(name, lambda: progress(0, size_bytes, WAITING)):
            partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                sources.fetch(
                    source,
                    partial,
                    lambda done, what: progress(done, size_bytes, what),
                    base=self.root,
                    size_bytes=size_bytes,
                )
            except sources.Oversized:
                self.reject(partial)
                raise
            return partial, sha256_of(partial, lambda done: progress(done, size_bytes, "verifying"))

    def adopt(self, model: Model, partial: Path) -> Path:
        """Make a received file, whose digest is the model's, the model's file. Another process may have done it."""
        with self._writing(model.sha256, lambda: None):
            if not partial.exists() and self.holds(model):
                return self.path(model)
            self._discard(f"{partial.stem}.etag")
            return self._complete(model, partial, no_progress)

    def reject(self, partial: Path) -> None:
        """Delete a received file whose bytes are not those that were wanted, so that the next try fetches it anew."""
        self._discard(f"{partial.stem}.*")

    def _held(self, model: Model) -> list[sources.HeldFile]:
        """Files of this machine that may be the model's: the one that it is made from, and the hub client's."""
        own = self.root / "models" / f"{model.original.sha256}.gguf"
        paths = [own] if model.derived_from is not None and own.exists() else []
        for source in model.sources:
            if isinstance(source, HuggingFaceSource):
                path = hub.cached(source.repository, source.revision, source.file)
                paths += [path] if path is not None else []
        return [sources.HeldFile(path.absolute()) for path in paths]

    def _fetch(self, model: Model, tried: list[sources.AnySource], progress: Progress, base: Path) -> Path:
        """Look again, now that the lock is held, and then try the sources in order."""
        with contextlib.suppress(ModelCorrupt):
            if path := self.find(model, progress):
                return path
        errors: list[str] = []
        original = model.original
        for source in tried:
            # Named by their place in the catalog, so that a file of the cache renames no unfinished download.
            number = model.sources.index(source) if source in model.sources else "held"
            partial = self.root / "partial" / f"{model.sha256}.{number}.part"
            partial.parent.mkdir(parents=True, exist_ok=True)
            name = sources.describe(source)
            try:
                sources.fetch(
                    source,
                    partial,
                    lambda done, what: progress(done, original.size_bytes, what),
                    base=base,
                    size_bytes=original.size_bytes,
                )
            except ModelFetchError as error:
                if isinstance(error, sources.Oversized):
                    self._discard(f"{partial.stem}.*")
                errors.append(f"{name}: {error.message.rstrip('.')}")
                continue
            digest = sha256_of(partial, lambda done: progress(done, original.size_bytes, "verifying"))
            if digest == original.sha256:
                return self._complete(model, partial, progress)
            size = partial.stat().st_size
            self._discard(f"{partial.stem}.*")
            errors.append(f"{name}: delivered {size} bytes that hash to {digest}, not to {original.sha256}; deleted")
        kept = any(left.stat().st_size for left in (self.root / "partial").glob(f"{model.sha256}.*.part"))
        raise ModelFetchError(
            f"{model.name} could not be fetched. " + "; ".join(errors) + ".",
            key=model.name,
            remedy="The fetched bytes are kept, and the next pull continues from there." if kept else None,
        )

    def _complete(self, model: Model, partial: Path, progress: Progress) -> Path:
        """Move the verified file into its place. A derived model is made from it first, and verified.

        Raises:
            ModelFetchError: if the made file has another digest than the catalog pins.
        """
        if model.derived_from is not None:
            from service.models.repack import repack  # here, because a start that finds the model needs no numpy

            repacked = partial.with_name(f"{model.sha256}.made")
            repack(partial, repacked, lambda done: progress(done, model.size_bytes, f"writing {model.quantization}"))
            digest = sha256_of(repacked, lambda done: progress(done, model.size_bytes, "verifying"))
            if digest != model.sha256:
                _gone(repacked)
                raise ModelFetchError(
                    f"{model.name} was made from {model.derived_from.file}, hashes to {digest}, and must be "
                    f"{model.sha256}. It was deleted.",
                    key=model.name,
                    remedy="The catalog is of another version of Sameboat, or this machine computes wrongly.",
                )
            partial = repacked
        target = self.path(model)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.chmod(0o444)
        os.replace(partial, target)
        self._discard(f"{model.sha256}.*")
        return target

    def _discard(self, pattern: str) -> None:
        """Delete partial files."""
        for left in (self.root / "partial").glob(pattern):
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of this name. A folder that cannot be written becomes a ModelFetchError with the remedy."""
        try:
            with self._lock(name, waiting):
                yield
        except OSError as error:
            trouble = folders.problem(self.root, "SAMEBOAT_CACHE_DIR")
            raise ModelFetchError(
                f"The cache {trouble.what}"
                if trouble
                else f"The cache {self.root} cannot be written: {error.strerror}.",
                key="SAMEBOAT_CACHE_DIR",
                remedy=trouble.remedy if trouble else "Make it writable for this user, or name another directory.",
            ) from None

    @contextlib.contextmanager
    def _lock(self, digest: str, waiting: Callable[[], None]) -> Iterator[None]:
        """One process at a time for each digest."""
        path = self.root / "locks" / f"{digest}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.hold(path, waiting):
            yield
