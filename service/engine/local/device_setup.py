"""The needs of a GPU before it can compute here: a driver that shows it, and a compiler for its backend.

In: files of the system, programs on PATH. Out: the first thing that is missing, with its remedy.
Not here: whether a compiled backend runs (`devices`), and the compiling (`.ci/kernels.py`).
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

GPU_FILES = {
    "cuda": ("proc/driver/nvidia/gpus/*", "dev/nvidia[0-9]*", "dev/dxg"),
    "vulkan": ("dev/dri/renderD*", "proc/driver/nvidia/gpus/*", "dev/nvidia[0-9]*", "dev/dxg"),
}
"""Files that show a GPU with its driver: NVIDIA's, Linux's render nodes, and that of Windows' subsystem for Linux.
NVIDIA's driver for Vulkan needs no render node."""
VULKAN_FOLDERS = ("etc/xdg", "etc", "usr/local/etc", "usr/local/share", "usr/share")
"""Where Vulkan's loader looks for drivers, in `vulkan/icd.d` (LoaderDriverInterface.md), see `has_vulkan_driver`."""


@dataclass(frozen=True)
class Lack:
    """A missing part and its remedy. `gpu`: it is the GPU itself, so there is nothing to compile for."""

    part: str
    remedy: str
    gpu: bool = False


def has_gpu(device: str, root: Path = Path("/")) -> bool:
    """Whether this machine shows a GPU for this backend."""
    if device == "metal":
        return platform.system() == "Darwin" and platform.machine() == "arm64"
    return any(any(root.glob(pattern)) for pattern in GPU_FILES[device])


def lack(device: str, root: Path = Path("/"), *, compiled: bool = False) -> Lack | None:
    """The first thing that is missing to compile and run this backend. None if everything is there.

    A `compiled` one needs no compiler any more.
    """
    if not has_gpu(device, root):
        return Lack(*NO_GPU[device], gpu=True)
    if not compiled and (missing := _lack_of_compiler(device, root)) is not None:
        return missing
    if device == "vulkan" and not has_vulkan_driver(root):
        return Lack(
            "a GPU is here, and no driver of Vulkan for it (/usr/share/vulkan/icd.d)",
            "For AMD and Intel, Debian: apt-get install mesa-vulkan-drivers. NVIDIA's driver contains its own; "
            "in a container: NVIDIA_DRIVER_CAPABILITIES=all",
        )
    return None


def has_vulkan_driver(root: Path = Path("/")) -> bool:
    """Whether Vulkan's loader finds a driver: in the system's folders, in the user's, or named by a variable."""
    named = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
    listed = ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS")
    folders = [root / folder for folder in VULKAN_FOLDERS]
    folders += [Path(path) for name in listed for path in os.environ.get(name, "").split(os.pathsep) if path]
    if home := os.environ.get("HOME"):
        folders += [Path(home) / ".config", Path(home) / ".local/share"]
    return any(os.environ.get(name) for name in named) or any(
        any(folder.glob("vulkan/icd.d/*.json")) for folder in folders
    )


def _lack_of_compiler(device: str, root: Path) -> Lack | None:
    if device == "cuda" and nvcc(root) is None:
        return Lack(
            "an NVIDIA GPU is here, and no CUDA compiler (nvcc)",
            "Install the CUDA toolkit (Debian: apt-get install nvidia-cuda-toolkit), then: make setup",
        )
    if device == "cuda" and not has_cublas(root):
        return Lack(
            "an NVIDIA GPU and nvcc are here, and cuBLAS is not (cublas_v2.h)",
            "Install the rest of the CUDA toolkit (NVIDIA's packages: libcublas-dev), then: make setup",
        )
    if device == "vulkan":
        folders = [root / "usr", root / "usr/local"]
        if sdk := os.environ.get("VULKAN_SDK"):  # as CMake finds it
            folders.append(Path(sdk))
        cmake = [folder / data / "cmake/SPIRV-Headers" for folder in folders for data in ("share", "lib")]
        parts = {
            "glslc": glslc() is not None,
            "libvulkan-dev": any((folder / "include/vulkan/vulkan.hpp").is_file() for folder in folders),
            "spirv-headers": any(folder.is_dir() for folder in cmake),
        }
        if missing := [name for name, there in parts.items() if not there]:
            return Lack(
                f"a GPU is here, and not all that compiles the Vulkan backend: {', '.join(missing)}",
                f"Debian: apt-get install {' '.join(missing)}, then: make setup",
            )
    if device != "metal" and shutil.which("cmake") is None:
        return Lack("a GPU is here, and no cmake", "Debian: apt-get install cmake, then: make setup")
    return None


NO_GPU = {
    "cuda": (
        "no NVIDIA GPU with a driver is seen",
        "Install NVIDIA's driver. In a container: docker run --gpus all, with the NVIDIA Container Toolkit.",
    ),
    "vulkan": (
        "no GPU is seen (/dev/dri, or NVIDIA's driver)",
        "In a container: docker run --device /dev/dri, or --gpus all with the NVIDIA Container Toolkit.",
    ),
    "metal": ("Metal needs a Mac with Apple silicon", ""),
}


def has_cublas(root: Path = Path("/")) -> bool:
    """Whether cuBLAS can be compiled against: beside nvcc, or where distributions put it."""
    compiler = nvcc(root)
    beside = Path(compiler).resolve().parents[1] if compiler is not None else root
    return any(
        any(folder.glob(pattern))
        for folder in (beside, root / "usr/local/cuda", root / "usr")
        for pattern in ("include/cublas_v2.h", "targets/*/include/cublas_v2.h", "include/*/cublas_v2.h")
    )


def nvcc(root: Path = Path("/")) -> str | None:
    """The CUDA compiler on PATH, or where its installer puts it."""
    usual = root / "usr/local/cuda/bin/nvcc"
    return shutil.which("nvcc") or (str(usual) if usual.is_file() else None)


def glslc() -> str | None:
    """The compiler of Vulkan's shaders on PATH, or in the SDK that VULKAN_SDK names."""
    sdk = os.environ.get("VULKAN_SDK")
    return shutil.which("glslc") or (shutil.which("glslc", path=f"{sdk}/bin") if sdk else None)
