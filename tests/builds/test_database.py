"""A damaged database of builds is reported with its path and a remedy, before anything is written into it."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from service.builds.database import make_engine, require_intact
from service.builds.store import Store
from service.errors import SettingsError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with the tables of builds."""
    path = tmp_path_factory.mktemp("whole") / "builds.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    Store(engine).create()
    engine.dispose()
    return path.read_bytes()


def damage(whole: bytes) -> dict[str, bytes]:
    noise = random.Random(1)
    return {
        "random": noise.randbytes(20_000),
        "text": b"these are not the builds\n" * 100,
        "truncated": whole[: len(whole) // 2],
        "a page is noise": whole[:4096] + noise.randbytes(4096) + whole[8192:],
        "the header is whole": whole[:100] + noise.randbytes(len(whole) - 100),
    }


@pytest.mark.parametrize("kind", ["random", "text", "truncated", "a page is noise", "the header is whole"])
def test_a_damaged_file_is_named_with_the_way_out(kind: str, whole: bytes, tmp_path: Path) -> None:
    """The remedy works: after it the service starts again, and the file is as it was."""
    path = tmp_path / "builds.sqlite"
    data = damage(whole)[kind]
    path.write_bytes(data)
    with pytest.raises(SettingsError) as refused:
        require_intact(path)
    assert str(path) in refused.value.message
    assert path.read_bytes() == data
    assert refused.value.remedy is not None
    command = refused.value.remedy.split(": ")[1].split(". ")[0].replace("ELSEWHERE", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert not path.exists()
    require_intact(path)


def test_a_whole_file_an_empty_one_and_none_pass(whole: bytes, tmp_path: Path) -> None:
    """A new installation, and one that was cut off before it wrote anything."""
    require_intact(tmp_path / "none.sqlite")
    for name, data in {"whole": whole, "empty": b""}.items():
        (tmp_path / name).write_bytes(data)
        require_intact(tmp_path / name)
