"""The worker's memory moves into huge pages and holds the same bytes as before."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import pytest

from service.engine.local import huge_pages
from service.engine.local.huge_pages import LEAST, PAGE

MAPS = f"""\
{PAGE:x}-{PAGE + LEAST:x} rw-p 00000000 00:00 0
{4 * LEAST + 4096:x}-{6 * LEAST:x} rw-p 00000000 00:00 0 [heap]
{8 * LEAST:x}-{9 * LEAST - 4096:x} rw-p 00000000 00:00 0
{10 * LEAST:x}-{12 * LEAST:x} rw-p 00000000 08:01 77 /models/a model.gguf
{20 * LEAST:x}-{22 * LEAST:x} rw-s 00000000 00:00 0
{30 * LEAST:x}-{32 * LEAST:x} r--p 00000000 00:00 0
{40 * LEAST:x}-{42 * LEAST:x} rw-p 00000000 00:00 0 [stack]
"""


def test_large_mappings_without_a_file_are_taken_in_whole_huge_pages() -> None:
    assert list(huge_pages.anonymous(MAPS)) == [(PAGE, PAGE + LEAST), (4 * LEAST + PAGE, 6 * LEAST)]


def test_nothing_happens_where_the_machine_gives_no_huge_pages(tmp_path: Path) -> None:
    never = tmp_path / "enabled"
    never.write_text("always madvise [never]\n", encoding="ascii")
    missing = tmp_path / "maps"
    assert huge_pages.collapse(missing, never) == 0
    assert huge_pages.collapse(missing, tmp_path / "no such file") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's")
def test_collapsed_memory_holds_what_it_held(tmp_path: Path) -> None:
    size = 4 * LEAST
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)  # as memory that came in small pages
    for at in range(0, size, mmap.PAGESIZE):
        memory[at : at + 8] = at.to_bytes(8, "little")
    memory.madvise(mmap.MADV_HUGEPAGE)
    moved = huge_pages.collapse()
    smaps = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    huge = re.search(r"AnonHugePages:\s+(\d+) kB", smaps)
    assert huge is not None
    assert int(huge[1]) * 1024 >= moved
    assert all(memory[at : at + 8] == at.to_bytes(8, "little") for at in range(0, size, mmap.PAGESIZE))
    memory.close()
