"""The local forge: bare repositories by dulwich, and for each the commit that is published.

What comes in: a directory and the two public URLs. What goes out: commits and URLs. The published commit is a ref,
`refs/sameboat/published`, so publishing is atomic and the site is always a whole commit. Serving is `serve.py`'s work.
"""

from __future__ import annotations

import contextlib
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
STALE_S = 5.0  # git holds its locks for milliseconds: an older one is of a process that was killed


@dataclass(frozen=True)
class PublishedFile:
    """A published file: which it is, its bytes, and the SHA-1 by which git knows them."""

    path: str
    data: bytes
    sha: str


class LocalForge:
    """Repositories in `root`, cloned from `git_url`, published under `pages_url`.

    `pages_url` may begin with `*.`; then each site has a host name of its own.
    """

    def __init__(self, root: Path, git_url: str, pages_url: str) -> None:
        self.root = root
        self.git_url = git_url.rstrip("/")
        self.sites = SiteAddresses(pages_url, self.names)

    def names(self) -> list[str]:
        """The names of all repositories."""
        return [path.name.removesuffix(".git") for path in self.root.glob("*.git")]

    def path(self, name: str) -> Path:
        """The bare repository's directory. Raises ForgeError for a name that is none."""
        if not NAME.fullmatch(name):
            raise ForgeError(f"{name!r} is not a repository's name.")
        return self.root / f"{name}.git"

    def open(self, name: str) -> Repo:
        """The repository. Raises ForgeError when there is none."""
        try:
            return Repo(str(self.path(name)))
        except NotGitRepository:
            raise ForgeError(f"There is no repository {name!r}.") from None

    def ensure(self, name: str, description: str) -> Repository:
        """Make it if it is missing; two workers at a time make one."""
        path = self.path(name)
        private_files.folder(self.root)
        with file_lock.hold(path.with_suffix(".lock")):
            if not path.exists():
                # Made beside its place and moved there whole: a worker that dies in between leaves only rubbish.
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
        """Every file of a commit."""
        with self.open(name) as repo:
            commit = repo[ObjectID(sha.encode())]
            assert isinstance(commit, GitCommit)
            return {
                (entry.path or b"").decode(): repo[entry.sha].data
                for entry in repo.object_store.iter_tree_contents(commit.tree)
                if entry.sha is not None
            }

    def push(self, name: str, commit: Commit) -> str:
        """Write the commit and move the branch forward to it. A commit that is already there is left alone."""
        made = objects.objects_of(commit)
        with self._writing(name) as repo:
            head = repo.refs.read_ref(HEAD)
            if head == made.commit.id:
                return made.sha
            expected = commit.parent.encode() if commit.parent else None
            if head != expected:
                raise ForgeError(
                    f"The branch of {name} moved to {head.decode()[:12] if head else 'nothing'} while "
                    f"{commit.parent or 'nothing'} was edited; history is never rewritten."
                )
            store = repo.object_store
            for each in (*made.contents, *made.trees, made.commit):  # the commit last: what it names is there
                store.add_object(each)
            refs = repo.refs
            tip = made.commit.id
            moved = refs.set_if_equals(HEAD, expected, tip) if expected else refs.add_if_new(HEAD, tip)
            if not moved:
                raise ForgeError(f"The branch of {name} moved during the push.", wait_s=1.0)
            return made.sha

    def publish(self, name: str, sha: str, timeout_s: float) -> str:
        """Serve this commit from now on."""
        with self._writing(name) as repo:
            repo.refs.set_if_equals(PUBLISHED, None, ObjectID(sha.encode()))
        return self.sites.url(name)

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Repo]:
        """The repository, for one of our writers at a time. Raises ForgeError where somebody else holds git's lock."""
        with file_lock.hold(self.path(name).with_suffix(".lock")), self.open(name) as repo:
            self.unlock(name)
            try:
                yield repo
            except FileLocked:
                raise ForgeError(f"Somebody else is writing to {name}.", wait_s=1.0) from None

    def unlock(self, name: str) -> None:
        """Remove the locks of processes that were killed while they wrote an object or a ref.

        Git's locks are files beside what is written; nobody but their makers removes them.
        """
        for lock in self.path(name).rglob("*.lock"):
            with contextlib.suppress(FileNotFoundError):  # it was somebody's
                if time.time() - lock.stat().st_mtime > STALE_S:
                    lock.unlink()

    def published(self, name: str, path: str) -> PublishedFile | None:
        """A published file, or None; a folder's is its `index.html`.

        Everything of one call is of one commit, whatever is published meanwhile.
        """
        with self.open(name) as repo:
            sha = repo.refs.read_ref(PUBLISHED)
            if sha is None:
                return None
            commit = repo[ObjectID(sha)]
            assert isinstance(commit, GitCommit)
            wanted = path.strip("/")
            for candidate in (wanted, f"{wanted}/index.html") if wanted else ("index.html",):
                try:
                    mode, found = repo.object_store[commit.tree].lookup_path(
                        repo.object_store.__getitem__, candidate.encode()
                    )
                except (KeyError, NotTreeError, SubmoduleEncountered):
                    continue
                if stat.S_ISREG(mode):
                    return PublishedFile(candidate, repo[found].data, found.decode())
            return None
