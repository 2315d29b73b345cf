"""The command itself: quick, listed by help, one clear sentence and an exit code for a failure."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service import __version__, cli
from service.cli import renamed
from service.errors import SameboatError

ROOT = Path(__file__).resolve().parents[2]


def sameboat(*arguments: str, **environment: str) -> Result:
    """Run a command in this process, with the test's environment."""
    app = cli.register(list(arguments))
    return CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)


def test_the_entry_point_shows_the_version_and_imports_neither_engine_nor_service() -> None:
    """In a process of its own. Without heavy imports it is quick."""
    script = (
        "import sys; from service import cli; sys.argv[1:] = ['--version']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('llama_cpp', 'fastapi', 'numpy', 'httpx', 'pydantic') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert process.stdout.splitlines() == [f"sameboat {__version__}", "[]"], process.stderr


def test_an_interrupt_ends_a_command_with_130() -> None:
    """In a process of its own, which says when its command runs. A test run in the background may ignore SIGINT."""
    script = (
        "import signal, sys, time; from service import cli; from service.cli import build\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "build.read_brief = lambda file: (print('running', flush=True), time.sleep(60))\n"
        "sys.argv[1:] = ['build', 'submit', '-']\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def test_help_lists_every_command_without_importing_one() -> None:
    sys.modules.pop("service.cli.serve", None)
    result = sameboat("--help")
    assert result.exit_code == 0
    for name in (*cli.COMMANDS, *cli.GROUPS):
        assert f" {name} " in result.stdout
    assert "service.cli.serve" not in sys.modules


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cli.GROUPS])
def test_every_listed_command_is_there(name: str) -> None:
    module = importlib.import_module(f"service.cli.{name}")
    assert callable(module.command if name in cli.COMMANDS else module.app)


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    result = sameboat("modle", "list")
    assert result.exit_code == 2
    assert "No such command 'modle'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("run", "sender", "-i", "text=@nowhere.txt"), ("import", "nowhere.prompty")],
    ids=["input", "import"],
)
def test_a_missing_file_is_named(arguments: tuple[str, ...]) -> None:
    result = sameboat("prompt", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("sameboat: nowhere.")
    assert "cannot be read: No such file or directory" in result.stderr


def test_a_failure_is_one_sentence_and_no_traceback() -> None:
    result = sameboat("model", "pull", "smolm2-135m-instruct")
    assert result.exit_code == 1
    assert result.stderr.startswith("sameboat: No model is called 'smolm2-135m-instruct'")
    assert "Did you mean 'smollm2-135m-instruct'?" in result.stderr


def test_an_old_option_works_and_names_its_replacement_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a space or an equals sign before the value. The second use of the same name warns no more."""
    monkeypatch.setattr(renamed, "_warned", set())
    result = sameboat("key", "new", "ada", "--requests", "60", "--tokens=9", "--json")
    assert result.exit_code == 0
    assert "requests=60" in result.stdout
    assert "tokens=9" in result.stdout
    assert result.stderr.splitlines() == [
        "sameboat: --requests is deprecated and will be removed in 0.3. Use --requests-per-minute.",
        "sameboat: --tokens is deprecated and will be removed in 0.3. Use --tokens-per-minute.",
    ]
    assert sameboat("key", "new", "ada", "--requests", "60").stderr == ""


def test_only_options_of_the_command_are_renamed() -> None:
    """Not the same word of another command, a value behind `--`, or a longer name."""
    words = ["build", "list", "--requests", "1"]
    assert renamed.with_current_names(words) == words
    words = ["key", "new", "--requests-per-minute", "1", "--", "--requests"]
    assert renamed.with_current_names(words) == words


@pytest.mark.parametrize("command", sorted(renamed.OPTIONS))
def test_every_replacement_is_an_option_of_its_command_and_is_documented(command: str) -> None:
    words = [command, "new"] if command in cli.GROUPS else [command]
    usage = sameboat(*words, "--help", COLUMNS="200").stdout
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    for old, new in renamed.OPTIONS[command].items():
        assert new in usage
        assert f"{old} " not in usage
        assert f"`{old}` | `{new}`" in page


def test_an_error_that_is_not_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only SameboatError is a sentence. A fault of the program must be seen."""
    from service.cli import version

    monkeypatch.setattr(version, "Library", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        sameboat("version", "--digests")
    assert not issubclass(ZeroDivisionError, SameboatError)
