"""`sameboat build`: a brief from a file to the printed site, against a running service in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.builds.harness import SECRET, brief, planner, serving, settings_for
from tests.servers.evaluator import evaluator


def test_submit_and_watch_ends_with_the_site(tmp_path: Path) -> None:
    """The events are shown, the last lines are site and commit; a second look by id and in the list finds it."""
    settings = settings_for(tmp_path / "state")
    environment = {**os.environ, "SAMEBOAT_SECRET": SECRET, "SAMEBOAT_PORT": str(settings.port)}

    def sameboat(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service", "build", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    with evaluator() as judge, serving(settings, planner()):
        body = brief(judge.url)
        del body["secret"]
        (tmp_path / "brief.json").write_text(json.dumps(body), encoding="utf-8")
        done = sameboat("submit", str(tmp_path / "brief.json"), "--watch")
        assert done.returncode == 0, done.stderr
        assert "pushed" in done.stdout
        assert f"http://127.0.0.1:{settings.pages_port}/sum-of-sales" in done.stdout
        assert SECRET not in done.stdout + done.stderr
        listed = [json.loads(line) for line in sameboat("list", "--json").stdout.splitlines()]
        assert [each["status"] for each in listed] == ["done"]
        wrong = sameboat("show", "build-none")
        assert wrong.returncode == 1
        assert "There is no such build" in wrong.stderr
