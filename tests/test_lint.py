"""`make lint` shows the checks of .pre-commit-config.yaml in its own form, and fails when one of them fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PASSED = "ruff format..............................................................Passed"
FAILED = "mypy.....Failed\n- hook id: mypy\n- exit code: 1\n\nservice/x.py:1: error: not a type\n"


def lint(folder: Path, words: str, code: int, advisories: int = 0) -> subprocess.CompletedProcess[str]:
    """The script beside a pre-commit that says `words` and exits with `code`."""
    (folder / ".ci").mkdir()
    for name in ("lint", "in-venv"):
        shutil.copy(ROOT / ".ci" / name, folder / ".ci" / name)
    programs = {".ci/audit": f"echo asked; exit {advisories}", "bin/pre-commit": f"cat <<'X'\n{words}\nX\nexit {code}"}
    for name, text in programs.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    environment = {"PATH": "/usr/bin:/bin", "UV_PROJECT_ENVIRONMENT": str(folder)}
    return subprocess.run(["bash", ".ci/lint"], cwd=folder, env=environment, capture_output=True, text=True)


def test_every_check_is_a_line(tmp_path: Path) -> None:
    done = lint(tmp_path, f"{PASSED}\nhadolint...(no files to check)Skipped", 0)
    assert done.stdout == "ok    ruff format\nok    hadolint\nok    advisories\n"
    assert done.returncode == 0


def test_a_failed_check_says_why_and_fails_the_run(tmp_path: Path) -> None:
    """The checks after it are shown too."""
    done = lint(tmp_path, f"{FAILED}\n{PASSED}", 1)
    lines = ["service/x.py:1: error: not a type", "FAIL  mypy", "ok    ruff format", "ok    advisories"]
    assert done.stdout.splitlines() == [*lines, "lint: 1 failed: mypy"]
    assert done.returncode == 1


@pytest.mark.parametrize(("code", "advisories", "failed"), [(3, 0, "pre-commit"), (0, 1, "advisories")])
def test_what_is_no_check_fails_the_run_too(code: int, advisories: int, failed: str, tmp_path: Path) -> None:
    """A list that cannot be read, and a known fault of a locked package. An unreachable database does not fail it."""
    done = lint(tmp_path, "An error has occurred: InvalidConfigError" if code else PASSED, code, advisories)
    assert done.returncode == 1
    assert done.stdout.endswith(f"lint: 1 failed: {failed}\n")


def test_advisories_that_cannot_be_asked_fail_nothing(tmp_path: Path) -> None:
    done = lint(tmp_path, PASSED, 0, 3)
    assert "SKIP  advisories: asked" in done.stdout
    assert done.returncode == 0
