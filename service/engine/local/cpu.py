"""The CPU features that the compiled engine needs, and those that this CPU lacks. It neither imports nor runs the
engine.

In: /proc/cpuinfo on x86-64, the kernel's auxiliary vector on arm64. (An emulator fills in the vector for the emulated
CPU, but /proc/cpuinfo stays the host's.) Out: names as in /proc/cpuinfo, and a sentence.

It explains a failure and forbids nothing. An engine that was compiled with other flags (pyproject.toml) may run on a
CPU that lacks features of `NEEDED`.
"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

NEEDED = {
    "x86_64": frozenset({"avx2", "fma", "f16c", "bmi2"}),  # x86-64-v3
    "aarch64": frozenset({"crc32", "atomics", "asimdrdm", "asimddp"}),  # armv8.2-a with dot products
}
"""By `platform.machine()`: the features that pyproject.toml compiles llama.cpp for."""

AT_HWCAP = 16  # linux/auxvec.h
HWCAP = {"crc32": 1 << 7, "atomics": 1 << 8, "asimdrdm": 1 << 12, "asimddp": 1 << 20}  # arm64's asm/hwcap.h

REMEDY = "Change the GGML_* lines in pyproject.toml and build it again: make setup, or make image."


def missing() -> frozenset[str]:
    """Needed features that this CPU lacks. Empty if they cannot be read."""
    machine = platform.machine()
    needed = NEEDED.get(machine, frozenset())
    there = {"x86_64": from_cpuinfo, "aarch64": from_kernel}.get(machine, lambda: None)()
    return frozenset() if there is None else needed - there


def lacks(names: frozenset[str]) -> str:
    """A sentence about the result of `missing`."""
    return f"this CPU lacks {', '.join(sorted(names))}, which the engine is compiled to use"


def illegal() -> str:
    """Why a process of the engine ended with SIGILL."""
    names = missing()
    return lacks(names) if names else "the engine is compiled to use instructions that this CPU does not have"


def from_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> set[str] | None:
    """Features of an x86 CPU. None if they cannot be read."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)


def from_kernel() -> set[str] | None:
    """The features of `HWCAP` that the kernel reports on arm64. None if the C library cannot tell."""
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):
        return None
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    bits = int(getauxval(AT_HWCAP))
    return {name for name, bit in HWCAP.items() if bits & bit}
