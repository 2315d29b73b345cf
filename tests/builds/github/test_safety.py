"""GitHub receives the token in a header only, and only paths that a repository can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.builds.forge import ForgeError, objects
from service.builds.forge.github import GitHubForge
from service.errors import SettingsError
from tests.builds.github.support import commit
from tests.servers.github import TOKEN, FakeGitHub


def test_the_token_is_only_in_the_header(
    forge: GitHubForge, fake: FakeGitHub, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not in URLs, bodies, logs, files or errors, not even where GitHub quotes it back."""
    caplog.set_level("DEBUG")
    fake.fault("PATCH", "/git/refs/", status=422, message=f"no {TOKEN} no")
    base = forge.ensure("app-1", "").head
    with pytest.raises(ForgeError) as told:
        forge.push("app-1", commit(base))
    sha = forge.push("app-1", commit(base))
    forge.publish("app-1", sha, 60)
    assert "***" in str(told.value)
    for each in fake.seen:
        assert TOKEN not in f"{each.path}?{each.query} {each.body}"
    assert TOKEN not in str(told.value) + repr(told.value) + repr(vars(forge)) + caplog.text
    for path in (tmp_path / "state").rglob("*"):
        assert TOKEN.encode() not in path.read_bytes()
    for path in (each for each in fake.repo("app-1").path.rglob("*") if each.is_file()):
        assert TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize("url", ["http://api.github.com", "ftp://127.0.0.1", "api.github.com", "https://"])
def test_the_token_does_not_travel_in_clear(tmp_path: Path, url: str) -> None:
    """Only https, but for tests on this machine."""
    with pytest.raises(SettingsError, match="https://"):
        GitHubForge(SecretStr("x"), None, url, tmp_path)


@pytest.mark.parametrize("path", ["../x", "a/../b", ".git/config", "a//b", "/a", "a\0b", ".GIT/hooks/x"])
def test_a_path_that_no_repository_holds_is_refused(path: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ForgeError, match="cannot be a path"):
        objects.objects_of(commit(None, {path: b"x"}))


def test_a_file_cannot_be_a_folder_too() -> None:
    """Git has one entry per name."""
    for files in ({"a": b"1", "a/b": b"2"}, {"a/b": b"2", "a": b"1"}):
        with pytest.raises(ForgeError, match="file and a folder"):
            objects.objects_of(commit(None, files))
