"""`sameboat build`: a brief from a file to the printed site, against a running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.builds.harness import SECRET, brief
from tests.builds.processes import reached, service
from tests.servers.evaluator import evaluator


def sameboat(url: str, secret: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", "build", *words, "--url", url]
    environment = {**os.environ, "SAMEBOAT_SECRET": secret}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_submit_and_watch_ends_with_the_site(tmp_path: Path) -> None:
    """The events are shown, and the last lines are site and commit. A second look by id and in the list finds it.

    The service dies on the way and is started again. A watching client sees every event once, and the end.
    """
    state = tmp_path / "state"
    with evaluator() as judge, service(state, "push:inside") as process:
        body = brief(judge.url)
        del body["secret"]
        (tmp_path / "brief.json").write_text(json.dumps(body), encoding="utf-8")
        done = sameboat(process.url, SECRET, "submit", str(tmp_path / "brief.json"), "--watch")
        assert done.returncode == 0, done.stderr
        assert reached(state) == {"push-inside"}
        kinds = [line.split()[0] for line in done.stdout.splitlines()]
        assert [kinds.count(each) for each in ("accepted", "checks", "published", "callback")] == [1, 1, 1, 1]
        assert "http://sum-of-sales-1a2b3" in done.stdout
        assert SECRET not in done.stdout + done.stderr
        listed = [json.loads(line) for line in sameboat(process.url, SECRET, "list", "--json").stdout.splitlines()]
        assert [each["status"] for each in listed] == ["done"]
        wrong = sameboat(process.url, SECRET, "show", "build-none")
        assert (wrong.returncode, "There is no such build" in wrong.stderr) == (1, True)
        without = sameboat(process.url, "", "list")
        assert (without.returncode, "answered 403: The secret is wrong." in without.stderr) == (1, True)


def test_a_url_that_is_no_service_is_said_to_be_none() -> None:
    """An evaluator answers here, without JSON. Afterwards nobody answers."""
    with evaluator() as other:
        said = sameboat(other.url, SECRET, "list").stderr
    assert f"The service at {other.url}" in said
    assert "Traceback" not in said
    assert "does not answer" in sameboat(other.url, SECRET, "list").stderr
