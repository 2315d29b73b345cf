# ruff: noqa: E501 (names are one line)
"""Senders, models and commits follow the same rule for paths, and files that a tool obeys need a setting."""

from __future__ import annotations

import pytest

from service import safe_paths as paths
from service.builds import automation as automation_files
from service.builds.brief import Brief, attachments
from service.builds.forge import Commit as ForgeCommit
from service.builds.forge import ForgeError, objects
from service.builds.generate import UnusableAnswer
from service.builds.generate.answer_parser import parse_answer
from service.builds.generate.scaffold import add_scaffold
from service.builds.generate.write import FileWriter
from service.errors import InputsError
from tests.builds.harness import brief
from tests.builds.test_makers import job, result


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/./b", "a/../b", "a\\b", "c:x", "a\0b", "a\nb", "a\x7f", "\x9bx", "\ud800", "a\u202eb", "a/git~1/b",
     "a/.GIT\u200c/b", "lpt1.txt", "b/aux", "a ", "a./b", "x/" * 600 + "x", "y" * 256],
)  # fmt: skip
def test_a_path_that_some_system_cannot_hold_is_refused(path: str) -> None:
    """With a sentence, and at every depth. A model and a commit get the same one."""
    wrong = paths.wrong_path(path)
    assert wrong is not None
    with pytest.raises(ForgeError):
        objects.objects_of(ForgeCommit({path: b"x"}, None, "x", 0, "a", "a@example.com"))
    if path and "/" not in path and path.isprintable() and " " not in path and len(path) < 100:
        with pytest.raises(UnusableAnswer, match=r"cannot be a file"):
            parse_answer(f"FILE: index.html\n```\n<p>\n```\nFILE: {path}\n```\nx\n```\n", {}, set())


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
            objects.objects_of(ForgeCommit({one: b"x", other: b"y"}, None, "x", 0, "a", "a@example.com"))
        with pytest.raises(UnusableAnswer):
            parse_answer(f"FILE: index.html\n```\n<p>\n```\nFILE: {other}\n```\nx\n```\n", {}, {one})


def test_an_attachment_takes_the_place_of_the_file_that_it_is_in_another_spelling() -> None:
    """Of a later round: two files that one system takes for one would not come out of a clone."""
    before = {"index.html": b"<p>", "Data.csv": b"old", "index2.html": b""}
    given_ = attachments(Brief(**brief("https://e.example/", attachments=[{"name": "data.csv", "url": "data:,new"}])))
    files = add_scaffold({"index.html": b"<p>"}, job(previous=before, attachments=tuple(given_)), "build-1", 2, "files")
    assert files["data.csv"] == b"new"
    assert "Data.csv" not in files
    assert "index2.html" in files
    objects.objects_of(ForgeCommit(files, None, "x", 0, "a", "a@example.com"))


AUTOMATION = [
    ".github/workflows/ci.yml", ".GitHub/workflows/ci.yml", ".g\u200cithub/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile", "azure-pipelines.yml",
    ".circleci/config.yml", ".woodpecker.yml", ".forgejo/workflows/x.yaml", ".gitmodules", ".gitattributes", ".husky/pre-commit",
    ".pre-commit-config.yaml", ".vscode/tasks.json", "sub/.vscode/tasks.json", ".devcontainer/devcontainer.json", ".devcontainer.json",
    ".envrc", "a.code-workspace",
]  # fmt: skip


@pytest.mark.parametrize("path", AUTOMATION)
def test_what_runs_without_being_started_is_not_committed_unless_a_setting_says_so(path: str) -> None:
    """CI, hooks, submodules and editors' tasks, of senders and of models. The message names the setting that allows them."""
    one = Brief(**brief("https://example.com/", attachments=[{"name": path, "url": "data:,x"}]))
    with pytest.raises(InputsError, match="SAMEBOAT_BUILD_AUTOMATION"):
        attachments(one)
    assert [attachment.name for attachment in attachments(one, automation=True)] == [path]
    page = f"FILE: index.html\n```html\n<p>\n```\nFILE: {path}\n```\nx\n```\n"
    with pytest.raises(UnusableAnswer, match="CI, Git or an editor"):
        FileWriter(3000).make(job(), lambda prompt, inputs: result(page))
    assert path in FileWriter(3000, automation=True).make(job(), lambda prompt, inputs: result(page))


@pytest.mark.parametrize(
    "path", ["package.json", ".env", "github/workflows.md", "docs/jenkinsfiles.md", ".gitignore", "vscode.html"]
)
def test_an_ordinary_file_is_committed(path: str) -> None:
    """Similar names are allowed."""
    assert not automation_files.obeyed(path)
    assert paths.wrong_path(path) is None
