"""Compile llama.cpp's faster kernels beside the portable ones: `.ci/kernels.py [best|all|NAME...]`.

In: the version and hash of llama-cpp-python in `uv.lock`, the names of kernels (`service/engine/local/kernels.py`).
Out: `llama_cpp/lib/kernels/NAME/libggml-cpu.so`, and `libggml-cuda.so` or `libggml-vulkan.so`, in the environment of
the Python that runs this.
`best` compiles the first set that this CPU announces. It announces AMX also where a hypervisor forbids it, so with
`amx` the next set is compiled too. It compiles a backend where a GPU and its compiler are. Without cmake or network
`best` compiles nothing and says so: the portable kernels run everywhere. SAMEBOAT_KERNELS=portable and SAMEBOAT_DEVICE
turn parts of `best` off. `all` compiles every set for this kind of CPU, and no backend.

CUDA is compiled for the GPUs that are here, else for those that the variable CUDAARCHS names, else for usual ones.
The compiled libraries are kept in `~/.cache/sameboat/kernels`, for other checkouts, by everything that decides them.
llama.cpp has no fast products for Q8_0, Q4_K and Q6_K on x86, and its attention reads keys and values once for each
query head. So `q8_0_avx512.h`, `k_quants_avx512.h` and `attention_avx512.h` are included in its source before it is
compiled.
Needed: cmake, a C++ compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.engine.local import device_setup, devices  # noqa: E402
from service.engine.local.kernels import KNOWN, LIBRARY, PORTABLE, announced, folder  # noqa: E402

PACKAGE = "llama-cpp-python"
CPU_TARGET = LIBRARY.removeprefix("lib").removesuffix(".so")
ALWAYS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
    # The linker looks beside the wheel's libraries and a toolkit's. The folder of the build is gone, and anyone may
    # make it again.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN/../..",
    "CMAKE_INSTALL_RPATH_USE_LINK_PATH": "ON",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_NATIVE": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


@dataclass(frozen=True)
class Amendment:
    """A line that a file of a library's source has once, and what goes before and behind it."""

    file: str
    line: str
    before: str = ""
    behind: str = ""


HEADERS = tuple(ROOT / ".ci" / f"{name}_avx512.h" for name in ("q8_0", "k_quants", "attention"))
CPU_AMENDMENTS = (
    Amendment(
        "repack.cpp",
        "class tensor_traits_base : public ggml::cpu::tensor_traits {\n",
        before='}  // namespace ggml::cpu::repack\n#include "q8_0_avx512.h"\n#include "k_quants_avx512.h"\n'
        "namespace ggml::cpu::repack {\n\n",
    ),
    Amendment(
        "repack.cpp",
        "        for (int iter = nrows - (nrows % 4); iter < nrows; iter++) {\n",
        before="#ifdef SAMEBOAT_Q8_0\n"
        "        if constexpr (INTER_SIZE == 8 && NB_COLS == 16) {\n"
        "            if (const int64_t left = nrows % 4) {\n"
        "                const int64_t at = nrows - left;\n"
        "                rest<BLOC_TYPE>(ne00, (float *) (dst_ptr + at * nb1) + src0_start, nb1 / nb0,\n"
        "                                src0_ptr + src0_start * nb01, src1_ptr + src1_col_stride * at, left, ncols);\n"
        "            }\n"
        "            return;\n"
        "        }\n"
        "#endif\n",
    ),
    *(
        Amendment(
            "repack.cpp",
            f"}} else if (cur->type == GGML_TYPE_{name.upper()}) {{\n",
            behind="#ifdef SAMEBOAT_K_QUANTS\n"
            f"        static const ggml::cpu::repack::tensor_traits<block_{name}, 8, 16, GGML_TYPE_Q8_K> own;\n"
            "        if (cur->ne[1] % 16 == 0) { return &own; }\n"
            "#endif\n",
        )
        for name in ("q4_K", "q6_K")
    ),
    Amendment(
        "repack.cpp",
        "} else if (cur->type == GGML_TYPE_Q8_0) {\n",
        behind="#ifdef SAMEBOAT_Q8_0\n"
        "        static const ggml::cpu::repack::tensor_traits<block_q8_0, 8, 16, GGML_TYPE_Q8_0> q8_0_avx512;\n"
        "        if (cur->ne[1] % 16 == 0) { return &q8_0_avx512; }\n"
        "#endif\n",
    ),
    Amendment(
        "ops.cpp",
        "static void ggml_compute_forward_flash_attn_ext_f16_one_chunk(\n",
        before='#include "attention_avx512.h"\n\n',
    ),
    Amendment(
        "ops.cpp",
        "    // When use_ref is set, force the vec-only reference implementation (no tiling, no KV-chunking)\n",
        before="#ifdef SAMEBOAT_ATTENTION\n"
        "    const auto split = sameboat_attention_split_of(dst, nth);\n"
        "    if (split.pieces && !params->use_ref) {\n"
        "        if (ith == 0) { ggml_threadpool_chunk_set(params->threadpool, nth); }\n"
        "        ggml_barrier(params->threadpool);\n"
        "        for (int piece = ith; piece < split.pieces; "
        "piece = ggml_threadpool_chunk_add(params->threadpool, 1)) {\n"
        "            sameboat_attention_compute(split, dst, piece);\n"
        "        }\n"
        "        return;\n"
        "    }\n"
        "#endif\n",
    ),
)
# Only for its validation layer does llama.cpp ask for a newer extension than the headers of Debian 12 have.
VULKAN_INSTANCE = (
    "    vk::InstanceCreateInfo instance_create_info(vk::InstanceCreateFlags{}, &app_info, layers, extensions"
)
VULKAN_AMENDMENTS = (
    Amendment(
        "ggml-vulkan.cpp",
        "    std::vector<vk::LayerSettingEXT> settings = {\n",
        before="#ifdef VK_EXT_layer_settings\n",
    ),
    Amendment(
        "ggml-vulkan.cpp",
        f"{VULKAN_INSTANCE}, &layer_setting_info);\n",
        behind=f"#else\n{VULKAN_INSTANCE});\n#endif\n",
    ),
)
AMENDMENTS = {CPU_TARGET: CPU_AMENDMENTS, "ggml-vulkan": VULKAN_AMENDMENTS}
"""By library, which is also its folder in llama.cpp's source."""
BACKEND = {"GGML_BACKEND_DL": "ON", "GGML_CPU": "OFF"}
BACKENDS = {
    # Without flash attention, which the recipe does not use: it is two thirds of the files.
    "cuda": {**BACKEND, "GGML_CUDA": "ON", "GGML_CUDA_FA": "OFF", "GGML_CUDA_NCCL": "OFF", "GGML_CUDA_GRAPHS": "ON"},
    "vulkan": {**BACKEND, "GGML_VULKAN": "ON"},
}
USUAL = {"cpu": "about 40 s on two cores", "cuda": "3 minutes on 16 cores", "vulkan": "3 minutes on two cores"}


def pinned() -> dict[str, Any]:
    """The entry of `uv.lock` for llama.cpp's source: URL and hash."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    sdist: dict[str, Any] = next(entry for entry in lock["package"] if entry["name"] == PACKAGE)["sdist"]
    return sdist


@dataclass(frozen=True)
class Part:
    """One library: the folder that it goes to, its CMake target, and the settings that compile it."""

    name: str
    target: str
    defines: tuple[tuple[str, str], ...]
    compiler: str = ""  # the version of a toolkit, whose libraries it is linked to

    @property
    def file(self) -> str:
        """The library's file name."""
        return f"lib{self.target}.so"

    @cached_property
    def key(self) -> str:
        """A digest of everything that decides the library: the source, the settings, the toolkit."""
        decides = [pinned()["hash"], sorted({**ALWAYS, **dict(self.defines)}.items()), self.compiler]
        if self.target == CPU_TARGET:
            decides += [header.read_text(encoding="utf-8") for header in HEADERS]
        decides += [asdict(line) for line in AMENDMENTS.get(self.target, ())]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]

    def is_in(self, folder: Path) -> bool:
        """Whether this folder holds this library, compiled with these settings."""
        key = folder / "key"
        return (folder / self.file).is_file() and key.is_file() and key.read_text(encoding="ascii") == self.key

    def install(self, library: Path, folder: Path) -> None:
        """Put the library and its key into a folder. A library without its key is compiled again."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key").unlink(missing_ok=True)
        fresh = folder / f".{self.file}.{os.getpid()}"
        shutil.copyfile(library, fresh)
        fresh.replace(folder / self.file)
        (folder / "key").write_text(self.key, encoding="ascii")


def backend(name: str) -> Part:
    """The part of a device's backend."""
    defines, compiler = dict(BACKENDS[name]), ""
    if name == "cuda":
        nvcc = device_setup.nvcc()
        if nvcc is not None:
            defines["CMAKE_CUDA_COMPILER"] = nvcc
            toolkits = (Path(nvcc).resolve().parents[1] / "lib64", Path("/usr/local/cuda/lib64"))
            found = [str(folder) for folder in toolkits if (folder / "libcublas.so").exists()]
            defines["CMAKE_INSTALL_RPATH"] = ";".join([ALWAYS["CMAKE_INSTALL_RPATH"], *found[:1]])
            compiler = _version(nvcc)
        if architectures := os.environ.get("CUDAARCHS") or seen_architectures():
            defines["CMAKE_CUDA_ARCHITECTURES"] = architectures
    if name == "vulkan" and (glslc := device_setup.glslc()) is not None:
        compiler = _version(glslc)  # it decides the extensions that the shaders use
    return Part(name, f"ggml-{name}", tuple(defines.items()), compiler)


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout


def seen_architectures() -> str:
    """The GPUs' compute capabilities as CMake writes them: 90 for 9.0. Empty where NVIDIA's driver tells none."""
    if shutil.which("nvidia-smi") is None:
        return "native" if device_setup.has_gpu("cuda") else ""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.split()
    return ";".join(sorted({line.replace(".", "") for line in lines if line.replace(".", "").isdigit()}))


def source(into: Path) -> Path:
    """llama.cpp's source in this folder, from the file that `uv.lock` pins. Ends the program if its hash differs."""
    sdist = pinned()
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
    tree = next(into.glob("*/vendor/llama.cpp"))
    amend(tree)
    return tree


def amend(tree: Path) -> None:
    """Change llama.cpp's source by `AMENDMENTS`. Ends the program if it lacks a line that they are made for."""
    for library, amendments in AMENDMENTS.items():
        for amendment in amendments:
            path = tree / "ggml/src" / library / amendment.file
            text = path.read_text(encoding="utf-8")
            if (count := text.count(amendment.line)) != 1:
                sys.exit(
                    f"kernels: {amendment.file} has {count} lines like {amendment.line.strip()!r}, and one is needed."
                )
            amended = amendment.before + amendment.line + amendment.behind
            path.write_text(text.replace(amendment.line, amended), encoding="utf-8")
    for header in HEADERS:
        shutil.copy(header, tree / "ggml/src" / CPU_TARGET)


def selected(names: list[str]) -> list[Part]:
    """The parts that these words of the command line mean. Ends the program for a name that is none."""
    known = {
        kernels.name: Part(kernels.name, CPU_TARGET, kernels.defines)
        for kernels in KNOWN
        if kernels.machine == platform.machine()
    }
    if names == ["all"]:
        return list(known.values())
    if names == ["best"]:
        return best(known)
    unknown = [name for name in names if name not in known and name not in BACKENDS]
    if unknown:
        there = ", ".join([*known, *BACKENDS])
        sys.exit(f"kernels: no kernels are called {unknown[0]!r} on this machine. There are: {there}.")
    return [known[name] if name in known else backend(name) for name in names]


def best(known: dict[str, Part]) -> list[Part]:
    """The best kernels for this CPU, and one backend if a GPU and its compiler are here."""
    parts = []
    if os.environ.get("SAMEBOAT_KERNELS") != PORTABLE:
        first = announced()
        parts = [known[kernels.name] for kernels in first[: 2 if first and first[0].name == "amx" else 1]]
    wanted = os.environ.get("SAMEBOAT_DEVICE") or devices.AUTO
    for name in BACKENDS:
        if wanted in (devices.AUTO, name) and device_setup.lack(name) is None:
            return [*parts, backend(name)]
    return parts


def compile_one(source: Path, work: Path, part: Part) -> Path | None:
    """The compiled library of one part. None, with the compiler's output on stderr, if it fails."""
    settings = {**ALWAYS, **dict(part.defines)}
    build = work / f"build-{part.name}"
    for command in (
        ["cmake", "-S", str(source), "-B", str(build), *(f"-D{name}={value}" for name, value in settings.items())],
        ["cmake", "--build", str(build), "--target", part.target, "--parallel", str(os.cpu_count() or 1)],
    ):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.stderr.write(done.stdout)
            return None
    return next(build.rglob(part.file))


def without(reason: str, *, optional: bool) -> None:
    """Say why nothing is compiled. Ends the program with an error if it was asked for by name."""
    if not optional:
        sys.exit(f"kernels: {reason}.")
    print(f"sameboat: the engine uses its portable kernels only: {reason}", flush=True)


def main(names: list[str]) -> None:
    """Compile the parts that are missing, and keep them for other checkouts."""
    names = names or ["best"]
    optional = names == ["best"]
    compiled = folder()
    if compiled is None:
        sys.exit("kernels: llama_cpp is not installed here. Run: make setup")
    missing = [part for part in selected(names) if not part.is_in(compiled / part.name)]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sameboat" / "kernels"
    for part in list(missing):
        if part.is_in(kept / f"{part.name}-{part.key}"):
            part.install(kept / f"{part.name}-{part.key}" / part.file, compiled / part.name)
            missing.remove(part)
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
        for part in missing:
            usual = USUAL.get(part.name, USUAL["cpu"])
            print(f"sameboat: compiling the engine's {part.name} kernels ({usual}, once)", flush=True)
            library = compile_one(tree, Path(work), part)
            if library is None:
                without(f"{part.name} could not be compiled, see above", optional=optional)
                continue
            part.install(library, kept / f"{part.name}-{part.key}")
            part.install(library, compiled / part.name)


if __name__ == "__main__":
    main(sys.argv[1:])
