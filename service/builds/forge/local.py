"""The local forge: bare repositories by dulwich, and for each the commit that is published.

In: a directory and the two public URLs. Out: commits and URLs. The published commit is a ref,
`refs/sameboat/published`, so publishing is atomic and a site is always one whole commit.

Not here: serving the sites (`serve`) and git over HTTP (`git_http`).
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotGitRepository, NotTreeError
from dulwich.file import FileLocked
from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID, SubmoduleEncountered
from dulwich.refs import Ref
from dulwich.repo import Repo

from service import file_lock, private_files
from service.builds.forge import BRANCH, Commit, Files, ForgeError, Repository, objects
from service.builds.forge.sites import SiteAddresses

HEAD = Ref(f"refs/heads/{BRANCH}".encode())
PUBLISHED = Ref(b"refs/sameboat/published")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
ABANDONED_S = 3600.0  # git holds its locks for milliseconds, so an older one has no living holder


@dataclass(frozen=True)
class PublishedFile:
    """A published file: its path, its bytes, and its blob's SHA-1."""

    path: str
    data: bytes
    sha: str


class LocalForge:
    """Repositories in `root`, cloned from `git_url`, published under `pages_url`.

    If `pages_url` begins with `*.`, each site has a host name of its own.
    """

    def __init__(self, root: Path, git_url: str, pages_url: str) -> None:
        self.root = root
        self.git_url = git_url.rstrip("/")
        self.sites = SiteAddresses(pages_url, self.names)

    def names(self) -> list[str]:
        """The names of all repositories."""
        return [path.name.removesuffix(".git") for path in self.root.glob("*.git")]

    def path(self, name: str) -> Path:
        """The bare repository's directory, which may not exist yet.

        Raises:
            ForgeError: if the name is not valid.
        """
        if not NAME.fullmatch(name):
            raise ForgeError(f"{name!r} is not a repository's name.")
        return self.root / f"{name}.git"

    def open(self, name: str) -> Repo:
        """The repository.

        Raises:
            ForgeError: if it does not exist.
        """
        try:
            return Repo(str(self.path(name)))
        except NotGitRepository:
            raise ForgeError(f"There is no repository {name!r}.") from None

    def ensure(self, name: str, description: str) -> Repository:
        """Create the repository if it is missing. Two workers at the same time create one."""
        path = self.path(name)
        private_files.folder(self.root)
        with file_lock.hold(path.with_suffix(".lock")):
            if not path.exists():
                # Created beside its place and moved there whole: a worker that dies in between leaves no half of one.
                fresh = path.with_suffix(".new")
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir()
                Repo.init_bare(str(fresh), default_branch=BRANCH.encode()).close()
                (fresh / "description").write_text(description, encoding="utf-8")
                fresh.rename(path)
        with self.open(name) as repo:
            head = repo.refs.read_ref(HEAD)
        return Repository(name, f"{self.git_url}/{name}.git", head.decode() if head else None)

    def read(self, name: str, sha: str) -> Files:
        """Every regular file of a commit. Submodules and symbolic links are left out, as on GitHub."""
        with self.open(name) as repo:
            commit = repo[ObjectID(sha.encode())]
            assert isinstance(commit, GitCommit)
            return {
                (entry.path or b"").decode(): repo[entry.sha].data
                for entry in repo.object_store.iter_tree_contents(commit.tree)
                if entry.sha is not None and stat.S_ISREG(entry.mode or 0)
            }

    def push(self, name: str, commit: Commit) -> str:
        """Write the commit and move the branch forward to it. A commit that is already there is left alone.

        Raises:
            ForgeError: if the branch is not at the commit's parent, or if a git process holds git's lock.
        """
        new = objects.objects_of(commit)
        with self._writing(name) as repo:
            head = repo.refs.read_ref(HEAD)
            if head == new.commit.id:
                return new.sha
            expected = commit.parent.encode() if commit.parent else None
            if head != expected:
                raise ForgeError(
                    f"The branch of {name} moved to {head.decode()[:12] if head else 'nothing'} while "
                    f"{commit.parent or 'nothing'} was edited; history is never rewritten."
                )
            store = repo.object_store
            for item in (*new.contents, *new.trees, new.commit):  # the commit comes last: its objects are there
                store.add_object(item)
            refs = repo.refs
            tip = new.commit.id
            moved = refs.set_if_equals(HEAD, expected, tip) if expected else refs.add_if_new(HEAD, tip)
            if not moved:
                raise ForgeError(f"The branch of {name} moved during the push.", wait_s=1.0)
            return new.sha

    def publish(self, name: str, sha: str, timeout_s: float) -> str:
        """Serve this commit from now on, and give the site's URL. `timeout_s` is not needed here."""
        with self._writing(name) as repo:
            repo.refs.set_if_equals(PUBLISHED, None, ObjectID(sha.encode()))
        return self.sites.url(name)

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Repo]:
        """The repository, with the right to write to it. Raises ForgeError if a git process holds git's lock."""
        with self.only_writer(name), self.open(name) as repo:
            try:
                yield repo
            except FileLocked:
                raise ForgeError(f"Somebody else is writing to {name}.", wait_s=1.0) from None

    @contextlib.contextmanager
    def only_writer(self, name: str) -> Iterator[None]:
        """One writer at a time, among all threads and processes of the service, pushes over HTTP included.

        A writer that is killed leaves git's lock files behind, and its mark. The next writer finds the mark and removes
        the lock files that are younger than it: their holder is dead, because the kernel gave its lock to us. A lock
        file of another program is left alone.
        """
        path = self.path(name)
        mark = path.with_suffix(".writing")
        with file_lock.hold(path.with_suffix(".lock")):
            died_s = mark.stat().st_mtime if mark.exists() else math.inf
            for lock in path.rglob("*.lock"):
                with contextlib.suppress(FileNotFoundError):  # another program has just released it
                    begun_s = lock.stat().st_mtime
                    if begun_s >= died_s or time.time() - begun_s > ABANDONED_S:
                        lock.unlink()
            mark.unlink(missing_ok=True)
            mark.touch()  # its time is this writer's beginning
            try:
                yield
            finally:
                mark.unlink()

    def published(self, name: str, path: str) -> PublishedFile | None:
        """A published file, or None. A folder answers with its `index.html`.

        One call reads one commit, even if another one is published meanwhile.
        """
        with self.open(name) as repo:
            published = repo.refs.read_ref(PUBLISHED)
            if published is None:
                return None
            commit = repo[ObjectID(published)]
            assert isinstance(commit, GitCommit)
            path = path.strip("/")
            for candidate in (path, f"{path}/index.html") if path else ("index.html",):
                try:
                    mode, sha = repo.object_store[commit.tree].lookup_path(
                        repo.object_store.__getitem__, candidate.encode()
                    )
                except (KeyError, NotTreeError, SubmoduleEncountered):
                    continue
                if stat.S_ISREG(mode):
                    return PublishedFile(candidate, repo[sha].data, sha.decode())
            return None
