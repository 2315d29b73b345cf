"""A report is drawn for a person at a terminal, and stays Markdown for a pull request."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "service", "evaluate", "sender", "--replay"]


def on_a_terminal() -> str:
    """What the command writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so at the end of a terminal
                break
            if not part:
                break
            said += part
    os.close(ours)
    assert process.returncode == 0
    return said.decode()


def test_a_terminal_gets_tables_and_a_pipe_gets_what_a_pull_request_will_say() -> None:
    """With the same numbers; what a pull request folds is open."""
    drawn = on_a_terminal()
    piped = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for each in (drawn, piped):
        assert "82.5 % (74.7 to 88.3)" in each
        assert "21 cases fail" in each
    assert "<details>" not in drawn
    assert "|---" not in drawn
    assert "<details><summary>21 cases fail</summary>" in piped
    assert "|---|---|--:|--:|---|" in piped
