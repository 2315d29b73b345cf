"""Threads and memory come from the container, in both cgroup versions, with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import resources, settings

V1, V2 = "sys/fs/cgroup/cpu/cpu.cfs_", "sys/fs/cgroup/"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("files", "count", "said"),
    [
        ({}, 8, "8 CPUs in the affinity mask"),
        ({"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2, "quota is 2.5, rounded down"),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8, "8 CPUs"),
        ({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1, "quota is 0.5"),
        ({f"{V1}quota_us": "300000", f"{V1}period_us": "100000"}, 3, "quota is 3"),
        ({f"{V1}quota_us": "-1", f"{V1}period_us": "100000"}, 8, "8 CPUs"),
        (
            {"proc/self/cgroup": "0::/a/b\n", f"{V2}a/cpu.max": "100000 100000", f"{V2}a/b/cpu.max": "max 1"},
            1,
            "quota is 1",
        ),
    ],
)  # fmt: skip
def test_threads_follow_quota_and_affinity(
    tmp_path: Path, eight: None, files: dict[str, str], count: int, said: str
) -> None:
    value, reason = resources.threads(settings.load(), tree(tmp_path, files))
    assert value == count == resources.whole_cpus(tmp_path)
    assert said in reason


def test_a_setting_wins_and_says_so(tmp_path: Path, eight: None) -> None:
    loaded = settings.load(threads=5, memory_limit_bytes=7)
    assert resources.threads(loaded, tmp_path) == (5, "SAMEBOAT_THREADS says so")
    assert resources.memory_bytes(loaded, tmp_path) == (7, "SAMEBOAT_MEMORY_LIMIT_BYTES says so")


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({}, 8 << 30),
        ({"sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30),
        ({"sys/fs/cgroup/memory.max": "max\n"}, 8 << 30),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648"}, 2 << 30),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, 8 << 30),
    ],
)
def test_memory_is_the_tightest_limit(tmp_path: Path, files: dict[str, str], value: int) -> None:
    root = tree(tmp_path, {"proc/meminfo": "MemTotal:        8388608 kB\n", **files})
    assert resources.memory_bytes(settings.load(), root)[0] == value


def test_a_real_control_group_is_seen(tmp_path: Path) -> None:
    """A process in a memory control group of its own reads that group's limit."""
    parents = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    names = ["memory.limit_in_bytes", "memory.max"]
    for parent, name in zip(parents, names, strict=True):
        group = parent / f"sameboat-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(300 << 20))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        try:
            script = (
                f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
                "from service import resources, settings; print(resources.memory_bytes(settings.load())[0])"
            )
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        finally:
            group.rmdir()
        assert done.stdout.strip() == str(300 << 20), done.stderr
        return
    pytest.skip("no control group can be made here")


def test_idle_seconds_are_those_of_the_cpus_this_process_may_use(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    mine = min(os.sched_getaffinity(0))
    (tmp_path / "proc/stat").write_text(f"cpu 1 1 1 9999 0\ncpu{mine} 1 1 1 250 0\ncpu4095 1 1 1 700 0\nintr 5\n")
    assert resources.idle_seconds(tmp_path) == 250 / os.sysconf("SC_CLK_TCK")
    assert resources.idle_seconds(tmp_path / "nothing") == 0
