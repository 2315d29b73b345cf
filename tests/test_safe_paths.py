# ruff: noqa: E501 (names are one line)
"""Relative paths: judged by git itself, and by a table of every kind of wrong path."""

from __future__ import annotations

import itertools
import subprocess
import unicodedata
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo
from hypothesis import given
from hypothesis import strategies as st

from service import safe_paths

GIT = [".git", ".Git", "git~1", "GIT~2", ".gitmodules", "gitmod~1", "GI7EBA~1", ".gitattributes", ".gitignore"]
DISGUISES = ["{}", "{}.", "{} ", "{}. .", " {}", "{}\u200c", "\u200d{}", "\ufeff{}", "{}::$INDEX_ALLOCATION", "{}:x", "{}\\x",
             "{}\u202e", "{}.txt", "x{}"]  # fmt: skip
OTHERS = ["a", "a b.txt", "\u00dcbersicht 2026 \u2013 Gr\u00f6\u00dfe.csv", "\u6570\u636e.json", "50%.txt", "a#b?c.txt", "e\u0301.txt", "semi;colon, & amp.txt",
          "shot 2.02.18\u202fPM.txt", "_x", ".env", "..a", "a..", "...", "..", ".", "con", "con.txt", "Aux .js", "NUL", "com1", "com\u00b9.a", "console",
          "x" * 255, "x" * 256, "\u00e4" * 128, "tail.", " ", "\ud83d\ude00", "\U0001f469\u200d\U0001f4bb.png"]  # fmt: skip
NAMES = [disguise.format(name) for name, disguise in itertools.product(GIT, DISGUISES)] + OTHERS


def encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def test_git_itself_accepts_every_name_that_is_accepted(tmp_path: Path) -> None:
    """`git fsck --strict` finds nothing, and a checkout that protects Windows and macOS writes every file."""
    together = safe_paths.PathSet()
    accepted = [name for name in NAMES if together.add(name) is None]
    assert len(accepted) > 20
    with Repo.init(str(tmp_path)) as repo:
        blob = Blob.from_string(b"x")
        tree, commit = Tree(), Commit()
        for name in accepted:
            if name != ".gitmodules":  # its content is checked as well
                tree.add(encoded(name), 0o100644, blob.id)
        commit.tree, commit.author, commit.committer = tree.id, b"a <a@example.com>", b"a <a@example.com>"
        commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"x"
        for made in (blob, tree, commit):
            repo.object_store.add_object(made)
    strict = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=tmp_path, capture_output=True, text=True)
    assert (strict.returncode, strict.stdout) == (0, "")
    protected = ["-c", "core.protectNTFS=true", "-c", "core.protectHFS=true"]
    taken = subprocess.run(["git", *protected, "checkout", "-q", commit.id.decode()], cwd=tmp_path, capture_output=True)
    assert taken.stderr == b""
    assert {path.name for path in tmp_path.iterdir()} == {*accepted, ".git"} - {".gitmodules"}


def test_every_name_that_git_refuses_is_refused(tmp_path: Path) -> None:
    """Each alone, as `git update-index` judges it where Windows and macOS are protected."""
    names = [name for name in NAMES if "\0" not in name and "\n" not in name]
    rows = b"".join(b"100644 " + b"0" * 39 + b"1\t" + encoded(name) + b"\0" for name in names)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    command = ["git", "-c", "core.protectNTFS=true", "-c", "core.protectHFS=true", "update-index", "--verbose", "-z"]
    refused = []
    for name, row in zip(names, rows.split(b"\0"), strict=False):
        done = subprocess.run([*command, "--index-info"], cwd=tmp_path, input=row + b"\0", capture_output=True)
        refused += [name] if done.returncode or b"Ignoring path" in done.stderr else []
    assert len(refused) > 20
    assert [name for name in refused if safe_paths.wrong_path(name) is None] == []


WRONG = {
    "must hold no control characters": ["a\0b", "\0", "a\nb", "a\x7f", "\x9bx", "\ud800", "a\u202eb", "a\u2028b", "a\u2066"],
    "must be a plain file name, without \\ and :": ["a\\b", "..\\b", "c:x", "C:\\x", "a:stream", "\\\\host\\share"],
    "must not leave its folder": ["", "/", "/a", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/./b", "a/../b", "a/..", "a/ /b", ".. /a", " .."],
    "must not begin with a space or end with a space or a dot": ["a ", " a", "a./b", "a.", "...", "a/b.", "\u00a0a"],
    "is longer than 1000 bytes": ["x/" * 500 + "x", "\u00e4/" * 334],
    "has a part that is longer than 255 bytes": ["y" * 256, "\u00e4" * 128, "a/" + "y" * 256],
    "is a name that Git keeps for itself": [".git", ".GIT", "a/.git/hooks", ".g\u200cit", "git~1", "GIT~2/x", "gitmod~1", "GI7EBA~1", "\ufeff", "a/\u200d"],
    "is a name that Windows keeps for a device": ["con", "CON", "con.txt", "Aux .js", "NUL", "prn.a.b", "com1", "com\u00b9.a", "lpt9", "b/aux", "CONIN$", "conout$.txt"],
}  # fmt: skip
RIGHT = ["a", "a/b/c.txt", "index.html", ".env", "..a", "a b.txt", "console", "com10", "nul1", "git", ".gitignore", "git~x",
         "x" * 255, "x/" * 499 + "xx", "\u00dcbersicht \u2013 1.csv", "\U0001f469\u200d\U0001f4bb.png", "why?.txt", "a*b", "lpt", "aux-1"]  # fmt: skip


@pytest.mark.parametrize(("reason", "path"), [(reason, path) for reason, paths in WRONG.items() for path in paths])
def test_a_wrong_path_is_refused_for_the_right_reason(reason: str, path: str) -> None:
    assert safe_paths.wrong_path(path) == reason


@pytest.mark.parametrize("path", RIGHT)
def test_an_ordinary_path_is_accepted(path: str) -> None:
    assert safe_paths.wrong_path(path) is None


@given(st.text(alphabet="a./\\ ~\0:.", max_size=12))
def test_an_accepted_path_stays_in_its_folder(path: str) -> None:
    """Whatever its dots, slashes and spaces are: joined to a folder, it is below that folder."""
    if safe_paths.wrong_path(path) is None:
        folder = Path("/folder")
        assert (folder / path).resolve().is_relative_to(folder)
        assert (folder / path).resolve() != folder


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("a", "a", "is given twice"),
        ("a", "A", "is the same as a for some file systems"),
        ("a", "a/b", "is a file and a folder"),
        ("a/b", "a", "is a file and a folder"),
        ("a/b", "A/c", "has the same folder as a for some file systems, in another spelling"),
        ("a", "../b", "must not leave its folder"),
        ("a/b", "a/c", None),
    ],
)
def test_two_paths_in_one_folder(first: str, second: str, reason: str | None) -> None:
    paths = safe_paths.PathSet([first])
    assert paths.add(second) == reason


@given(st.text(max_size=12))
def test_a_name_is_its_own_twin_in_every_normal_form(name: str) -> None:
    """NFC, NFD, lower and upper case of a name have one key."""
    for other in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name), name.casefold()):
        assert safe_paths.key(other) == safe_paths.key(name)
