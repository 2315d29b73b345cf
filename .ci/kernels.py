"""Compile llama.cpp's CPU kernels for newer instructions beside the portable ones: `.ci/kernels.py [best|all|NAME...]`.

In: the version and hash of llama-cpp-python in `uv.lock`, the names in `service/engine/local/kernels.py`.
Out: `llama_cpp/lib/kernels/NAME/libggml-cpu.so` in the environment of the Python that runs this.
`best` compiles the first set that this CPU announces. It announces AMX also where a hypervisor forbids it, so with
`amx` the next set is compiled too. Without cmake or network `best` compiles nothing and says so: the portable kernels
run everywhere. `all` compiles every set for this kind of machine. SAMEBOAT_KERNELS=portable turns `best` off.

The compiled libraries are kept in `~/.cache/sameboat/kernels`, for other checkouts. Needed: cmake, a C++ compiler.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.engine.local.kernels import KNOWN, LIBRARY, PORTABLE, Kernels, announced, folder  # noqa: E402

PACKAGE = "llama-cpp-python"
ALWAYS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_NATIVE": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


def source(into: Path) -> Path:
    """llama.cpp's source in this folder, from the file that `uv.lock` pins. Ends the program if its hash differs."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    sdist = next(entry for entry in lock["package"] if entry["name"] == PACKAGE)["sdist"]
    archive = into / "source.tar.gz"
    digest = hashlib.sha256()
    with urllib.request.urlopen(sdist["url"], timeout=60) as response, archive.open("wb") as file:
        while block := response.read(1 << 20):
            digest.update(block)
            file.write(block)
    if f"sha256:{digest.hexdigest()}" != sdist["hash"]:
        sys.exit(f"kernels: {sdist['url']} is not the file that uv.lock pins ({sdist['hash']}).")
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return next(into.glob("*/vendor/llama.cpp"))


def selected(names: list[str]) -> list[Kernels]:
    """The sets that these words of the command line mean. Ends the program for a name that is none."""
    here = [kernels for kernels in KNOWN if kernels.machine == platform.machine()]
    if names == ["all"]:
        return here
    if names == ["best"]:
        first = announced()
        return first[: 2 if first and first[0].name == "amx" else 1]
    known = {kernels.name: kernels for kernels in here}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"kernels: no kernels are called {unknown[0]!r} on this machine. There are: {', '.join(known)}.")
    return [known[name] for name in names]


def compile_one(source: Path, work: Path, kernels: Kernels) -> Path:
    """The compiled library of one set. Ends the program with the compiler's output if it fails."""
    settings = {**ALWAYS, **dict(kernels.defines)}
    build = work / f"build-{kernels.name}"
    for command in (
        ["cmake", "-S", str(source), "-B", str(build), *(f"-D{name}={value}" for name, value in settings.items())],
        ["cmake", "--build", str(build), "--target", "ggml-cpu", "--parallel", str(os.cpu_count() or 1)],
    ):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"{done.stdout}\nkernels: {kernels.name} could not be compiled.")
    return next(build.rglob(LIBRARY))


def install(library: Path, folder: Path) -> None:
    """Put the library into its folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{LIBRARY}.{os.getpid()}"
    shutil.copyfile(library, fresh)
    fresh.replace(folder / LIBRARY)


def without(reason: str, *, optional: bool) -> None:
    """Say why nothing is compiled. Ends the program with an error if it was asked for by name."""
    if not optional:
        sys.exit(f"kernels: {reason}.")
    print(f"sameboat: the engine uses its portable kernels only: {reason}", flush=True)


def main(names: list[str]) -> None:
    """Compile the sets that are missing, and keep them for other checkouts."""
    names = names or ["best"]
    optional = names == ["best"]
    compiled = folder()
    if compiled is None:
        sys.exit("kernels: llama_cpp is not installed here. Run: make setup")
    if optional and os.environ.get("SAMEBOAT_KERNELS") == PORTABLE:
        return
    missing = [kernels for kernels in selected(names) if not (compiled / kernels.name / LIBRARY).is_file()]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sameboat" / "kernels" / version(PACKAGE)
    for kernels in [kernels for kernels in missing if (kept / kernels.name / LIBRARY).is_file()]:
        install(kept / kernels.name / LIBRARY, compiled / kernels.name)
        missing.remove(kernels)
    if not missing:
        return
    if shutil.which("cmake") is None:
        without("no cmake here (Debian: apt-get install cmake)", optional=optional)
        return
    with tempfile.TemporaryDirectory() as work:
        try:
            tree = source(Path(work))
        except OSError as error:
            without(f"llama.cpp's source cannot be fetched ({error})", optional=optional)
            return
        for kernels in missing:
            print(
                f"sameboat: compiling the engine's {kernels.name} kernels (about 40 s on two cores, once)", flush=True
            )
            library = compile_one(tree, Path(work), kernels)
            install(library, kept / kernels.name)
            install(library, compiled / kernels.name)


if __name__ == "__main__":
    main(sys.argv[1:])
