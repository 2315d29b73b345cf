"""One holder at a time, and none after its process has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from service import file_lock

HOLDER = """
import sys, time
from pathlib import Path
from service import file_lock
handle, taken = file_lock.take(Path(sys.argv[1]))
print("taken" if taken else "busy", flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    waited = []
    with file_lock.hold(path, lambda: waited.append("first")):
        handle, taken = file_lock.take(path)
        os.close(handle)
        assert not taken
    handle, taken = file_lock.take(path)
    assert taken
    os.close(handle)
    assert waited == [], "nobody else had it"


def test_who_waits_is_told_once_and_comes_next(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    waiting, order = threading.Event(), []

    def second() -> None:
        with file_lock.hold(path, waiting.set):
            order.append("second")

    with file_lock.hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "taken"
        handle, taken = file_lock.take(path)
        os.close(handle)
        assert not taken
        holder.kill()
    handle, taken = file_lock.take(path)
    os.close(handle)
    assert taken
