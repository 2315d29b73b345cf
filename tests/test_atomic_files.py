"""A file is written whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from service import atomic_files


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    atomic_files.replace_text(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    atomic_files.replace_bytes(path, b"\0", durable=True)
    assert path.read_bytes() == b"\0"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    atomic_files.replace_text(path, "old")
    try:
        with atomic_files.replacing(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    with pytest.raises(UnicodeEncodeError):
        atomic_files.replace_text(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    atomic_files.replace_text(path, "old")
    with atomic_files.replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_the_mode_holds_from_the_first_byte(tmp_path: Path) -> None:
    """A secret is never readable for others, not even while it is written."""
    path = tmp_path / "secret"
    with atomic_files.replacing(path, mode=0o600) as file:
        file.write(b"s")
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """The name of the unfinished file can be guessed, so a link of that name must not lead the bytes elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    part = tmp_path / f".notes.txt.{os.getpid()}-{threading.get_ident()}{atomic_files.SUFFIX}"
    part.symlink_to(victim)
    atomic_files.replace_text(tmp_path / "notes.txt", "new")
    assert victim.read_text() == "untouched"
    assert (tmp_path / "notes.txt").read_text() == "new"


def test_two_threads_do_not_write_the_same_unfinished_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    with atomic_files.replacing(path) as file:
        file.write(b"first")
        other = threading.Thread(target=atomic_files.replace_text, args=(path, "second"))
        other.start()
        other.join()
        assert path.read_text() == "second"
    assert path.read_text() == "first"
