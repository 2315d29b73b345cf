"""The error about a directory that cannot be written names the cause and the remedy.

That one belongs to another user is shown in tests/containers, where there is another user.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from service import folders
from service.errors import SettingsError


def test_a_missing_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folders.require(folder, "SAMEBOAT_STATE_DIR")
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_named_with_the_setting(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("not a folder")
    with pytest.raises(SettingsError, match=r"taken is not a directory\. .*set SAMEBOAT_STATE_DIR") as caught:
        folders.require(taken / "state", "SAMEBOAT_STATE_DIR")
    assert caught.value.key == "SAMEBOAT_STATE_DIR"


def test_a_folder_that_may_not_even_be_looked_into_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below another user's directory of mode 700 not even `stat` is allowed: the owner is named, nothing is raised."""
    locked, stat = tmp_path / "locked", os.stat
    locked.mkdir()

    def guarded(path: Any, *args: Any, **more: Any) -> os.stat_result:
        if str(path).startswith(f"{locked}/"):
            raise PermissionError(13, "Permission denied")
        return stat(path, *args, **more)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", guarded)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    monkeypatch.setattr("os.getuid", lambda: stat(locked).st_uid + 1000)
    found = folders.problem(locked / "a" / "b", "SAMEBOAT_CACHE_DIR")
    assert found is not None
    assert f"{locked} belongs to uid {stat(locked).st_uid}" in found.what


def test_a_folder_of_its_own_that_refuses_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owner and process are the same user here, so the remedy is a mode. For another owner it is chown."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    mine = folders.problem(tmp_path, "SAMEBOAT_CACHE_DIR")
    assert mine is not None
    assert "chmod u+rwx" in mine.remedy
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1000)
    other = folders.problem(tmp_path, "SAMEBOAT_CACHE_DIR")
    assert other is not None
    assert f"{tmp_path} belongs to uid {tmp_path.stat().st_uid}" in other.what
    assert f"chown -R {tmp_path.stat().st_uid + 1000}:" in other.remedy
