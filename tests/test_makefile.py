"""Arguments of `make` are data: neither make nor a shell runs anything in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
GIVEN = re.findall(r"\w+", next(line for line in TEXT.splitlines() if line.startswith("GIVEN :=")).partition("=")[2])
USED = {  # of each variable, a target that reads it
    "ARGS": "bench", "BASE": "prompt-report", "JUPYTER_ARGS": "notebook", "OUT": "prompt-report", "PYTEST_ARGS": "test",
    "TARGET": "image", "URL": "smoke", "UV_PROJECT_ENVIRONMENT": "models",
}  # fmt: skip
PAYLOADS = [
    "$(shell touch ran)", "$$(touch ran)", "$(eval $(shell touch ran))", "`touch ran`", "x; touch ran",
    "x' ; touch ran; '", 'x" ; touch ran; "', "x && touch ran", "x | touch ran", "x > ran", "x\ntouch ran",
]  # fmt: skip


def stubs(folder: Path) -> Path:
    """Programs that write down their arguments."""
    bin_ = folder / "bin"
    bin_.mkdir(parents=True)
    for name in ("sameboat", "python", "jupyter", "python3", ".ci-image"):
        program = bin_ / name
        program.write_text('#!/bin/sh\nprintf "%s\\0" "$PYTEST_ADDOPTS" "$@" >> "$STUBS/called"\n', encoding="ascii")
        program.chmod(0o755)
    return bin_


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_is_given_runs(payload: str, tmp_path: Path) -> None:
    """On the command line and in the environment. The program gets the same text, split into words at most."""
    stub = stubs(tmp_path / "venv")
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "image").symlink_to(stub / ".ci-image")
    (tmp_path / "Makefile").write_text(TEXT, encoding="utf-8")
    environment = {"PATH": f"{stub}:/usr/bin:/bin", "STUBS": str(tmp_path)}
    for name, target in USED.items():
        there = {} if name == "UV_PROJECT_ENVIRONMENT" else {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
        for command, more in (([f"{name}={payload}"], {}), ([], {name: payload})):
            (tmp_path / "called").unlink(missing_ok=True)
            subprocess.run(["make", "-s", target, *command], cwd=tmp_path, env={**environment, **there, **more},
                           capture_output=True)  # fmt: skip
            assert not (tmp_path / "ran").exists(), (name, payload)
            if name in ("BASE", "OUT", "TARGET", "URL"):
                words = (tmp_path / "called").read_text(encoding="utf-8").split("\0")
                assert payload in words, (name, payload)


def test_every_variable_that_a_caller_may_give_is_data() -> None:
    """A recipe reads only these variables, make's own and those that this file sets."""
    read = set(re.findall(r"\$[({](\w+)[)}]", TEXT))
    own = set(re.findall(r"^(?:export )?(\w+) :=", TEXT, re.MULTILINE))
    assert read - own <= {"MAKEFILE_LIST", "name", "UV_PROJECT_ENVIRONMENT"}
    assert set(USED) <= set(GIVEN)
