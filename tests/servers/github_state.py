"""The state of the fake GitHub: real bare repositories on disk, and Pages sites that change with time.

In: objects and refs in the API's form, and a clock. Out: plain values, and git's own errors as `Problem`s.
Not here: HTTP. A site's build takes `build_s`. The site serves the old commit for another `edge_s`, and then the
new one. The real one does the same, so a 200 alone does not prove that the new commit is served.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dulwich.graph import can_fast_forward
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo


class Problem(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, *errors: dict[str, str], **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Build:
    """One run of Pages for one commit."""

    commit: str
    began_s: float
    build_s: float
    edge_s: float
    fails: bool

    def status(self, now_s: float) -> str:
        if now_s < self.began_s + self.build_s:
            return "building"
        return "errored" if self.fails else "built"

    def served(self, now_s: float) -> bool:
        return not self.fails and now_s >= self.began_s + self.build_s + self.edge_s


@dataclass
class Timing:
    """How long Pages takes, in seconds, and how many of the next builds fail."""

    build_s: float = 0.0
    edge_s: float = 0.0
    failing: int = 0
    forbids: bool = False  # while the edge is behind it answers 403 instead of the old site
    ignores_pushes: bool = False  # a push queues no build, as after a change of the source


@dataclass
class Remote:
    """One repository."""

    owner: str
    name: str
    description: str | None
    path: Path
    created_s: float
    branch: str
    archived: bool = False
    private: bool = False
    pages: dict[str, Any] | None = None
    builds: list[Build] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def git(self) -> Repo:
        return Repo(str(self.path))

    @property
    def ref(self) -> bytes:
        return f"refs/heads/{self.branch}".encode()

    def head(self) -> str | None:
        with self.git as repo:
            found = repo.refs.read_ref(self.ref)
        return found.decode() if found else None

    def not_empty(self) -> None:
        if self.head() is None:
            raise Problem(409, "Git Repository is empty.")

    # Objects

    def add_blob(self, data: bytes) -> str:
        blob = Blob.from_string(data)
        with self.git as repo:
            repo.object_store.add_object(blob)
        return blob.id.decode()

    def object(self, sha: str, kind: type[Any]) -> Any:
        with self.git as repo:
            try:
                found = repo[sha.encode()]
            except (KeyError, ValueError):
                raise Problem(404, "Not Found") from None
        if not isinstance(found, kind):
            raise Problem(404, "Not Found")
        return found

    def add_tree(self, entries: list[dict[str, Any]], base: str | None) -> str:
        flat = {path: (mode, sha) for path, mode, sha in self.flat(base)} if base else {}
        for entry in entries:
            if "content" in entry:
                flat[entry["path"]] = (int(entry["mode"], 8), self.add_blob(entry["content"].encode()))
            elif entry["sha"] is None:
                flat.pop(entry["path"], None)
            else:
                try:
                    self.object(entry["sha"], Blob)
                except Problem:
                    raise Problem(422, f"tree.sha {entry['sha']} is not a valid blob") from None
                flat[entry["path"]] = (int(entry["mode"], 8), entry["sha"])
        return self._nest({tuple(path.split("/")): value for path, value in flat.items()})

    def _nest(self, flat: dict[tuple[str, ...], tuple[int, str]]) -> str:
        tree, inner = Tree(), {}
        for path, (mode, sha) in flat.items():
            if len(path) == 1:
                tree.add(path[0].encode(), mode, sha.encode())
            else:
                inner.setdefault(path[0], {})[path[1:]] = (mode, sha)
        for name, below in inner.items():
            tree.add(name.encode(), 0o040000, self._nest(below).encode())
        with self.git as repo:
            repo.object_store.add_object(tree)
        return tree.id.decode()

    def flat(self, tree: str) -> list[tuple[str, int, str]]:
        with self.git as repo:
            entries = repo.object_store.iter_tree_contents(tree.encode())
            return [(entry.path.decode(), entry.mode, entry.sha.decode()) for entry in entries]

    def add_commit(self, body: dict[str, Any], now_s: float, user: str) -> str:
        self.object(body["tree"], Tree)
        commit = Commit()
        commit.tree = body["tree"].encode()
        for parent in body.get("parents", []):
            self.object(parent, Commit)
        commit.parents = [parent.encode() for parent in body.get("parents", [])]
        author = body.get("author") or {"name": user, "email": f"{user}@users.noreply.github.com"}
        for who, said in (("author", author), ("committer", body.get("committer") or author)):
            at = datetime.fromisoformat(said["date"]).timestamp() if "date" in said else now_s
            setattr(commit, who, f"{said['name']} <{said['email']}>".encode())
            setattr(commit, "author_time" if who == "author" else "commit_time", int(at))
            setattr(commit, "author_timezone" if who == "author" else "commit_timezone", 0)
        commit.message = body["message"].encode()
        with self.git as repo:
            repo.object_store.add_object(commit)
        return commit.id.decode()

    def move(self, sha: str, force: bool) -> None:
        with self.git as repo:
            if sha.encode() not in repo.object_store:
                raise Problem(422, "Object does not exist")
            head = repo.refs.read_ref(self.ref)
            if head and not force and not can_fast_forward(repo, head, sha.encode()):
                raise Problem(422, "Update is not a fast forward")
            repo.refs[self.ref] = sha.encode()

    # Pages

    def begin_build(self, now_s: float, timing: Timing) -> None:
        head = self.head()
        assert head is not None
        fails = timing.failing > 0
        timing.failing -= fails
        self.builds.append(Build(head, now_s, timing.build_s, timing.edge_s, fails))

    def served(self, path: str, now_s: float, forbids: bool = False) -> bytes | None:
        """The site's answer for a path now."""
        live = [build for build in self.builds if build.served(now_s)]
        if forbids and live != self.builds:
            raise Problem(403, "Forbidden")
        if not live:
            return None
        with self.git as repo:
            tree = repo[live[-1].commit.encode()].tree.decode()
            wanted = f"{path}index.html" if path == "" or path.endswith("/") else path
            found = {name: sha for name, _, sha in self.flat(tree)}.get(wanted)
            return repo[found.encode()].data if found else None


class World:
    """All of the fake GitHub's repositories."""

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self.root = root
        self.now = now
        self.accounts = {"octocat": "User", "somebody": "User", "crew": "Organization"}
        self.repos: dict[str, Remote] = {}
        self.timing = Timing()
        self.default_branch = "main"

    def create(self, owner: str, body: dict[str, Any]) -> Remote:
        name, description = body["name"], body.get("description")
        if f"{owner}/{name}".lower() in self.repos:
            told = {"resource": "Repository", "code": "custom", "field": "name"}
            raise Problem(422, "Repository creation failed.", told | {"message": "name already exists on this account"})
        if description is not None and re.search(r"[\x00-\x1f\x7f]", description):
            told = {"resource": "Repository", "code": "custom", "field": "description"}
            raise Problem(422, "Validation Failed", told | {"message": "description control characters not allowed"})
        if description is not None and len(description) > 350:
            told = {"resource": "Repository", "code": "custom", "field": "description"}
            raise Problem(422, "Validation Failed", told | {"message": "description is too long (maximum is 350)"})
        path = self.root / owner / f"{name}.git"
        path.mkdir(parents=True)
        Repo.init_bare(str(path), default_branch=self.default_branch.encode()).close()
        remote = Remote(owner, name, description, path, self.now(), self.default_branch)
        remote.private = bool(body.get("private"))
        self.repos[remote.full_name.lower()] = remote
        if body.get("auto_init"):
            self.begin(remote, f"# {name}\n".encode())
        return remote

    def begin(self, remote: Remote, readme: bytes) -> str:
        """The first commit."""
        blob = remote.add_blob(readme)
        tree = remote.add_tree([{"path": "README.md", "mode": "100644", "sha": blob}], None)
        sha = remote.add_commit({"message": "Initial commit", "tree": tree}, self.now(), remote.owner)
        remote.move(sha, force=False)
        return sha

    def find(self, owner: str, name: str) -> Remote:
        try:
            return self.repos[f"{owner}/{name}".lower()]
        except KeyError:
            raise Problem(404, "Not Found") from None
