"""Devices that compute fast answers instead of the CPU: GPUs, through llama.cpp's backends for CUDA, Vulkan and Metal.

In: the backends' libraries beside the kernels, two settings. Out: names to try, the best first, and the devices of a
backend that this process has loaded.
Not here: how the backends are compiled (`.ci/kernels.py`), how many layers fit (`models.fit`), and the decision that a
device does not run (`supervisor`).

A backend is one library, compiled from the engine's source with GGML_BACKEND_DL. llama.cpp registers it in a process
that asks for it, so the portable library and its answers keep their bits. Metal is a part of the library on macOS.
The name `cuda+avx512-bf16` means: CUDA computes the layers that fit, and these kernels of the CPU compute the others.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.engine.local import kernels

if TYPE_CHECKING:  # the worker starts sooner without pydantic
    from service.settings import Settings

AUTO = "auto"
CPU = "cpu"
NAMES = ("cuda", "vulkan", "metal")
"""The best first. Each names a setting and, except for Metal, a folder beside the kernels."""
VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "vulkan": "GGML_VK_VISIBLE_DEVICES"}
"""Variables that hide GPUs from a backend."""
METAL = "MTL"  # llama.cpp's name of a backend that is a part of its library
GPU, INTEGRATED = 1, 2  # ggml_backend_dev_type (ggml-backend.h)
ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR (ggml.h)
_errors: deque[str] = deque(maxlen=1)


@dataclass(frozen=True)
class Device:
    """A GPU as its backend describes it. `handle` is llama.cpp's pointer, of this process only."""

    description: str
    free_bytes: int
    handle: int = 0


def device_of(name: str) -> str | None:
    """The device in the name of kernels. None if the CPU computes alone."""
    device, plus, _ = name.partition("+")
    return device if plus else None


def kernels_of(name: str) -> str:
    """The CPU's kernels in such a name."""
    return name.rpartition("+")[2]


def library(device: str, compiled: Path | None = None) -> Path | None:
    """The library of this backend, perhaps not compiled. None where it needs none, and without llama_cpp."""
    compiled = compiled or kernels.folder()
    return None if compiled is None or device == "metal" else compiled / device / f"libggml-{device}.so"


def is_compiled(device: str, compiled: Path | None = None) -> bool:
    """Whether this backend can be loaded here. It may still find no device."""
    path = library(device, compiled)
    return path.is_file() if path is not None else device == "metal" and platform.system() == "Darwin"


def choice(settings: Settings) -> tuple[str, ...]:
    """Names of devices with kernels for `fast` answers, the best first.

    With SAMEBOAT_DEVICE=auto devices come first and the CPU's kernels last. A device that the setting names leaves no
    other choice, and `cpu` leaves no device.
    """
    cpu = kernels.choice(settings.kernels)
    if settings.device == CPU:
        return cpu
    names = [name for name in NAMES if is_compiled(name)] if settings.device == AUTO else [settings.device]
    on_devices = tuple(f"{device}+{name}" for device in names for name in cpu)
    return on_devices + cpu if settings.device == AUTO else on_devices


def hidden(device: str) -> str | None:
    """The variable that hides GPUs from this backend. None if it is not set."""
    name = VISIBLE.get(device)
    return name if name in os.environ else None


def load(name: str) -> tuple[Device, ...]:
    """Load these kernels into this process, which has not imported llama_cpp yet. The devices, none without a backend.

    Raises:
        OSError: if a library is missing or is none for this machine, or if a backend finds no device.
    """
    device = device_of(name)
    kernels.load(kernels_of(name))
    if device is None:
        return ()
    folder = kernels.folder()
    if folder is None:
        raise OSError("llama_cpp is not installed")
    path = library(device)
    if path is not None and not path.is_file():
        raise OSError(f"the {device} backend is not compiled here")
    base, registry = (_open(folder.parent, name) for name in ("libggml-base", "libggml"))
    base.ggml_log_set(_log, None)
    if path is None:
        registry.ggml_backend_reg_by_name.restype = ctypes.c_void_p
        backend = registry.ggml_backend_reg_by_name(METAL.encode())
    else:
        ctypes.CDLL(str(path))  # the linker's error names the missing part, llama.cpp's does not
        registry.ggml_backend_load.restype = ctypes.c_void_p
        backend = registry.ggml_backend_load(str(path).encode())
    gpus = _devices(base, ctypes.c_void_p(backend)) if backend else ()
    if not gpus:
        why = last_error().replace(str(path), f"{device}'s library")
        among = f" among those that {hides} names" if (hides := hidden(device)) else ""
        raise OSError(f"the {device} backend finds no GPU{among}{why}")
    return gpus


def log_errors(level: int, text: bytes, data: int) -> None:
    """Keep the last error of llama.cpp's log. The rest is written for its developers."""
    if level == ERROR_LEVEL:
        _errors.append(text.decode(errors="replace").strip())


_log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(log_errors)


def last_error() -> str:
    """The last error as the end of a sentence. Empty if there was none."""
    return f": {_errors[-1]}" if _errors else ""


def _devices(base: Any, backend: ctypes.c_void_p) -> tuple[Device, ...]:
    """The GPUs of a backend. Integrated ones count only where there is no other."""
    base.ggml_backend_reg_dev_count.restype = ctypes.c_size_t
    base.ggml_backend_reg_dev_get.restype = ctypes.c_void_p
    base.ggml_backend_dev_description.restype = ctypes.c_char_p
    by_kind: dict[int, list[Device]] = {GPU: [], INTEGRATED: []}
    for number in range(base.ggml_backend_reg_dev_count(backend)):
        handle = ctypes.c_void_p(base.ggml_backend_reg_dev_get(backend, ctypes.c_size_t(number)))
        kind = base.ggml_backend_dev_type(handle)
        if kind in by_kind:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            base.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
            description = base.ggml_backend_dev_description(handle).decode(errors="replace")
            by_kind[kind].append(Device(description, free.value, handle.value or 0))
    return tuple(by_kind[GPU] or by_kind[INTEGRATED])


def _open(folder: Path, name: str) -> Any:
    """llama.cpp's library of this name, which Linux and macOS end differently."""
    suffix = ".dylib" if platform.system() == "Darwin" else ".so"
    return ctypes.CDLL(str(folder / f"{name}{suffix}"), mode=ctypes.RTLD_GLOBAL)
