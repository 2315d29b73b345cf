# ruff: noqa: E501 (names are one line)
"""Which names a repository may hold: judged by git itself, and the same for senders, models and commits."""

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

from service.builds import paths
from service.builds.brief import Brief, attachments
from service.builds.forge import Commit as ForgeCommit
from service.builds.forge import ForgeError, objects
from service.builds.generate import Unusable
from service.builds.generate.frame import framed
from service.builds.generate.reading import read
from service.builds.generate.write import Write
from service.errors import InputsError
from tests.builds.harness import brief
from tests.builds.test_makers import job, result

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
    together = paths.PathSet()
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
    assert [name for name in refused if paths.wrong_path(name) is None] == []


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/./b", "a/../b", "a\\b", "c:x", "a\0b", "a\nb", "a\x7f", "\x9bx", "\ud800", "a\u202eb", "a/git~1/b",
     "a/.GIT\u200c/b", "lpt1.txt", "b/aux", "a ", "a./b", "x/" * 600 + "x", "y" * 256],
)  # fmt: skip
def test_a_path_that_some_system_cannot_hold_is_refused(path: str) -> None:
    """With a sentence, and at every depth; a model and a commit get the same one."""
    wrong = paths.wrong_path(path)
    assert wrong is not None
    with pytest.raises(ForgeError):
        objects.make(ForgeCommit({path: b"x"}, None, "x", 0, "a", "a@example.com"))
    if path and "/" not in path and path.isprintable() and " " not in path and len(path) < 100:
        with pytest.raises(Unusable, match=r"cannot be a file"):
            read(f"FILE: index.html\n```\n<p>\n```\nFILE: {path}\n```\nx\n```\n", {}, set())


TWINS = [
    ("\u00e9.txt", "e\u0301.txt"), ("A.txt", "a.txt"), ("\u00c9/a", "e\u0301/b"), ("a\u200cb", "ab"), ("stra\u00dfe", "STRASSE"), ("K", "\u212a"),
    ("a", "a/b"), ("a/b", "A"), ("x", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_two_names_that_some_system_takes_for_one_are_refused_together(one: str, other: str) -> None:
    """At the POST with a pointer to the second, for a model with a sentence, and in a commit as the last resort."""
    both = [{"name": name, "url": "data:,x"} for name in (one, other)]
    with pytest.raises(InputsError) as refused:
        attachments(Brief(**brief("https://example.com/", attachments=both)))
    assert [where for where, _ in refused.value.problems] == ["/attachments/1/name"]
    if one != other:
        with pytest.raises(ForgeError):
            objects.make(ForgeCommit({one: b"x", other: b"y"}, None, "x", 0, "a", "a@example.com"))
        with pytest.raises(Unusable):
            read(f"FILE: index.html\n```\n<p>\n```\nFILE: {other}\n```\nx\n```\n", {}, {one})


def test_an_attachment_takes_the_place_of_the_file_that_it_is_in_another_spelling() -> None:
    """Of a later round: two files that one system takes for one would not come out of a clone."""
    before = {"index.html": b"<p>", "Data.csv": b"old", "index2.html": b""}
    given_ = attachments(Brief(**brief("https://e.example/", attachments=[{"name": "data.csv", "url": "data:,new"}])))
    files = framed({"index.html": b"<p>"}, job(previous=before, attachments=tuple(given_)), "build-1", 2, "files")
    assert files["data.csv"] == b"new"
    assert "Data.csv" not in files
    assert "index2.html" in files
    objects.make(ForgeCommit(files, None, "x", 0, "a", "a@example.com"))


@given(st.text(max_size=12))
def test_a_name_is_its_own_twin_in_every_normal_form(name: str) -> None:
    """NFC, NFD, lower and upper case of a name have one key."""
    for other in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name), name.casefold()):
        assert paths.key(other) == paths.key(name)


AUTOMATION = [
    ".github/workflows/ci.yml", ".GitHub/workflows/ci.yml", ".g\u200cithub/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile", "azure-pipelines.yml",
    ".circleci/config.yml", ".woodpecker.yml", ".forgejo/workflows/x.yaml", ".gitmodules", ".gitattributes", ".husky/pre-commit",
    ".pre-commit-config.yaml", ".vscode/tasks.json", "sub/.vscode/tasks.json", ".devcontainer/devcontainer.json", ".devcontainer.json",
    ".envrc", "a.code-workspace",
]  # fmt: skip


@pytest.mark.parametrize("path", AUTOMATION)
def test_what_runs_without_being_started_is_not_committed_unless_a_setting_says_so(path: str) -> None:
    """CI, hooks, submodules and editors' tasks, of senders and of models; told with the setting that allows them."""
    one = Brief(**brief("https://example.com/", attachments=[{"name": path, "url": "data:,x"}]))
    with pytest.raises(InputsError, match="SAMEBOAT_BUILD_AUTOMATION"):
        attachments(one)
    assert [each.name for each in attachments(one, automation=True)] == [path]
    page = f"FILE: index.html\n```html\n<p>\n```\nFILE: {path}\n```\nx\n```\n"
    with pytest.raises(Unusable, match="CI, Git or an editor"):
        Write(3000).make(job(), lambda prompt, inputs: result(page))
    assert path in Write(3000, automation=True).make(job(), lambda prompt, inputs: result(page))


@pytest.mark.parametrize(
    "path", ["package.json", ".env", "github/workflows.md", "docs/jenkinsfiles.md", ".gitignore", "vscode.html"]
)
def test_an_ordinary_file_is_committed(path: str) -> None:
    """What looks alike is let be."""
    assert not paths.automation(path)
    assert paths.wrong_path(path) is None
