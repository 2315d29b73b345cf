"""A commit as git's objects, in memory. The same files, parent, author, time and message give the same SHAs.

In: a `Commit`. Out: its objects. They do not depend on the time or the machine. So the local forge can write them, and
the GitHub forge can check that GitHub wrote the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dulwich.objects import Blob, ObjectID, Tree
from dulwich.objects import Commit as GitCommit

from service.builds.forge import Commit, ForgeError
from service.safe_paths import PathSet

FILE, FOLDER = 0o100644, 0o040000
FullTree: TypeAlias = dict[str, "FullTree | bytes"]


@dataclass(frozen=True)
class GitObjects:
    """A commit with all its trees and blobs. `blobs` maps each path to its blob's SHA-1."""

    commit: GitCommit
    trees: list[Tree]
    contents: list[Blob]
    blobs: dict[str, str]

    @property
    def sha(self) -> str:
        """The commit's SHA-1, 40 hex digits."""
        return str(self.commit.id.decode())

    @property
    def tree(self) -> str:
        """The root tree's SHA-1."""
        return str(self.commit.tree.decode())


def blob_id(data: bytes) -> str:
    """The SHA-1 of these bytes as a git blob."""
    return str(Blob.from_string(data).id.decode())


def objects_of(commit: Commit) -> GitObjects:
    """The commit's objects.

    Raises:
        ForgeError: if git or a checkout could not hold a path.
    """
    root: FullTree = {}
    together = PathSet()
    for path, data in commit.files.items():
        if wrong := together.add(path):
            raise ForgeError(f"{path[:80]!r} cannot be a path in the repository: it {wrong}.")
        _place(root, path, data)
    trees: list[Tree] = []
    contents: list[Blob] = []
    blobs: dict[str, str] = {}
    top = _tree(root, "", trees, contents, blobs)
    git_commit = GitCommit()
    git_commit.tree = top
    git_commit.parents = [ObjectID(commit.parent.encode())] if commit.parent else []
    git_commit.author = git_commit.committer = f"{_plain(commit.author)} <{_plain(commit.email)}>".encode()
    git_commit.author_time = git_commit.commit_time = commit.when_s
    git_commit.author_timezone = git_commit.commit_timezone = 0
    # No encoding header: UTF-8 is git's default, and GitHub's API writes none either.
    git_commit.message = commit.message.encode()
    return GitObjects(git_commit, trees, contents, blobs)


def _place(root: FullTree, path: str, data: bytes) -> None:
    *folders, name = path.split("/")
    for folder in folders:
        inner = root.setdefault(folder, {})
        assert isinstance(inner, dict), "a PathSet holds no path that is a file and a folder"
        root = inner
    root[name] = data


def _tree(node: Mapping[str, FullTree | bytes], prefix: str, trees: list[Tree], contents: list[Blob],
          blobs: dict[str, str]) -> ObjectID:  # fmt: skip
    tree = Tree()
    for name, inner in node.items():
        if isinstance(inner, bytes):
            blob = Blob.from_string(inner)
            contents.append(blob)
            blobs[prefix + name] = blob.id.decode()
            tree.add(name.encode(), FILE, blob.id)
        else:
            tree.add(name.encode(), FOLDER, _tree(inner, f"{prefix}{name}/", trees, contents, blobs))
    trees.append(tree)
    return tree.id


def _plain(name: str) -> str:
    """A name or address without the characters that end it in a commit's header."""
    return re.sub(r"[<>\n\0]", "", name).strip() or "unknown"
