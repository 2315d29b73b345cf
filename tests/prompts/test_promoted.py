"""The folder of a promoted prompt is read as one, verified against its lock, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine.types import Identity
from service.errors import LockMismatch, PromptError
from service.prompts import lock as locks
from service.prompts import promoted
from service.prompts.file import loads
from service.prompts.promoted import PromotedFolder, swap

TEXT = """name: greet
messages:
  - {role: user, content: "Greet {{thing}}."}
testDataFile: cases.jsonl
"""
IDENTITY = Identity("local", "1", "starter", "0" * 64, "1" * 64, {"kv": "f16"})


@pytest.fixture
def folder(tmp_path: Path) -> PromotedFolder:
    """A folder as a promotion leaves it."""
    made = PromotedFolder(tmp_path / "greet")
    made.path.mkdir()
    (made.path / "cases.jsonl").write_text("{}")
    made.recording_path.write_text("")
    prompt = made.save_prompt(loads(TEXT))
    made.save_lock(locks.make(prompt, made.path, IDENTITY))
    return made


def test_a_folder_gives_its_parts(folder: PromotedFolder) -> None:
    assert folder.name == "greet"
    assert folder.is_complete
    assert folder.has_lock
    assert folder.prompt().text == "# yaml-language-server: $schema=../../prompt.schema.json\n" + TEXT
    assert folder.lock().identity == IDENTITY
    assert folder.differences(folder.prompt(), folder.lock()) == []


@pytest.mark.parametrize("part", ["prompt_path", "recording_path", "lock_path"])
def test_a_folder_without_one_of_its_parts_is_not_complete(part: str, folder: PromotedFolder) -> None:
    getattr(folder, part).unlink()
    assert not folder.is_complete
    assert folder.has_lock == (part != "lock_path")


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LockMismatch, match=r"lock\.json"):
        PromotedFolder(tmp_path).lock()
    with pytest.raises(PromptError, match=r"\.prompt\.yml"):
        PromotedFolder(tmp_path).prompt()


@pytest.mark.parametrize("name", ["greet.prompt.yml", "cases.jsonl", "recording.jsonl"])
def test_a_changed_file_is_a_difference(name: str, folder: PromotedFolder) -> None:
    path = folder.path / name
    path.write_bytes(path.read_bytes() + b"\n")
    key = name.split(".")[0].replace("greet", "prompt") + "_sha256"
    assert [text.split(":")[0] for text in folder.differences(folder.prompt(), folder.lock())] == [key]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_change_takes_the_place_of_the_folder_as_a_whole(folder: PromotedFolder) -> None:
    (folder.path / "notes.md").write_text("kept")
    before = files(folder.path)
    with folder.replacing() as staged:
        assert files(staged.path) == before
        staged.baseline_path.write_text("new")
        staged.recording_path.write_text("new")
        assert files(folder.path) == before, "nothing is seen before the end"
    assert files(folder.path) == {**before, "baseline.jsonl": b"new", "recording.jsonl": b"new"}
    assert [path.name for path in folder.path.parent.iterdir()] == ["greet"]


def test_the_first_promotion_makes_the_folder(tmp_path: Path) -> None:
    folder = PromotedFolder(tmp_path / "prompts" / "greet")
    with folder.replacing() as staged:
        staged.recording_path.write_text("x")
    assert files(folder.path) == {"recording.jsonl": b"x"}


def test_an_interrupted_change_leaves_the_old_folder(folder: PromotedFolder) -> None:
    before = files(folder.path)
    try:
        with folder.replacing() as staged:
            staged.recording_path.write_text("half")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert files(folder.path) == before
    assert [path.name for path in folder.path.parent.iterdir()] == ["greet"]


def test_folders_are_swapped_also_where_the_kernel_cannot_exchange_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way has the same result, and puts the old folder back if its second step fails."""
    monkeypatch.setattr(promoted.ctypes, "CDLL", lambda *_, **__: object())
    old, new = tmp_path / "old", tmp_path / "in" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "name").write_text(folder.name)
    swap(new, old)
    assert (old / "name").read_text() == "new"
    (tmp_path / "other").mkdir()
    with pytest.raises(FileNotFoundError):
        swap(tmp_path / "other" / "absent", old)
    assert (old / "name").read_text() == "new"
