"""A child process gets the needed variables of the environment, and imports nothing from the working directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from service import settings
from service.children import child_environment, python

SECRETS = ("SAMEBOAT_SECRET", "SAMEBOAT_FORGE_TOKEN", "SAMEBOAT_GITHUB_TOKEN", "SAMEBOAT_CALLBACK_SIGNING_KEY",
           "SAMEBOAT_REMOTE_API_KEY", "DATABASE_URL", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")  # fmt: skip


def test_no_setting_of_the_service_and_no_foreign_variable_reaches_a_child() -> None:
    ours = [f"SAMEBOAT_{name.upper()}" for name in settings.Settings.model_fields]
    source = dict.fromkeys((*SECRETS, *ours, "ROLE"), "hidden") | {
        "PATH": "/bin",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "2",
    }
    assert child_environment(source=source) == {
        "PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "PYTHONSAFEPATH": "1",
    }  # fmt: skip


def test_a_child_gets_what_it_names() -> None:
    source = {"HF_TOKEN": "a", "PIP_INDEX_URL": "b", "PIPX_HOME": "c", "DATABASE_URL": "d"}
    kept = child_environment("HF_TOKEN", prefixes=("PIP_",), source=source)
    assert kept == {"HF_TOKEN": "a", "PIP_INDEX_URL": "b", "PYTHONSAFEPATH": "1"}


def test_a_module_in_the_working_directory_is_not_imported_in_the_place_of_an_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor by the child's own children, which know nothing of `-P`."""
    (tmp_path / "json").mkdir()
    for place in ("socket.py", "json/__init__.py"):
        (tmp_path / place).write_text("raise SystemExit('foreign code')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    environment = child_environment()
    done = subprocess.run(python("json.tool", "--help"), env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "foreign" in done.stderr) == (0, False)
    plain = [word for word in python("socket") if word != "-P"]
    done = subprocess.run(plain, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "foreign" in done.stderr) == (0, False)
