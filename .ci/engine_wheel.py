"""The compiled engine of a release, for a machine that has none yet. Only Python's standard library.

In: `.ci/engine.txt`, `uv.lock`, `pyproject.toml`, this CPU. Out: llama-cpp-python in the environment, or a reason to
compile it. `python3 .ci/engine_wheel.py make DIR` compiles the wheel for a release, and `... line WHEEL URL` prints its
line for `.ci/engine.txt`.
Not here: the other packages (`bootstrap.py`).

A wheel is known by its key: the version and the hash of the sources, and every option of the compiler. So a wheel of an
older release is used as long as nothing of that changes, and never after. The bytes must have the digest in the file,
which is part of the checkout. SAMEBOAT_ENGINE_WHEEL=off compiles in any case.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "llama-cpp-python"
MOST_BYTES = 64 << 20
TIMEOUT_S = 30
NEEDS = {  # of the portable kernels, as /proc/cpuinfo names them (pyproject.toml has the options)
    "x86_64": {"sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"},
    "aarch64": {"asimddp", "atomics"},
}
LOADS = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def source(lock: str) -> tuple[str, str]:
    """The version and the hash of the engine's sources in uv.lock."""
    entry = re.search(
        rf'\[\[package\]\]\nname = "{PACKAGE}"\nversion = "([^"]+)"\n.*?sdist = .*?"(sha256:\w+)"', lock, re.DOTALL
    )
    if entry is None:
        raise ValueError(f"uv.lock has no sources of {PACKAGE}.")
    return entry[1], entry[2]


def key(lock: str, project: str, machine: str) -> str:
    """Everything that decides the compiled bytes, as 16 hex digits."""
    section = re.search(
        rf"^\[tool\.uv\.config-settings-package\.{PACKAGE}\]\n(.*?)^\[", project, re.DOTALL | re.MULTILINE
    )
    if section is None:
        raise ValueError(f"pyproject.toml has no options for {PACKAGE}.")
    return hashlib.sha256("\n".join([*source(lock), section[1].strip(), machine]).encode()).hexdigest()[:16]


def pinned(pins: str, wanted: str) -> tuple[str, str] | None:
    """The digest and the URL of the line with this key."""
    for line in pins.splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 3 and words[0] == wanted:
            return words[1], words[2]
    return None


def lacking(machine: str, cpuinfo: str) -> set[str]:
    """Instructions that the wheel needs and this CPU lacks."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return NEEDS.get(machine, {machine}) - set(flags[1].split() if flags else [])


def fetch(url: str, digest: str, target: Path) -> None:
    """Download a file that the checkout pins.

    Raises ValueError if it is too large or has another digest, and OSError without an answer.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        data = response.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ValueError(f"it hashes to {found}, and .ci/engine.txt pins {digest}")
    target.write_bytes(data)


def install(uv: str, venv: Path, pins: Path, root: Path = ROOT) -> str | None:
    """Install the pinned wheel for this machine. Returns None, or the reason to compile instead."""
    machine = platform.machine()
    lock, project = ((root / name).read_text(encoding="utf-8") for name in ("uv.lock", "pyproject.toml"))
    if os.environ.get("SAMEBOAT_ENGINE_WHEEL") == "off":
        return "SAMEBOAT_ENGINE_WHEEL is off"
    line = pinned(pins.read_text(encoding="utf-8"), key(lock, project, machine)) if pins.exists() else None
    if platform.system() != "Linux" or line is None:
        return "no release has a compiled engine for this machine and these sources"
    lacks = lacking(machine, Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    if lacks:
        return f"this CPU lacks {', '.join(sorted(lacks))}"
    digest, url = line
    version = source(lock)[0]
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch(url, digest, Path(folder, url.rpartition("/")[2]))
        except (OSError, ValueError) as error:
            return f"the release's wheel cannot be used: {getattr(error, 'reason', None) or error}"
        if not (venv / "bin" / "python").exists():
            subprocess.run([uv, "venv", "--quiet", str(venv)], cwd=root, check=True)
        # By a folder of wheels and not by its path, so that `uv sync` takes it for the locked version.
        python = ["--quiet", "--python", str(venv)]
        subprocess.run([uv, "pip", "install", *python, "--no-deps", "--no-index", "--find-links", folder,
                        f"{PACKAGE}=={version}"], cwd=root, check=True)  # fmt: skip
    libraries = [*venv.glob("lib/python3*/site-packages/llama_cpp/lib/libllama.so")]
    loads = [subprocess.run([str(venv / "bin" / "python"), "-c", LOADS, str(library)], capture_output=True, text=True)
             for library in libraries]  # fmt: skip
    if len(loads) == 1 and loads[0].returncode == 0:
        return None
    subprocess.run([uv, "pip", "uninstall", *python, PACKAGE], cwd=root, check=True)
    last = loads[0].stderr.strip().splitlines()[-1:] if loads else ["it has no libllama.so"]
    return f"the release's wheel does not load here: {''.join(last)}"


def make(folder: Path) -> Path:
    """Compile the locked engine, with a cache of its own, and put the wheel into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "UV_CACHE_DIR": f"{scratch}/cache", "UV_PROJECT_ENVIRONMENT": f"{scratch}/venv"}
        environment.pop("SOURCE_DATE_EPOCH", None)  # it switches off ggml's SIMD defaults
        subprocess.run([str(ROOT / ".ci" / "uv"), "sync", "--locked", "--no-default-groups", "--extra", "local",
                        "--no-install-project"], cwd=ROOT, env=environment, check=True)  # fmt: skip
        [wheel] = Path(scratch, "cache").glob("sdists-v*/**/llama_cpp_python-*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


def main(arguments: list[str]) -> None:
    """`make DIR` or `line WHEEL URL`."""
    if arguments[:1] == ["make"] and len(arguments) == 2:
        print(make(Path(arguments[1])))
    elif arguments[:1] == ["line"] and len(arguments) == 3:
        wheel, url = Path(arguments[1]), arguments[2]
        lock, project = ((ROOT / name).read_text(encoding="utf-8") for name in ("uv.lock", "pyproject.toml"))
        machine = next(name for name in NEEDS if wheel.name.endswith(f"_{name}.whl"))
        print(key(lock, project, machine), hashlib.sha256(wheel.read_bytes()).hexdigest(), url)
    else:
        sys.exit("engine_wheel: make DIR, or line WHEEL URL")


if __name__ == "__main__":
    main(sys.argv[1:])
