"""Workflows treat a branch's names and texts as data, in a shell and in a comment."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GH = """#!/bin/sh
printf '%s\\n' "$*" >> called
case "$*" in
  *--method*) cat comment.md > body.md ;;
  *) [ "$MARKER" = "" ] || echo 4711 ;;
esac
"""


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = YAML(typ="safe").load(path)["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_stands_in_a_script(path: Path) -> None:
    """GitHub fills an expression in before the shell reads the script. Its value would be code."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_branch_name_is_an_argument_of_make(path: Path) -> None:
    """It is given by the environment, as the Makefile reads it."""
    assert [step["run"] for step in steps(path) if "make " in step.get("run", "") and "$" in step["run"]] == []


@pytest.mark.parametrize("text", ["", "\nthe first line is empty\n", "<!-- another's -->\n", "x" * 100_000])
def test_the_comment_is_found_by_a_line_that_the_branch_does_not_write(text: str, tmp_path: Path) -> None:
    """Whatever the report's first line is, and of whatever size: one comment, ours, is written again."""
    [step] = [step for step in steps(ROOT / ".github/workflows/prompts.yml") if "gh api" in step.get("run", "")]
    (tmp_path / "prompt-report.md").write_text(text, encoding="utf-8")
    (tmp_path / "gh").write_text(GH, encoding="ascii")
    (tmp_path / "gh").chmod(0o755)
    fixed = {name: value for name, value in step["env"].items() if "${{" not in value}
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REPOSITORY": "a/b", "NUMBER": "1", "GH_TOKEN": "x", **fixed}
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    marker = fixed["MARKER"]
    assert marker.startswith("<!-- sameboat:")
    body = (tmp_path / "body.md").read_text(encoding="utf-8")
    assert body.startswith(f"{marker}\n")
    assert len(body) < 65_536
    assert "PATCH repos/a/b/issues/comments/4711" in (tmp_path / "called").read_text(encoding="utf-8")
