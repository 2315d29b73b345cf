"""Fast answers come from a GPU where one runs here, and from the CPU, with the reason, where none does."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service import doctor, resources
from service import settings as settings_module
from service.engine.local import device_setup, devices, kernels, recipe
from service.engine.local.client import LocalEngine
from service.engine.local.device_setup import Lack
from service.engine.local.devices import Device
from service.engine.local.mode_router import ModeRouter
from service.engine.pool import Engines
from service.engine.types import Request
from service.errors import EngineUnavailable
from service.models import fit
from service.prompts.fingerprint import fingerprint
from service.settings import Settings
from tests.conftest import ROOT
from tests.engine.local.conftest import ask, make

MIB = 1024 * 1024
CUDA = "CUDA : ARCHS = 900 | USE_GRAPHS = 1 | PEER_MAX_BATCH_SIZE = 128 | CPU : AVX = 1 | AVX2 = 1 | NEON = 0 | "


def settings(**overrides: Any) -> Settings:
    return settings_module.load(**{"context": 512, "parallel": 4, **overrides})


def compiled(monkeypatch: pytest.MonkeyPatch, *names: str, cpu: tuple[str, ...] = ("avx512-bf16", "portable")) -> None:
    """These backends are compiled here, and these kernels of the CPU."""
    monkeypatch.setattr(devices, "is_compiled", lambda device, folder=None: device in names)
    monkeypatch.setattr(kernels, "candidates", lambda: list(cpu))


def gpu(monkeypatch: pytest.MonkeyPatch, free_mib: int) -> None:
    """A GPU with this much free memory, as the probing child would tell."""
    plain = recipe.probe

    def probe(name: str) -> Any:
        if devices.device_of(name) is None:
            return plain(name)
        return f"{devices.device_of(name)} on a GPU, with a CPU", (Device("a GPU", free_mib * MIB),)

    monkeypatch.setattr(recipe, "probe", probe)


# --- the names ---


@pytest.mark.parametrize(
    ("device", "there", "names"),
    [
        ("auto", (), ("avx512-bf16", "portable")),
        ("auto", ("cuda",), ("cuda+avx512-bf16", "cuda+portable", "avx512-bf16", "portable")),
        ("auto", ("vulkan",), ("vulkan+avx512-bf16", "vulkan+portable", "avx512-bf16", "portable")),
        ("cpu", ("cuda",), ("avx512-bf16", "portable")),
        ("cuda", ("cuda", "vulkan"), ("cuda+avx512-bf16", "cuda+portable")),
        ("cuda", (), ("cuda+avx512-bf16", "cuda+portable")),
    ],
)
def test_only_with_auto_the_cpu_comes_behind_a_device(
    monkeypatch: pytest.MonkeyPatch, device: str, there: tuple[str, ...], names: tuple[str, ...]
) -> None:
    compiled(monkeypatch, *there)
    assert devices.choice(settings(kernels="auto", device=device)) == names
    assert {devices.kernels_of(name) for name in names} == {"avx512-bf16", "portable"}


def test_a_backend_counts_where_its_library_is(tmp_path: Path) -> None:
    assert not devices.is_compiled("cuda", tmp_path)
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "libggml-cuda.so").touch()
    assert devices.is_compiled("cuda", tmp_path)
    assert not devices.is_compiled("vulkan", tmp_path)


# --- the choice by running ---


def test_a_device_that_does_not_run_is_dropped_with_every_kernel(starter: Path) -> None:
    names = ("cuda+avx512-bf16", "cuda+portable", "avx512-bf16", "portable")
    engine = LocalEngine(make().model, settings(), kernels=names)
    assert engine.drop_kernels("no memory.")
    assert (engine.kernels, engine.dropped_kernels) == ("avx512-bf16", {"cuda": "no memory"})


def test_kernels_with_an_illegal_instruction_leave_the_device_to_the_next_kernels(starter: Path) -> None:
    engine = LocalEngine(make().model, settings(), kernels=("cuda+amx", "cuda+portable", "portable"))
    assert engine.drop_kernels("SIGILL", illegal=True)
    assert engine.kernels == "cuda+portable"


def test_a_named_device_is_never_dropped_for_the_cpu(starter: Path) -> None:
    engine = LocalEngine(make().model, settings(), kernels=("cuda+avx512-bf16", "cuda+portable"))
    assert not engine.drop_kernels("no memory")
    assert engine.kernels == "cuda+avx512-bf16"
    with pytest.raises(EngineUnavailable, match="cuda does not run here: the cuda backend is not compiled here"):
        _ = LocalEngine(make().model, settings(), kernels=("cuda+portable",)).identity


@pytest.mark.model
def test_a_device_that_fails_at_the_start_leaves_the_answer_to_the_cpu(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when it was asked. The answer, its fingerprint and the state tell the CPU."""
    gpu(monkeypatch, 4000)
    engine = LocalEngine(make().model, settings(parallel=1), kernels=("cuda+portable", "portable"))
    assert engine.identity.settings["n_gpu_layers"] == 31

    async def story() -> None:
        try:
            await engine.answer(ask("Say hi.", tokens=1))
            assert engine.identity == make().identity
            assert engine.health().reason.endswith(
                ", portable kernels; cuda did not run: the kernels cannot be loaded: the cuda backend is not compiled "
                "here"
            )
        finally:
            await engine.stop(0)

    asyncio.run(story())


@pytest.mark.parametrize("content", ["no library", ""])
def test_a_broken_backend_is_told_by_the_linkers_words(
    starter: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "libggml-cuda.so"
    path.write_text(content, encoding="ascii")
    monkeypatch.setattr(devices, "library", lambda device, folder=None: path)
    with pytest.raises(OSError, match=r"libggml-cuda\.so: (file too short|invalid ELF header)"):
        devices.load("cuda+portable")


def test_the_identity_names_the_device_and_its_layers_and_the_load_message_has_them(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(monkeypatch, 4000)
    plain = make()
    engine = LocalEngine(plain.model, settings(), kernels=("cuda+portable", "portable"))
    identity = engine.identity
    assert (identity.kernels, identity.settings["n_gpu_layers"]) == ("cuda on a GPU, with a CPU", 31)
    assert {name for name, value in identity.settings.items() if plain.identity.settings[name] != value} == {
        "n_gpu_layers"
    }
    message, plainly = (each.load_message(starter, other_engines_bytes=0) for each in (engine, plain))
    assert (message["gpu_layers"], message["threads"]) == (31, 1), "the other engine has the cores"
    assert {1, 2, 8, recipe.CHUNK} < set(message["trials"]), "shaders for each size are compiled before it is ready"
    assert plainly["trials"] == [1]
    assert (plainly["gpu_layers"], plainly["threads"]) == (0, resources.threads(settings())[0])
    assert fingerprint(Request(text="x"), identity) != fingerprint(Request(text="x"), plain.identity)


def test_a_device_without_memory_for_one_layer_is_dropped_with_the_numbers(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(monkeypatch, 100)
    engine = LocalEngine(make().model, settings(), kernels=("cuda+portable", "portable"))
    assert engine.identity == make().identity
    assert "0 of 31 layers: all need" in engine.dropped_kernels["cuda"]
    named = LocalEngine(make().model, settings(), kernels=("cuda+portable",))
    with pytest.raises(EngineUnavailable, match="does not fit into the memory of a GPU: 0 of 31 layers"):
        _ = named.identity


def test_exact_answers_never_come_from_a_device(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(monkeypatch, "cuda", cpu=("portable",))
    gpu(monkeypatch, 4000)
    engine = Engines(settings(kernels="portable", device="auto")).get()
    assert isinstance(engine, ModeRouter)
    assert (engine.for_mode("fast").kernels, engine.for_mode("exact").kernels) == ("cuda+portable", "portable")
    assert engine.identity == make().identity


def test_memory_of_a_device_is_not_needed_twice(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is too small for two engines on the CPU is enough for one beside a device."""
    compiled(monkeypatch, "cuda")
    gpu(monkeypatch, 4000)
    one = make().memory_bytes()
    small = settings(kernels="auto", device="auto", memory_limit_bytes=2 * one - 1)
    assert isinstance(Engines(small).get(), ModeRouter)
    gpu(monkeypatch, 100)
    assert isinstance(Engines(small).get(), LocalEngine)


# --- the layers ---


def test_layers_by_the_free_memory(starter: Path) -> None:
    metadata = make().metadata
    needed = fit.estimate(metadata, 98 * MIB, tokens=16384)
    layers = [fit.offload(metadata, needed, [free * MIB])[0] for free in range(0, 1400, 20)]
    assert layers == sorted(layers)
    assert (layers[0], layers[-1]) == (0, metadata.block_count + 1)
    assert {0, 31} < set(layers), "some sizes take a part"
    assert 1 not in layers, "the output alone would help nobody"
    half = [needed.total // 2 + fit.DEVICE_OVERHEAD_BYTES] * 2
    assert fit.offload(metadata, needed, half)[0] > fit.offload(metadata, needed, half[:1])[0]
    assert fit.offload(metadata, needed, [600 * MIB])[1].endswith("and 600 MiB of its memory are free")


def test_the_cpu_needs_what_the_device_leaves(starter: Path) -> None:
    metadata = make().metadata
    needed = fit.estimate(metadata, 98 * MIB, tokens=16384)
    left = [fit.beside_device(metadata, needed, layers).total for layers in range(metadata.block_count + 2)]
    assert left[0] == needed.total
    assert left == sorted(left, reverse=True)
    assert left[-1] >= needed.compute + needed.overhead + metadata.vocabulary * metadata.embedding_length


# --- reports ---


def test_the_report_names_the_device_its_backend_and_the_cpu() -> None:
    found = [Device("NVIDIA H200", 1), Device("NVIDIA L4", 1)]
    device = "cuda on NVIDIA H200 and NVIDIA L4 (ARCHS=900 PEER_MAX_BATCH_SIZE=128 USE_GRAPHS)"
    assert recipe.report_of("cuda+avx", CUDA, "riscv64", found) == f"{device}, with native riscv64: AVX AVX2"
    assert recipe.report_of("portable", CUDA, "riscv64", []) == "native riscv64: AVX AVX2"


def findings(**overrides: Any) -> dict[str, doctor.DoctorFinding]:
    made = settings(**overrides)
    return {found.what: found for test in (doctor._device, doctor._kernels) for found in test(made)}


@pytest.mark.parametrize(
    ("lack", "level", "found", "remedy"),
    [
        (Lack("no GPU", "buy one", gpu=True), "ok", "the CPU: no GPU is seen", ""),
        (Lack("no nvcc", "get it"), "note", "the CPU: no nvcc", "get it"),
        (None, "note", "the CPU: a GPU and its compiler are here, and its backend is not compiled", "make setup"),
    ],
)
def test_doctor_says_why_the_cpu_computes(
    monkeypatch: pytest.MonkeyPatch, lack: Lack | None, level: str, found: str, remedy: str
) -> None:
    compiled(monkeypatch, cpu=("portable",))
    monkeypatch.setattr(device_setup, "lack", lambda device: lack)
    seen = findings(kernels="portable", device="auto")["device"]
    assert (seen.level, seen.found, seen.remedy) == (level, found, remedy)
    named = findings(kernels="portable", device="vulkan")
    assert (named["device"].level, "kernels" in named) == ("stop", False)
    assert named["device"].found.startswith("SAMEBOAT_DEVICE=vulkan: ")
    assert findings(kernels="portable", device="cpu")["device"].found == "the CPU: SAMEBOAT_DEVICE=cpu"


def test_doctor_tells_the_layers_and_the_failure_of_a_compiled_backend(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial is replaced: it ends ready, or with every candidate of the device dropped."""
    compiled(monkeypatch, "cuda", cpu=("portable",))
    monkeypatch.setattr(device_setup, "lack", lambda device, compiled=False: None)

    async def runs(engine: LocalEngine) -> None:
        _ = engine.identity

    monkeypatch.setattr(doctor, "_try", runs)
    gpu(monkeypatch, 4000)
    whole = findings(kernels="portable", device="auto")
    assert (whole["device"].level, whole["device"].remedy) == ("ok", "")
    assert whole["device"].found.startswith("cuda on a GPU, 31 of 31 layers: all need ")
    assert whole["kernels"].found == "cuda+portable for fast answers, portable for exact ones"
    gpu(monkeypatch, 480)
    part = findings(kernels="portable", device="auto")["device"]
    assert (part.level, "31 of 31" in part.found, "Lower SAMEBOAT_CONTEXT" in part.remedy) == ("note", False, True)
    gpu(monkeypatch, 100)
    none = findings(kernels="portable", device="auto")["device"]
    assert (none.level, none.found.startswith("the CPU: ")) == ("note", True)
    assert "0 of 31 layers" in none.found
    named = findings(kernels="portable", device="cuda")["device"]
    assert (named.level, "0 of 31 layers" in named.found) == ("stop", True)


def test_doctor_names_one_device_where_a_better_one_lacks_memory(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small trial runs on CUDA. The settings' context has memory for Vulkan only. Its driver takes less."""
    compiled(monkeypatch, "cuda", "vulkan", cpu=("portable",))
    monkeypatch.setattr(device_setup, "lack", lambda device, compiled=False: None)
    free = {"cuda": 420, "vulkan": 4000}
    plain = recipe.probe

    def probe(name: str) -> Any:
        device = devices.device_of(name)
        return plain(name) if device is None else (f"{device} on a GPU", (Device("a GPU", free[device] * MIB),))

    async def runs(engine: LocalEngine) -> None:
        _ = engine.identity

    monkeypatch.setattr(recipe, "probe", probe)
    monkeypatch.setattr(doctor, "_try", runs)
    seen = findings(kernels="portable", device="auto", context=2048, parallel=8)
    assert seen["device"].found.startswith("vulkan on a GPU, 31 of 31 layers")
    assert "0 of 31 layers" in seen["device"].found, "the reason against CUDA"
    assert seen["kernels"].found == "vulkan+portable for fast answers, portable for exact ones"


HIDDEN = "the cuda backend finds no GPU among those that CUDA_VISIBLE_DEVICES names"


@pytest.mark.parametrize(
    ("environment", "there", "reason", "usual", "remedy"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, True, HIDDEN, None, "Unset CUDA_VISIBLE_DEVICES, or name a GPU in it."),
        ({"CUDA_VISIBLE_DEVICES": "0"}, True, "0 of 31 layers fit", None, "Free its memory"),
        ({"CUDA_VISIBLE_DEVICES": "0"}, True, "it does not fit", "Lower SAMEBOAT_CONTEXT", "Lower SAMEBOAT_CONTEXT"),
        ({}, True, "it ended", None, "Free its memory"),
        ({"CUDA_VISIBLE_DEVICES": ""}, False, HIDDEN, None, "Install NVIDIA's driver."),
    ],
)
def test_the_remedy_for_a_compiled_backend_asks_for_no_compiler(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    there: bool,
    reason: str,
    usual: str | None,
    remedy: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(device_setup, "has_gpu", lambda device, root=None: there)
    monkeypatch.setattr(device_setup, "nvcc", lambda root=None: None)
    assert doctor._remedy("cuda", reason, usual).startswith(remedy)


def test_a_backend_without_a_gpu_names_the_variable_that_hides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A library that is no backend stands in for one that finds no GPU."""
    folder = kernels.folder()
    assert folder is not None
    monkeypatch.setattr(devices, "library", lambda device, compiled=None: folder.parent / "libggml-base.so")
    for name in devices.VISIBLE.values():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match="the vulkan backend finds no GPU") as plain:
        devices.load("vulkan+portable")
    assert str(folder.parent) not in str(plain.value)
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "7")
    with pytest.raises(OSError, match=r"finds no GPU among those that GGML_VK_VISIBLE_DEVICES names") as hidden:
        devices.load("vulkan+portable")
    assert devices.last_error()
    assert str(hidden.value).endswith(
        devices.last_error().replace(str(folder.parent / "libggml-base.so"), "vulkan's library")
    )


# --- the needs ---


def test_the_first_thing_that_a_gpu_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs: set[str] = set()
    monkeypatch.setattr(shutil, "which", lambda name: f"/{name}" if name in programs else None)
    for name in ("VULKAN_SDK", *(name for name in os.environ if name.startswith(("VK_", "XDG_")))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def add(*paths: str) -> None:
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()

    def what(device: str) -> str:
        found = device_setup.lack(device, tmp_path)
        return "" if found is None else f"{found.part} {found.remedy}"

    assert "docker run --gpus all" in what("cuda")
    assert "/dev/dri" in what("vulkan")
    add("dev/nvidia0", "dev/dri/renderD128")
    assert "no CUDA compiler (nvcc)" in what("cuda")
    add("usr/local/cuda/bin/nvcc")
    assert "libcublas-dev" in what("cuda")
    add("usr/local/cuda/targets/x/include/cublas_v2.h")
    assert "no cmake" in what("cuda")
    assert "apt-get install glslc libvulkan-dev spirv-headers" in what("vulkan")
    programs |= {"cmake", "glslc"}
    add("usr/include/vulkan/vulkan.hpp", "usr/share/cmake/SPIRV-Headers/x")
    assert "apt-get install mesa-vulkan-drivers" in what("vulkan")
    monkeypatch.setenv("VK_DRIVER_FILES", "/elsewhere/nvidia_icd.json")
    assert what("vulkan") == ""
    monkeypatch.delenv("VK_DRIVER_FILES")
    monkeypatch.setenv("XDG_DATA_DIRS", f"/elsewhere{os.pathsep}{tmp_path}/opt")
    places = ["usr/share", "etc/xdg", "home/.local/share", "opt"]
    for place in places:
        add(f"{place}/vulkan/icd.d/radeon_icd.x86_64.json")
        assert (what("cuda"), what("vulkan")) == ("", ""), place
        (tmp_path / place / "vulkan/icd.d/radeon_icd.x86_64.json").unlink()
        assert what("vulkan"), place


def test_vulkan_needs_no_render_node_of_an_nvidia_gpu_and_takes_the_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"cmake": {None}, "glslc": {f"{tmp_path}/sdk/bin"}}
    monkeypatch.setattr(shutil, "which", lambda name, path=None: name if path in found.get(name, ()) else None)
    assert not device_setup.has_gpu("vulkan", tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert device_setup.has_gpu("vulkan", tmp_path)
    for folder in ("include/vulkan", "share/cmake/SPIRV-Headers"):
        (tmp_path / "sdk" / folder).mkdir(parents=True)
    (tmp_path / "sdk/include/vulkan/vulkan.hpp").touch()
    monkeypatch.delenv("VULKAN_SDK", raising=False)
    monkeypatch.setenv("VK_DRIVER_FILES", "/usr/local/nvidia/nvidia_icd.json")
    assert device_setup.lack("vulkan", tmp_path) is not None
    monkeypatch.setenv("VULKAN_SDK", f"{tmp_path}/sdk")
    assert device_setup.lack("vulkan", tmp_path) is None


# --- the compiled libraries ---


@pytest.fixture(scope="module")
def compiler() -> ModuleType:
    """`.ci/kernels.py`."""
    spec = importlib.util.spec_from_file_location("ci_kernels", ROOT / ".ci" / "kernels.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["ci_kernels"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_library_that_other_settings_compiled_is_compiled_again(compiler: Any, tmp_path: Path) -> None:
    part = compiler.Part("avx-vnni", "ggml-cpu", (("GGML_AVX_VNNI", "ON"),))
    others = (
        compiler.Part("avx-vnni", "ggml-cpu", (("GGML_AVX_VNNI", "OFF"),)),
        compiler.Part("avx-vnni", "ggml-cpu", (("GGML_AVX_VNNI", "ON"),), "nvcc 13"),
    )
    library = tmp_path / "libggml-cpu.so"
    library.write_bytes(b"library")
    assert not part.is_in(tmp_path / "kept")
    part.install(library, tmp_path / "kept")
    assert part.is_in(tmp_path / "kept")
    assert not any(other.is_in(tmp_path / "kept") for other in others)


def test_a_vulkan_library_is_known_by_the_compiler_of_its_shaders(
    compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_setup, "glslc", lambda: "glslc")
    keys = set()
    for version in ("shaderc 2023.2", "shaderc 2025.1"):
        monkeypatch.setattr(compiler, "_version", lambda path, version=version: f"{path} {version}")
        keys.add(compiler.backend("vulkan").key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("device", "lacks", "expected"),
    [
        ("auto", set(), ["cuda"]),
        ("auto", {"cuda"}, ["vulkan"]),
        ("auto", {"cuda", "vulkan"}, []),
        ("vulkan", set(), ["vulkan"]),
        ("cuda", {"cuda"}, []),
        ("cpu", set(), []),
    ],
)
def test_a_backend_is_compiled_where_a_gpu_and_its_compiler_are(
    compiler: Any, monkeypatch: pytest.MonkeyPatch, device: str, lacks: set[str], expected: list[str]
) -> None:
    monkeypatch.setattr(device_setup, "lack", lambda name: Lack("x", "y") if name in lacks else None)
    monkeypatch.setenv("SAMEBOAT_DEVICE", device)
    assert [part.name for part in compiler.best({})] == expected
