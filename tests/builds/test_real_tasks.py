"""The three tasks of the public evaluation, built, checked and revised with a scripted model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.builds.browser import Check
from service.builds.verify import find_browser, verify
from tests.builds.real_tasks import ANALYZE, FIXED, LLM_PAGES, RAN, SHARE_VOLUME, Task, run_task, workbook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_browser(None)[0] is None, reason="no Chromium on this machine"),
]


def clone(row: dict, to: Path) -> Path:  # type: ignore[type-arg]
    """The repository at the round's commit. The forge has ended, and its folder is there."""
    [bare] = (to.parent / "state" / "repositories").glob("*.git")
    subprocess.run(["git", "clone", "-q", str(bare), str(to)], check=True)
    subprocess.run(["git", "-C", str(to), "checkout", "-q", row["build"]["outcome"]["commit_sha"]], check=True)
    return to


def rounds(task: Task, tmp_path: Path) -> list[dict]:  # type: ignore[type-arg]
    rows = list(run_task(task, tmp_path / "state"))
    assert [row["build"]["status"] for row in rows] == ["done", "done"], rows
    assert [row["build"]["delivery"] for row in rows] == ["delivered", "delivered"]
    return rows


def broken(first: dict, after: Path) -> list[str]:  # type: ignore[type-arg]
    """The checks of the first round, as they were run then, that passed then and fail in the second round's files."""
    passed = [outcome for outcome in first["build"]["outcome"]["report"]["outcomes"] if outcome["js"]]
    checks = [Check(each["said"], each["js"], each["translated"]) for each in passed if each["verdict"] == "passed"]
    assert checks
    files = {
        str(path.relative_to(after)): path.read_bytes()
        for path in after.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(after).parts
    }
    report = verify(files, checks, [], browser=find_browser(None)[0], timeout_s=60)
    judged = [outcome for outcome in report.outcomes if outcome.js]
    assert len(judged) == len(checks)
    return [f"{each.said}: {each.reason}" for each in judged if each.verdict != "passed"]


def test_share_volume_reads_data_at_build_time_and_in_the_page(tmp_path: Path) -> None:
    """data.json comes from the build's own request with a named agent. ?CIK= fetches in the browser. Round 2 edits."""
    first, second = rounds(SHARE_VOLUME, tmp_path)
    assert first["build"]["outcome"]["failed"] == []
    assert second["build"]["outcome"]["failed"] == []
    assert all("sameboat-builds" in agent or "python-httpx" in agent for _, agent in first["fetched"])
    assert "sameboat-builds" in first["fetched"][0][1]
    files = clone(first, tmp_path / "first")
    assert json.loads((files / "data.json").read_text())["max"] == {"fy": "2021", "val": 578}
    assert (files / "uid.txt").read_bytes() == b"5210116c-uid\n"


def test_llm_pages_has_its_nine_files_and_round_two_changes_one(tmp_path: Path) -> None:
    """Every file with its shape. Round 2 changes one and breaks no check of round 1."""
    first, second = rounds(LLM_PAGES, tmp_path)
    assert first["build"]["outcome"]["failed"] == []
    assert second["build"]["outcome"]["failed"] == []
    before, after = clone(first, tmp_path / "first"), clone(second, tmp_path / "second")
    assert {"ashravan.txt", "LICENSE", "uid.txt", "pelican.svg", "about.md"} <= {path.name for path in before.iterdir()}
    assert json.loads((before / "prediction.json").read_text())["rate"] == 4.1
    assert json.loads((after / "prediction.json").read_text())["rate"] == 3.9
    assert (after / "ashravan.txt").read_bytes() == (before / "ashravan.txt").read_bytes()
    assert broken(first, after) == []


def test_analyze_fixes_what_it_was_told_to_fix_and_keeps_the_rest(tmp_path: Path) -> None:
    """The script that the brief says to fix is changed, the workbook is byte for byte, and the script runs.

    A check that only GitHub can answer (its Actions ran) is reported as failed or not judged, never as passed.
    """
    first, second = rounds(ANALYZE, tmp_path)
    assert [each.split(":")[0] for each in first["build"]["outcome"]["failed"]] == [RAN]
    assert second["build"]["outcome"]["failed"] == []
    files = clone(first, tmp_path / "first")
    assert (files / "execute.py").read_text() == FIXED
    assert (files / "data.xlsx").read_bytes() == workbook()
    assert (files / ".github" / "workflows" / "ci.yml").exists()
    assert not (files / "result.json").exists()
    after = clone(second, tmp_path / "second")
    ran = subprocess.run([sys.executable, "execute.py"], cwd=after, check=True, capture_output=True, text=True).stdout
    assert json.loads(ran) == {"revenue": 30.5, "mean": 15.25}
    assert broken(first, after) == []
