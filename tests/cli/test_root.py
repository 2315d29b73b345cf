"""The command itself: quick, listed by help, one clear sentence and an exit code when something fails."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from service import __version__, cli


def sameboat(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with the test's environment."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_version_needs_neither_engine_nor_service() -> None:
    """What makes it quick: nothing heavy is imported."""
    script = (
        "import sys; from service import cli\n"
        "try: cli.register(['--version'])(['--version'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('llama_cpp', 'fastapi', 'numpy', 'httpx', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == [f"sameboat {__version__}", "[]"], done.stderr


def test_help_lists_every_command_without_importing_one() -> None:
    done = sameboat("--help")
    assert done.returncode == 0
    for name in (*cli.COMMANDS, *cli.GROUPS):
        assert f" {name} " in done.stdout
    check = "import sys; from service import cli; cli.register([]); print('service.cli.serve' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cli.GROUPS])
def test_every_listed_command_is_there(name: str) -> None:
    module = importlib.import_module(f"service.cli.{name}")
    assert callable(module.command if name in cli.COMMANDS else module.app)


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    done = sameboat("modle", "list")
    assert done.returncode == 2
    assert "No such command 'modle'" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("run", "sender", "-i", "text=@nowhere.txt"), ("import", "nowhere.prompty")],
    ids=["input", "import"],
)
def test_a_file_that_is_not_there_is_told_by_its_name(arguments: tuple[str, ...]) -> None:
    done = sameboat("prompt", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("sameboat: nowhere.")
    assert "cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_is_one_sentence_and_no_traceback() -> None:
    done = sameboat("model", "pull", "smolm2-135m-instruct")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("sameboat: No model is called 'smolm2-135m-instruct'")
    assert "Did you mean 'smollm2-135m-instruct'?" in done.stderr
