"""What the compiled engine asks of the CPU, and what of it this one lacks. It neither imports nor runs the engine.

What comes in: /proc/cpuinfo on x86-64, the kernel's auxiliary vector on arm64 (which an emulator fills in for the CPU
that it plays, while /proc/cpuinfo stays the host's). What goes out: names as /proc/cpuinfo writes them, and a sentence.

It explains, it does not forbid: who compiles with other flags (pyproject.toml) may run where `NEEDED` is not met.
"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

NEEDED = {
    "x86_64": frozenset({"avx2", "fma", "f16c", "bmi2"}),  # x86-64-v3
    "aarch64": frozenset({"crc32", "atomics", "asimdrdm", "asimddp"}),  # armv8.2-a with dot products
}
"""By `platform.machine()`: what pyproject.toml has llama.cpp compiled for."""

AT_HWCAP = 16  # linux/auxvec.h
HWCAP = {"crc32": 1 << 7, "atomics": 1 << 8, "asimdrdm": 1 << 12, "asimddp": 1 << 20}  # arm64's asm/hwcap.h

REMEDY = "Change the GGML_* lines in pyproject.toml and build it again: make setup, or make image."


def missing() -> frozenset[str]:
    """What is needed and not there; empty where it cannot be known, since then only running it will tell."""
    machine = platform.machine()
    needed = NEEDED.get(machine, frozenset())
    there = {"x86_64": from_cpuinfo, "aarch64": from_kernel}.get(machine, lambda: None)()
    return frozenset() if there is None else needed - there


def lacks(names: frozenset[str]) -> str:
    """The sentence for what `missing` found."""
    return f"this CPU lacks {', '.join(sorted(names))}, which the engine is compiled to use"


def illegal() -> str:
    """Why a process of the engine ended with SIGILL."""
    names = missing()
    return lacks(names) if names else "the engine is compiled to use instructions that this CPU does not have"


def from_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> set[str] | None:
    """An x86 CPU's features; None where they cannot be read."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)


def from_kernel() -> set[str] | None:
    """Those of `HWCAP` that the kernel says this arm64 CPU has; None where the C library does not tell."""
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):
        return None
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    bits = int(getauxval(AT_HWCAP))
    return {name for name, bit in HWCAP.items() if bits & bit}
