"""The prefix cache without a model: which prefixes it keeps and evicts, and its use of damaged and foreign files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.local.prefix_cache import PrefixCache, State
from service.engine.local.prefix_store import PrefixStore

MAKER = {"model": "a" * 64, "version": "1"}
KEY = b"k" * 32


def state(size: int, fill: int = 1) -> State:
    return np.full(size, fill, dtype=np.uint8)


def files(folder: Path, limit: int = 1 << 20, **maker: Any) -> PrefixStore:
    return PrefixStore(folder, {**MAKER, **maker}, key=KEY, limit_bytes=limit)


def saved(folder: Path, *tokens: int, fill: int = 1) -> Path:
    """One prefix on disk, through the door."""
    keeper = files(folder)
    kept = PrefixCache(1 << 20, chunk=2, files=keeper)
    kept.keep(list(tokens), len(tokens), state(100, fill), None)
    keeper.flush(5)
    (prefix,) = (each for each in kept if each.tokens == list(tokens))
    assert prefix.path is not None
    return prefix.path


def test_a_beginning_is_worth_keeping_the_second_time_it_is_shared() -> None:
    kept = PrefixCache(1000, chunk=2)
    assert [kept.worth_keeping([1, 2, 3]) for _ in range(2)] == [False, True]
    kept.keep([1, 2, 3], 2, state(10))
    assert not kept.worth_keeping([1, 2, 9])  # the same whole chunks are kept already


def test_a_conversation_that_grows_is_never_kept() -> None:
    kept = PrefixCache(1000, chunk=2)
    assert not any(kept.worth_keeping(list(range(turn))) for turn in range(2, 40, 2))


def test_memory_is_bounded_and_what_was_asked_for_goes_last() -> None:
    kept = PrefixCache(250, chunk=2)
    kept.keep([1], 0, state(100), None)
    kept.keep([2], 0, state(100))
    kept.keep([3], 0, state(100))
    assert [each.tokens for each in kept] == [[1], [3]]
    assert kept.size_bytes == 200
    kept.keep([4], 0, state(251), None)
    assert not kept.pin([4])


def test_a_limit_of_nothing_keeps_nothing(tmp_path: Path) -> None:
    kept = PrefixCache(0, chunk=2, files=files(tmp_path, 0))
    assert [kept.worth_keeping([1, 2]) for _ in range(3)] == [False] * 3
    kept.keep([1, 2], 2, state(1), None)
    assert len(kept) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_was_saved_is_there_after_a_restart_bit_for_bit(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, fill=7)
    kept = PrefixCache(1 << 20, chunk=2, files=files(tmp_path))
    (prefix,) = kept
    assert (prefix.tokens, prefix.canonical, kept.size_bytes) == ([1, 2, 3], 3, 0)
    found = kept.state(prefix)
    assert found is not None
    assert bytes(found) == bytes(state(100, 7))
    assert kept.counters["prefix_restored"] == 1


def test_evicted_from_memory_it_is_read_again(tmp_path: Path) -> None:
    keeper = files(tmp_path)
    kept = PrefixCache(150, chunk=2, files=keeper)
    for token in (1, 2):
        kept.keep([token], 0, state(100, token), None)
        keeper.flush(5)
    assert kept.size_bytes == 100
    (first,) = (prefix for prefix in kept if prefix.tokens == [1])
    found = kept.state(first)
    assert found is not None
    assert found[0] == 1


@pytest.mark.parametrize("where", [5, -1], ids=["in the header", "in the bytes"])
def test_a_damaged_file_is_deleted_and_not_used(tmp_path: Path, where: int) -> None:
    path = saved(tmp_path, 1, 2, 3)
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    kept = PrefixCache(1 << 20, chunk=2, files=files(tmp_path))
    assert all(kept.state(each) is None for each in list(kept))
    assert len(kept) == 0
    assert not path.exists()


def test_a_file_that_is_cut_short_is_deleted(tmp_path: Path) -> None:
    path = saved(tmp_path, 1, 2, 3)
    os.truncate(path, path.stat().st_size - 1)
    assert files(tmp_path).index() == []
    assert not path.exists()


@pytest.mark.parametrize("difference", [{"model": "b" * 64}, {"version": "2"}, {"features": "AVX512"}])
def test_another_makers_file_is_neither_used_nor_touched(tmp_path: Path, difference: dict[str, str]) -> None:
    path = saved(tmp_path, 1, 2, 3)
    assert files(tmp_path, **difference).index() == []
    assert path.exists()


def test_the_folder_is_bounded_and_the_oldest_file_goes_first(tmp_path: Path) -> None:
    first, second = saved(tmp_path, 1), saved(tmp_path, 2)
    os.utime(first, (1, 1))
    limit = first.stat().st_size * 5 // 2
    keeper = files(tmp_path, limit)
    keeper.save([3], 0, state(100), lambda path: None)
    keeper.flush(5)
    assert not first.exists()
    assert second.exists()
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= limit


def test_a_file_that_another_service_deletes_meanwhile_is_no_problem(tmp_path: Path) -> None:
    """Two services on one volume make room at the same time. A vanished file takes no room."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "gone.prefix").symlink_to(tmp_path / "nowhere")
    keeper = files(tmp_path)
    paths: list[Path] = []
    keeper.save([3], 0, state(100), paths.append)
    keeper.flush(5)
    assert keeper.problem is None
    assert [path.exists() for path in paths] == [True]


def test_a_volume_that_cannot_be_written_to_is_survived(tmp_path: Path) -> None:
    """A file where the folder should be: not even root can write there."""
    blocked = tmp_path / "prefixes"
    blocked.write_text("")
    keeper = files(blocked)
    kept = PrefixCache(1 << 20, chunk=2, files=keeper)
    kept.keep([1, 2], 2, state(10), None)
    keeper.flush(5)
    assert keeper.problem is not None
    assert kept.pin([1, 2])
    kept.keep([3, 4], 2, state(10), None)
    assert len(kept) == 2


def forged(path: Path, fill: int) -> Path:
    """The file with other bytes, and everything that can be computed without the key computed anew."""
    line, _, _ = path.read_bytes().split(b"\n", 2)
    header = json.loads(line)
    bad = bytes(state(header["size"], fill))
    line = json.dumps({**header, "sha256": hashlib.sha256(bad).hexdigest()}, separators=(",", ":")).encode()
    code = hashlib.blake2b(line, digest_size=32).hexdigest()
    path.unlink()
    made = path.with_name(f"{code}.prefix")
    made.write_bytes(line + b"\n" + code.encode() + b"\n" + bad)
    return made


def test_what_somebody_without_the_key_wrote_is_removed_said_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The forger knows everything on the volume, the name and the digest too. Only the key is missing."""
    made = forged(saved(tmp_path, 1, 2, 3), fill=9)
    assert len(PrefixCache(1 << 20, chunk=2, files=files(tmp_path))) == 0
    assert not made.exists()
    assert made.name in caplog.text


def test_a_valid_file_is_not_taken_for_another_ones(tmp_path: Path) -> None:
    first, second = saved(tmp_path, 1, 2, 3), saved(tmp_path, 4, 5, 6)
    kept = PrefixCache(1 << 20, chunk=2, files=files(tmp_path))
    first.write_bytes(second.read_bytes())
    assert [kept.state(prefix) is None for prefix in list(kept) if prefix.tokens == [1, 2, 3]] == [True]


def test_a_pipe_among_the_files_is_not_waited_for(tmp_path: Path) -> None:
    path = saved(tmp_path, 1, 2, 3)
    os.mkfifo(path.with_name("0.prefix"))
    assert [found for _, _, found in files(tmp_path).index()] == [path]


def test_services_with_different_keys_share_a_volume_and_no_files(tmp_path: Path) -> None:
    path = saved(tmp_path, 1, 2, 3)
    assert PrefixStore(tmp_path, MAKER, key=b"o" * 32, limit_bytes=1 << 20).index() == []
    assert path.exists()


def test_files_from_before_there_were_salts_are_removed(tmp_path: Path) -> None:
    """They held texts of callers."""
    (tmp_path / "old.prefix").write_text("{}\n")
    assert files(tmp_path).index() == []
    assert not (tmp_path / "old.prefix").exists()


def test_only_what_is_for_everybody_is_written_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    keeper = files(tmp_path / "prefixes")
    kept = PrefixCache(1 << 20, chunk=2, files=keeper)
    before = os.umask(0)
    try:
        kept.keep([1, 2], 2, state(10), "somebody")
        kept.keep([3, 4], 2, state(10), "")
        kept.keep([5, 6], 2, state(10), None)
        keeper.flush(5)
    finally:
        os.umask(before)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert [prefix.tokens for prefix in kept if prefix.path == path] == [[5, 6]]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, *list(path.parents)[:2])] == [0o600, 0o700, 0o700]


def test_a_beginning_is_counted_and_found_under_its_own_salt_only() -> None:
    kept = PrefixCache(1000, chunk=2)
    assert [kept.worth_keeping([1, 2], salt) for salt in ("a", "b", "a")] == [False, False, True]
    kept.keep([1, 2], 2, state(10), "a")
    assert [kept.worth_keeping([1, 2], salt) for salt in ("a", "b")] == [False, True]
    assert not kept.pin([1, 2])
