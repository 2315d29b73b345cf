"""A pytest that is told to end tears its fixtures down."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.http.conftest import until

ROOT = Path(__file__).resolve().parent.parent
TEST = """
import pathlib, time
import pytest

@pytest.fixture(scope="module")
def server():
    pathlib.Path("started").touch()
    yield
    pathlib.Path("ended").touch()

def test_waits(server):
    time.sleep(60)
"""


def test_a_server_of_a_fixture_does_not_outlive_a_pytest_that_is_terminated(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    words = ["-m", "pytest", "-q", "-c", "/dev/null", "-p", "tests.termination", "-p", "no:cacheprovider", "test_it.py"]
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.Popen([sys.executable, *words], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        until((tmp_path / "started").exists, "the fixture is set up")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 2
    finally:
        process.kill()
    assert (tmp_path / "ended").exists()
