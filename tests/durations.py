"""How long each test took: seconds on the clock, and CPU seconds with those of its child processes.

In: the tests of one run. Out: a JSON file, and at the end of the run the tests of tier 1 over the limit.
Not here: the table of tiers (`tiers.py`).

The limit counts CPU seconds, because the clock of a busy machine shows other work too. A busy machine stretches CPU
seconds too: tests of 5 s took up to 10 s beside other suites. So `python -m tests.durations FILE` prints the tests of
tier 1 over the limit, and fails when one is over three times the limit. A shared fixture counts for itself and not for
its first test.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiers import draws, tier

LIMIT_S = 5.0
FAILS_S = 3 * LIMIT_S
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s() -> float:
    """CPU seconds of this process, its ended children, and on Linux its running descendants."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime + sum(map(_cpu_s_of, _descendants("self")))


def _descendants(process: str) -> Iterator[str]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the process ended meanwhile
            for child in children.read_text(encoding="ascii").split():
                yield child
                yield from _descendants(child)


def _cpu_s_of(process: str) -> float:
    """User and system time of a process and its ended children: fields 14 to 17 of proc_pid_stat(5)."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS_PER_S
    return 0.0


class Durations:
    """A pytest plugin. With several processes each one measures its tests, and the first one collects the figures."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        before = cpu_s()
        try:
            return (yield)
        finally:
            item.user_properties.append(("cpu_s", round(cpu_s() - before, 3)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self.tests.setdefault(report.nodeid, {"test": report.nodeid, "tier": tier(report.nodeid)})
        row[f"{report.when}_s"] = round(report.duration, 3)
        row.update({name: value for name, value in report.user_properties if name == "cpu_s"})

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        rows = list(self.tests.values())
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        for line in [] if draws.many else slow(rows):  # with many draws the limit says nothing
            terminalreporter.write_line(line)


def slow(rows: list[dict[str, Any]], limit_s: float = LIMIT_S) -> list[str]:
    """One line per test of tier 1 over the limit, in CPU seconds."""
    over = [row for row in rows if row["tier"] == 1 and row.get("cpu_s", 0) > limit_s]
    return [f"{row['test']} took {row['cpu_s']:.1f} CPU s. A test of tier 1 may take {LIMIT_S:.0f}." for row in over]


def main(paths: list[str]) -> int:
    """Print the tests over the limit in the files of earlier runs. The exit code is 1 if one is far over it."""
    rows = [row for path in paths for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    print("\n".join(slow(rows)) or f"No test of tier 1 took more than {LIMIT_S:.0f} CPU s.")
    return min(len(slow(rows, FAILS_S)), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
