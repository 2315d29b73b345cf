"""A report is drawn on a terminal, and stays Markdown in a pipe. Both run in a process of their own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "service", "evaluate", "sender", "--replay"]


def on_a_terminal() -> str:
    """The command's output on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux raises this at the end of a terminal
                break
            if not part:
                break
            output += part
    os.close(ours)
    assert process.returncode == 0
    return output.decode()


def test_a_terminal_gets_tables_and_a_pipe_gets_the_markdown_of_the_pull_request() -> None:
    """Both have the same numbers. The terminal also shows the folded part of a pull request."""
    drawn = on_a_terminal()
    piped = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for output in (drawn, piped):
        assert "81.7 % (73.8 to 87.6)" in output
        assert "22 cases fail" in output
    assert "<details>" not in drawn
    assert "|---" not in drawn
    assert "<details><summary>22 cases fail</summary>" in piped
    assert "|---|---|--:|--:|---|" in piped
