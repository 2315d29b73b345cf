"""llama.cpp's CPU kernels: the portable library of the wheel, and faster ones for newer instructions beside it.

In: the libraries below `llama_cpp/lib/kernels/`, the CPU's features, a setting. Out: the names to try, the best first,
and the library that a worker loads. Not here: how the libraries are compiled (`.ci/kernels.py`), and the decision that
one does not run (`supervisor`). CPUs announce features that a hypervisor then forbids, so only a process that computes
knows.

Each library is ggml's `libggml-cpu`, compiled from the same source with other instructions. A worker loads one before
it imports llama_cpp. The dynamic linker then uses it for `libggml`, because it goes by the name inside the library
(ELF's SONAME, ld.so(8)). The portable one is never replaced, so its answers keep their bits.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from dataclasses import dataclass
from pathlib import Path

AUTO = "auto"
PORTABLE = "portable"
LIBRARY = "libggml-cpu.so"
X86_V3 = ("GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2")
AVX512 = (*X86_V3, "GGML_AVX512", "GGML_AVX512_VBMI", "GGML_AVX512_VNNI")


@dataclass(frozen=True)
class Kernels:
    """One set of kernels.

    `features` are the CPU features that it needs beside the portable ones, as Linux names them in /proc/cpuinfo.
    `defines` are the CMake settings that compile it.
    """

    name: str
    machine: str
    features: frozenset[str]
    defines: tuple[tuple[str, str], ...]


def _x86(name: str, features: str, *switches: str) -> Kernels:
    return Kernels(name, "x86_64", frozenset(features.split()), tuple((switch, "ON") for switch in switches))


def _arm(name: str, features: str, march: str) -> Kernels:
    return Kernels(name, "aarch64", frozenset(features.split()), (("GGML_CPU_ARM_ARCH", march),))


# The best first. The groups of features follow llama.cpp's own CPU variants (ggml/src/CMakeLists.txt).
KNOWN = (
    _x86(
        "amx",
        "avx512f avx512bw avx512vl avx512_vnni avx512vbmi avx512_bf16 amx_tile amx_int8",
        *AVX512,
        "GGML_AVX512_BF16",
        "GGML_AMX_TILE",
        "GGML_AMX_INT8",
    ),
    _x86(
        "avx512-bf16",
        "avx512f avx512bw avx512vl avx512_vnni avx512vbmi avx512_bf16",
        *AVX512,
        "GGML_AVX512_BF16",
    ),
    _x86("avx512-vnni", "avx512f avx512bw avx512vl avx512_vnni avx512vbmi", *AVX512),
    _x86("avx-vnni", "avx_vnni", *X86_V3, "GGML_AVX_VNNI"),
    _arm("sve", "asimddp fphp sve i8mm", "armv8.6-a+dotprod+fp16+sve+i8mm"),
    _arm("i8mm", "asimddp fphp i8mm", "armv8.6-a+dotprod+fp16+i8mm"),
)


def folder() -> Path | None:
    """The folder of the compiled kernels beside llama_cpp, or None where llama_cpp is not installed."""
    spec = importlib.util.find_spec("llama_cpp")
    return Path(spec.origin).parent / "lib" / "kernels" if spec is not None and spec.origin else None


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The features that the CPU announces. Empty where the system has no /proc/cpuinfo."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def announced(features: frozenset[str] | None = None, machine: str | None = None) -> list[Kernels]:
    """The kernels whose features this CPU announces, the best first. They may still not run."""
    features = cpu_features() if features is None else features
    machine = machine or platform.machine()
    return [kernels for kernels in KNOWN if kernels.machine == machine and kernels.features <= features]


def candidates(compiled: Path | None = None) -> list[str]:
    """Names of the kernels to try, the best first. The last one is always `portable`."""
    compiled = compiled or folder()
    if compiled is None:
        return [PORTABLE]
    return [kernels.name for kernels in announced() if (compiled / kernels.name / LIBRARY).is_file()] + [PORTABLE]


def choice(setting: str) -> tuple[str, ...]:
    """Names of the kernels that answers in `fast` mode may use, the best first. `setting` is SAMEBOAT_KERNELS."""
    return tuple(candidates()) if setting == AUTO else (setting,)


def load(name: str) -> None:
    """Load these kernels into this process, which has not imported llama_cpp yet. `portable` loads nothing.

    Raises:
        OSError: if a library is missing or is none for this machine.
    """
    if name == PORTABLE:
        return
    compiled = folder()
    if compiled is None:
        raise OSError("llama_cpp is not installed")
    library = compiled / name / LIBRARY
    if not library.is_file():
        raise OSError("they are not compiled here")
    ctypes.CDLL(str(compiled.parent / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
