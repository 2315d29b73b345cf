"""Moves the worker's memory into huge pages some seconds after it is ready.

In: the mappings of this process. Out: the same memory in fewer, larger pages, where the kernel has them.
Not here: how much memory there is (`context`), pages of files.

A step reads all weights and keys once, so with small pages it waits for their addresses too. If huge pages are asked
for at allocation, Linux stops the process to make room for each of them, which took the start up to two seconds. So
the memory is taken as it comes, and a thread collapses it afterwards (MADV_COLLAPSE of madvise(2), Linux 6.1).
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from pathlib import Path

MADV_COLLAPSE = 25  # linux/mman.h
PAGE = 2 << 20  # bytes of a huge page, on x86-64, and on ARM with small pages of 4 KiB
LEAST = 8 * PAGE  # bytes of a mapping that is worth it
BEGIN_S = 5.0  # the first answers come before
MOST_S = 3.0  # steps wait meanwhile, so a very large model keeps small pages for the rest
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start() -> None:
    """Collapse the memory soon, in a thread that ends with the process."""
    threading.Thread(target=_later, name="huge-pages", daemon=True).start()


def _later() -> None:
    time.sleep(BEGIN_S)
    collapse()


def collapse(maps: Path = Path("/proc/self/maps"), enabled: Path = ENABLED) -> int:
    """Collapse the large anonymous mappings, and say how many bytes are in huge pages now.

    Nothing happens where the machine has no huge pages or never gives them. An older Linux refuses each call. 900 MB
    take about 1 s, and steps in that time wait. Pauses between the pages made that worse.
    """
    if not enabled.exists() or "[never]" in enabled.read_text(encoding="ascii"):
        return 0
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    moved, ends_s = 0, time.monotonic() + MOST_S
    for begin, end in anonymous(maps.read_text(encoding="utf-8", errors="replace")):
        for at in range(begin, end, PAGE):  # one at a time, because a call ends at the first that cannot be
            if time.monotonic() > ends_s:
                return moved
            moved += PAGE * (libc.madvise(at, PAGE, MADV_COLLAPSE) == 0)
    return moved


def anonymous(maps: str) -> Iterator[tuple[int, int]]:
    """The first and the last address of each large private mapping without a file, in whole huge pages.

    `maps` has the form of /proc/PID/maps (proc_pid_maps(5)).
    """
    for line in maps.splitlines():
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
            continue
        begin, end = (int(address, 16) for address in addresses.split("-"))
        begin, end = -(-begin // PAGE) * PAGE, end // PAGE * PAGE
        if end - begin >= LEAST:
            yield begin, end
