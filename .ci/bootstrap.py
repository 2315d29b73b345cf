"""Set up the environment with nothing but Python's standard library: `python3 .ci/bootstrap.py [uv sync arguments]`.

In: a `python3` (3.9 or newer), a C and C++ compiler, the package index that pip is configured for.
Out: `.tools/` with the pinned uv (its hashes are in `.ci/uv.txt`) and `.venv/` as `uv.lock` pins it. Each long step is
announced with its usual duration, and a progress bar moves meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import engine_wheel

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")  # the workspace's container keeps it outside
TOOLS = ROOT / ".tools"
PINS = ROOT / ".ci" / "uv.txt"
COMPILE_S, INSTALL_S = 110, 10  # measured on two cores, as scales of the progress bar


def stop(problem: str, remedy: str) -> None:
    """End with one clear sentence and its remedy."""
    sys.exit(f"sameboat: {problem}\n          {remedy}")


def uv_version() -> str:
    """The version that `.ci/uv.txt` pins."""
    return PINS.read_text(encoding="utf-8").split("==")[1].split()[0]


def uv() -> str:
    """The pinned uv: the one in `.tools/`, else one on PATH of the same version, else fetched and hash-checked."""
    wanted = uv_version()
    local = TOOLS / wanted / "bin" / "uv"
    if local.exists():
        return str(local)
    on_path = shutil.which("uv")
    if on_path:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True).stdout.split()
        if said[1:2] == [wanted]:
            return on_path
    print(f"sameboat: fetching uv {wanted} into .tools/ (a few seconds)", flush=True)
    target = TOOLS / wanted
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade",
         "--only-binary=:all:", "--require-hashes", "--target", str(target), "-r", str(PINS)],
        capture_output=True, text=True,
    )  # fmt: skip
    if not local.exists():
        stop(
            "uv could not be fetched. " + (done.stderr.strip().splitlines() or ["pip said nothing"])[-1],
            f"Install uv {wanted} by hand, or give this python3 pip (Debian: apt-get install python3-pip).",
        )
    return str(local)


def compiler() -> None:
    """Stop early, in words, when the engine could not be compiled."""
    for names, variable in ((("cc", "gcc", "clang"), "CC"), (("c++", "g++", "clang++"), "CXX")):
        if not os.environ.get(variable) and not any(map(shutil.which, names)):
            stop(
                f"no {'C++' if variable == 'CXX' else 'C'} compiler found, and the engine is compiled once.",
                "Debian, Ubuntu: apt-get install build-essential. macOS: xcode-select --install.",
            )


def compiled_before(uv: str) -> bool:
    """Whether uv's cache holds a compiled engine, perhaps of an older lock. Then no release's wheel is fetched."""
    cache = subprocess.run([uv, "cache", "dir"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return bool(cache) and any(Path(cache).glob("sdists-v*/**/llama_cpp_python-*.whl"))


class Alive:
    """A line that moves while a long step runs: a bar against the expected time, or on a log one line per 20 s."""

    def __init__(self, what: str, expected_s: float) -> None:
        self.what, self.expected_s, self.started = what, expected_s, time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        terminal = sys.stdout.isatty()
        while not self.over.wait(0.5 if terminal else 20):
            passed = time.monotonic() - self.started
            share = 1 - 0.5 ** (2 * passed / self.expected_s)  # never reaches the end before the step does
            slow = " (slower than usual, and still at it)" if passed > 2 * self.expected_s else ""
            line = f"sameboat: {self.what} [{'#' * int(30 * share):30}] {passed:3.0f} s{slow}"
            print("\r" + line if terminal else line, end="" if terminal else "\n", flush=True)

    def __enter__(self) -> Alive:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        if sys.stdout.isatty():
            print("\r" + " " * 100 + "\r", end="", flush=True)


def main(arguments: list[str]) -> None:
    """Install in `.venv` exactly the locked packages."""
    sync = [uv(), "sync", "--locked", "--inexact", *arguments]
    first = not any(VENV.glob("lib/python3*/site-packages/llama_cpp/lib"))
    environment = {**os.environ, "UV_NO_PROGRESS": "1"}
    environment.pop("SOURCE_DATE_EPOCH", None)  # it switches off ggml's SIMD defaults
    if not first:
        done = subprocess.run([*sync, "--quiet"], cwd=ROOT, env=environment)
        sys.exit(done.returncode)
    print(f"sameboat: setting up {VENV.name} from uv.lock.", end=" ")
    wants_engine = not {"--only-group", "--no-default-groups"} & set(arguments) or "local" in arguments
    before = compiled_before(sync[0])
    reason = engine_wheel.install(sync[0], VENV, ROOT / ".ci" / "engine.txt") if wants_engine and not before else None
    if not wants_engine:
        what, expected_s = "installing", INSTALL_S
        print(flush=True)
    elif not before and reason is None:
        what, expected_s = "installing", INSTALL_S
        print("The engine is the release's compiled one, verified by its digest.", flush=True)
    elif before:
        what, expected_s = "installing", INSTALL_S
        print("The engine was compiled here before, so this takes seconds.", flush=True)
    else:
        compiler()
        what, expected_s = "installing and compiling", COMPILE_S
        print(
            f"The first time this compiles llama.cpp ({reason}):\n"
            "          about 2 minutes on two cores, once; uv keeps the result for every later checkout.",
            flush=True,
        )
    with tempfile.TemporaryFile("w+") as log, Alive(what, expected_s):
        done = subprocess.run(sync, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        text = log.read()
    if done.returncode:
        sys.exit(text + "\nsameboat: the environment could not be set up; uv's words are above.")
    print("sameboat: the environment is ready", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
