"""The CPUs and the memory that this container may use, each with the reason for the number.

In: the scheduler's affinity mask, the files of control groups v1 and v2, settings. Out: `(value, reason)`.
Not here: the use of CPUs and memory.

`root` arguments exist so that tests can hand in a file tree of their own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the engine's worker asks for CPUs too, and starts sooner without pydantic
    from service.settings import Settings

UNLIMITED = 1 << 60  # cgroup v1 says "no limit" with a number near 2**63, rounded to pages


def cpus() -> int:
    """CPUs that the scheduler may run this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def idle_seconds(root: Path = Path("/")) -> float:
    """Seconds that the CPUs of this process have been idle since the machine started. 0 without /proc/stat.

    Linux `/proc/stat`: after each CPU's name user, nice, system, idle, in ticks (Documentation/filesystems/proc.rst).
    """
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    lines = (line.split() for line in _read(root / "proc/stat").splitlines())
    return sum(int(words[4]) for words in lines if words and words[0] in ours) / os.sysconf("SC_CLK_TCK")


def quota(root: Path = Path("/")) -> float | None:
    """The container's CPU quota in CPUs, or None without one.

    cgroup v2 `cpu.max` holds "<microseconds|max> <period>". v1 splits them over `cpu.cfs_quota_us` (-1: none) and
    `cpu.cfs_period_us` (Linux: Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst). The tightest
    limit on the way up to the root applies.
    """
    quotas: list[float] = []
    for directory in _groups(root, "cpu"):
        words = _read(directory / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            quotas.append(int(words[0]) / int(words[1]))
        allowed, period = _read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us")
        if allowed and period and int(allowed) > 0:
            quotas.append(int(allowed) / int(period))
    return min(quotas, default=None)


def whole_cpus(root: Path = Path("/")) -> int:
    """CPUs that may be busy at a time: the scheduler's, or the container's quota rounded down. At least one."""
    limit = quota(root)
    return cpus() if limit is None else max(1, min(cpus(), int(limit)))


def threads(settings: Settings, root: Path = Path("/")) -> tuple[int, str]:
    """How many threads to decode with, and why.

    The smaller of the CPUs this process may run on and the container's CPU quota, rounded down: one thread more than
    the quota stalls the whole group at every barrier (ollama#17916: 45x slower).
    """
    if settings.threads is not None:
        return settings.threads, "SAMEBOAT_THREADS says so"
    available, limit = cpus(), quota(root)
    if limit is not None and limit < available:
        return whole_cpus(root), f"the CPU quota is {limit:g}, rounded down, of {available} CPUs"
    return available, f"{available} CPUs in the affinity mask, no tighter quota"


def memory_bytes(settings: Settings, root: Path = Path("/")) -> tuple[int, str]:
    """How many bytes models may use in all, and why: the setting, else the tightest cgroup limit, else the machine."""
    if settings.memory_limit_bytes is not None:
        return settings.memory_limit_bytes, "SAMEBOAT_MEMORY_LIMIT_BYTES says so"
    machine = _machine_bytes(root)
    limits = []
    for directory in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(directory / name)
            if text.isdigit() and int(text) < UNLIMITED:
                limits.append((int(text), directory / name))
    if limits and min(limits)[0] < machine:
        limit, path = min(limits)
        return limit, f"the control group's limit in /{path.relative_to(root)}"
    return machine, "the machine's memory, no tighter limit"


def available_bytes(root: Path = Path("/")) -> int:
    """Bytes that programs can take without swapping, as Linux estimates them, or all of the machine's memory.

    `/proc/meminfo`, MemAvailable (Documentation/filesystems/proc.rst). It is the machine's and not the container's.
    """
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _machine_bytes(root)


def used_bytes(root: Path = Path("/")) -> int:
    """Resident bytes of this process."""
    words = _read(root / "proc/self/statm").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else 0


def _groups(root: Path, controller: str) -> list[Path]:
    """Every directory with a limit for this process: its own control group and those above it, v2 and v1."""
    folders = [root / "sys/fs/cgroup", root / "sys/fs/cgroup" / controller]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        parts = [part for part in path.split("/") if part and part != ".."]
        folders += [mount.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return folders


def _machine_bytes(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: Path) -> str:
    """The file's text, or nothing where there is no such file (another cgroup version, another system)."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
