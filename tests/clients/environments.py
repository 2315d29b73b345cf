"""The environments of the clients: Python ones from `python/*.txt`, and Node's from `node/package-lock.json`.

In: the locks. Out: programs that run, in folders that git ignores. uv links the packages from its cache.
`python -m tests.clients.environments` resolves the locks of Python again. In `node/`, `npm install --package-lock-only
--omit-lockfile-registry-resolved` does it.
Not here: the clients' work.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.servers import npm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
UV = ROOT / ".ci" / "uv"
FOLDER = ROOT / ".sameboat" / "clients"
LOCKS = HERE / "python"
NODE = HERE / "node"
PATIENCE_S = 600  # to fetch an environment, or to run a client


@cache
def python(lock: str) -> Path:
    """The interpreter of an environment with exactly the locked packages. Skips the test where that is not possible."""
    folder, source = FOLDER / lock, LOCKS / f"{lock}.txt"
    interpreter, installed = folder / "bin" / "python", folder / "installed.txt"
    if installed.exists() and filecmp.cmp(source, installed, shallow=False):
        return interpreter
    for words in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "sync", "--quiet", "--require-hashes", "--python", str(interpreter), str(source)],
    ):
        done = subprocess.run([str(UV), *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        if done.returncode:
            npm.absent(f"the clients' packages cannot be had: uv {words[0]}: {done.stderr.strip()[-300:]}")
    shutil.copy(source, installed)
    return interpreter


@cache
def node() -> Path:
    """The folder with the programs for Node and their locked packages. Skips the test where that is not possible."""
    return npm.installed(NODE, "clients")


def run(environment: str, program: str, given: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The lines that a client's program prints, as objects. Its process sees nothing of ours and nobody's key."""
    command, working = (
        (["node", program], node())
        if environment == "node"
        else ([str(python(environment)), str(HERE / "programs" / program)], folder)
    )
    variables = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_AGENTS_DISABLE_TRACING": "1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [*command, json.dumps(given)], cwd=working, env={**variables, **quiet, "HOME": str(folder)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def lock() -> None:
    """Resolve the locks of Python again, with the project's own week of patience."""
    for source in sorted(LOCKS.glob("*.in")):
        options = [
            "--upgrade",
            "--universal",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--python-version",
            "3.11",
        ]
        output = [
            "--python-version",
            "3.11",
            "--exclude-newer",
            "7 days",
            "--output-file",
            str(source.with_suffix(".txt")),
            str(source),
        ]
        subprocess.run([str(UV), "pip", "compile", "--quiet", *options, *output], check=True)


if __name__ == "__main__":
    lock()
