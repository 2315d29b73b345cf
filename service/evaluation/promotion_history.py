"""The promotions of a prompt in git: its commits, its folder at each of them, and the diff that a reviewer sees.

In: a promoted folder inside a git repository, a revision. Out: commits, folders, diffs.
Not here: the judgement of a promotion (`pull_request`).
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from service.children import child_environment
from service.errors import PromptError
from service.prompts.file_names import BASELINE, LOCK, RECORDING
from service.prompts.promoted import PromotedFolder

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # pragma: allowlist secret
"""The tree without files, which every repository knows: `git hash-object -t tree /dev/null`."""
MOST = 50  # promotions of one prompt that are listed
DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True)
class PromotionCommit:
    """A commit that changed a prompt's lock. `at_s` is its Unix time."""

    commit: str
    at_s: int
    subject: str


def git(where: Path, *words: str, good: tuple[int, ...] = (0,)) -> bytes:
    """The output of git. `good` are the exit codes of success.

    Raises:
        PromptError: with the last line of git's message, or if git is not installed.
    """
    environment = child_environment(prefixes=("GIT_",))
    try:
        process = subprocess.run(["git", *words], cwd=where, capture_output=True, check=False, env=environment)
    except FileNotFoundError:
        raise PromptError("git is not installed.", key="git", remedy="Install git.") from None
    if process.returncode not in good:
        lines = process.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise PromptError(f"git {words[0]}: {lines[-1]}", key="base", remedy="Fetch the base: git fetch origin.")
    return process.stdout


def root_of(folder: Path) -> Path:
    """The top folder of the repository.

    Raises:
        PromptError: if the folder is in no repository, or if git is not installed.
    """
    return Path(git(folder, "rev-parse", "--show-toplevel").decode().strip())


def is_tracked(folder: Path) -> bool:
    """Whether the folder is in a git repository, and git is installed."""
    try:
        root_of(folder)
    except PromptError:
        return False
    return True


@contextmanager
def extracted(folder: Path, revision: str) -> Iterator[Path]:
    """A copy of `folder` as it was at a revision, in a temporary place. It is empty if the folder was not there.

    Raises:
        PromptError: if git cannot read the revision.
    """
    root = root_of(folder)
    inside = folder.resolve().relative_to(root.resolve()).as_posix()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / inside
        if git(root, "ls-tree", "--name-only", revision, "--", f"{inside}/"):
            with tarfile.open(fileobj=BytesIO(git(root, "archive", revision, "--", inside))) as archive:
                archive.extractall(place, filter="data")
        else:
            copy.mkdir(parents=True)
        yield copy


def promotions(folder: PromotedFolder) -> list[PromotionCommit]:
    """The commits that changed the prompt's lock, the newest first.

    Raises:
        PromptError: if git fails.
    """
    words = ("log", f"--max-count={MOST}", "--format=%H%x09%ct%x09%s", "--", f"{folder.name}/{LOCK}")
    lines = git(folder.path.parent, *words).decode(errors="replace").splitlines()
    rows = (line.split("\t", 2) for line in lines)
    return [PromotionCommit(commit, int(at_s), subject) for commit, at_s, subject in rows]


def before(folder: PromotedFolder, commit: str) -> str:
    """The commit's first parent. For a first commit it is the tree without files.

    Raises:
        PromptError: if git fails.
    """
    parents = git(folder.path.parent, "rev-list", "--parents", "--max-count=1", commit).decode().split()[1:]
    return parents[0] if parents else EMPTY_TREE


def diff(folder: PromotedFolder, commit: str) -> str:
    """The change of the prompt's folder in a commit, without the recorded answers.

    Raises:
        PromptError: if git fails.
    """
    return _diff(folder, before(folder, commit), commit)


def uncommitted(folder: PromotedFolder) -> str:
    """The change of the prompt's folder since the last commit, new files included, without the recorded answers.

    Raises:
        PromptError: if git fails.
    """
    above = folder.path.parent
    text = _diff(folder, "HEAD")
    new = git(above, "ls-files", "-z", "--others", "--exclude-standard", "--", f"{folder.name}/").decode().split("\0")
    for name in new:
        if name and Path(name).name not in (RECORDING, BASELINE):
            text += git(above, *DIFF, "--no-index", "--", "/dev/null", name, good=(0, 1)).decode(errors="replace")
    return text


def _diff(folder: PromotedFolder, *revisions: str) -> str:
    left_out = [f":(exclude){folder.name}/{name}" for name in (RECORDING, BASELINE)]
    words = (*DIFF, *revisions, "--", f"{folder.name}/", *left_out)
    return git(folder.path.parent, *words).decode(errors="replace")
