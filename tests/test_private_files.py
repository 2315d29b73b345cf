"""Private files are readable by this user alone, with any umask and after any earlier mode."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import private_files
from service.errors import SettingsError


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_files_are_made_private_and_narrowed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(0o777)
    (tmp_path / "old" / "inside").mkdir(0o755)
    (tmp_path / "old" / "mail").write_text("kept")
    private_files.narrow(tmp_path / "old")
    private_files.file(private_files.folder(tmp_path / "new") / "file")
    assert [mode(tmp_path / name) for name in ("old", "old/inside", "new")] == [0o700] * 3
    assert [mode(tmp_path / name) for name in ("old/mail", "new/file")] == [0o600] * 2
    assert (tmp_path / "old" / "mail").read_text() == "kept"


def test_a_key_is_made_once_for_everybody_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "state" / "it.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(private_files.key, [path] * 32))
    assert len(keys) == 1
    assert keys == {private_files.key(path)}
    assert [mode(path), mode(path.parent)] == [0o600, 0o700]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.key"
    path.write_text("12")
    with pytest.raises(SettingsError, match="holds no key"):
        private_files.key(path)
