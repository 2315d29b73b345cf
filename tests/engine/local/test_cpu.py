"""A CPU without the instructions that the engine is compiled to use is told by name, and not tried three times."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.engine.local import cpu
from service.engine.types import Health
from service.errors import EngineUnavailable
from tests.engine.local.conftest import ask, running

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_needed_is_what_is_compiled() -> None:
    """x86-64: each feature named has its flag on. arm64: the architecture that the features belong to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    flags = project["tool"]["uv"]["config-settings-package"]["llama-cpp-python"]
    assert flags["cmake.define.GGML_NATIVE"] == "OFF"
    assert {flags[f"cmake.define.GGML_{name.upper()}"] for name in cpu.NEEDED["x86_64"]} == {"ON"}
    assert flags["cmake.define.GGML_CPU_ARM_ARCH"] == "armv8.2-a+dotprod"
    assert set(cpu.HWCAP) == cpu.NEEDED["aarch64"]


def test_this_cpu_lacks_nothing() -> None:
    """The features of this CPU are read, since the engine's other tests run on it."""
    if platform.machine() not in cpu.NEEDED:
        pytest.skip(f"nothing is known of {platform.machine()}")
    assert cpu.missing() == frozenset()


def test_cpuinfo_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    assert cpu.from_cpuinfo(path) is None
    path.write_text("processor\t: 0\nflags\t\t: fpu avx sse4_2 f16c\n", encoding="ascii")
    assert cpu.from_cpuinfo(path) == {"fpu", "avx", "sse4_2", "f16c"}
    path.write_text("processor\t: 0\nFeatures\t: fp asimd\n", encoding="ascii")
    assert cpu.from_cpuinfo(path) is None


@pytest.mark.parametrize(
    ("bits", "lacking"),
    [
        (0x0011_9FFB, set()),  # Cortex-A76 and Neoverse N1, as QEMU plays them
        (0x0000_08FB, {"asimddp", "asimdrdm", "atomics"}),  # Cortex-A72, likewise
    ],
)
def test_an_arm_cpu_is_known_by_the_kernels_bits(monkeypatch: pytest.MonkeyPatch, bits: int, lacking: set[str]) -> None:
    def getauxval(kind: int) -> int:
        assert kind == cpu.AT_HWCAP
        return bits

    monkeypatch.setattr(cpu.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: SimpleNamespace(getauxval=getauxval))
    assert cpu.missing() == lacking
    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: object())  # a C library without getauxval
    assert cpu.missing() == frozenset()


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (frozenset({"asimddp", "atomics"}), "this CPU lacks asimddp, atomics, which the engine is compiled to use"),
        (frozenset(), "the engine is compiled to use instructions that this CPU does not have"),
    ],
)
def test_the_reason_names_what_the_cpu_lacks(
    monkeypatch: pytest.MonkeyPatch, lacking: frozenset[str], reason: str
) -> None:
    """The supervisor ends with that reason: `test_kernels.py`."""
    monkeypatch.setattr(cpu, "missing", lambda: lacking)
    assert cpu.illegal() == reason


@pytest.mark.model
def test_an_illegal_instruction_ends_it_once_with_the_reason(monkeypatch: pytest.MonkeyPatch, starter: Path) -> None:
    """A real worker gets the signal of such a CPU, once. Every waiting caller gets the reason."""
    monkeypatch.setattr(cpu, "missing", lambda: frozenset({"asimddp", "atomics"}))

    async def end() -> tuple[str, Health]:
        async with running(parallel=1) as engine:
            stream = engine.stream(ask("Tell a long story.", tokens=400))
            await anext(stream)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGILL)
            with pytest.raises(EngineUnavailable) as raised:
                async for _ in stream:
                    pass
            return str(raised.value), engine.health()

    reason, health = asyncio.run(end())
    assert reason == health.reason == f"The engine cannot run here: {cpu.illegal()}. {cpu.REMEDY}"
    assert (health.state, health.restarts) == ("failed", 0)
