"""The recipe: everything of the local engine that can change a token. llama.cpp's parameters are set from it.

In: nothing but this file, the installed packages and llama.cpp's report of its CPU variant. Out: the values that every
fingerprint and lock names, and the same values written into llama.cpp's parameter structures.
Not here: thread counts and sizes that change no token.

The worker reads the parameters back from the structures that llama.cpp gets (`read`) and refuses to start when they
differ from the declared ones. This module never imports llama_cpp, so the service's own process may use it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from service.children import child_environment, python
from service.engine.local import cpu, devices
from service.engine.local import kernels as kernel_libraries
from service.errors import EngineUnavailable

if TYPE_CHECKING:  # the child that reports starts in half of the time without these
    import subprocess

    from service.models.gguf import Metadata

Value: TypeAlias = str | int | float | bool

CHUNK = 64
"""Prompts are computed in chunks of this many tokens. A cancelled prompt stops after the chunk that is running."""
UBATCH = 512
"""Tokens that llama.cpp computes at once, at most. It splits larger batches."""
FORCED_RUN = 8
"""Forced tokens of one sequence in one step. 64 sequences of 8 fill a batch of `UBATCH`."""
PENALTY_WINDOW = 64
"""Tokens that penalties look back over: llama.cpp's default."""
CELLS = 256
"""llama.cpp rounds the tokens of a stream up to a multiple of this."""
DRAFT_NGRAM = 3
"""Tokens at the end of a fast answer that must have occurred before. The tokens that followed them are drafted."""
DRAFT_MAX = 16
"""Drafted tokens of one sequence in one step. Drafts change the shape of fast batches, hence last bits of logits, as
other requests do. Exact answers are never drafted, so fingerprints do not name these three."""
DRAFT_ROWS = 32
"""Drafted tokens of all sequences in one step."""

MODEL: dict[str, Value] = {"n_gpu_layers": 0, "use_extra_bufts": True}
"""Fields of llama_model_params. `use_extra_bufts` lets llama.cpp repack weights for the CPU's matrix kernels. Only on a
device are there more `n_gpu_layers`, see `model`."""

CONTEXT: dict[str, Value] = {
    "n_ubatch": UBATCH,
    "flash_attn_type": "disabled",
    "kv_unified": False,
    "type_k": "f16",
    "type_v": "f16",
    "rope_scaling_type": "model",
    "rope_freq_base": 0.0,
    "rope_freq_scale": 0.0,
    "yarn_ext_factor": -1.0,
    "yarn_attn_factor": -1.0,
    "yarn_beta_fast": -1.0,
    "yarn_beta_slow": -1.0,
    "yarn_orig_ctx": 0,
    "attention_type": "model",
}
"""Fields of llama_context_params. Each sequence has its own key-value stream (`kv_unified` off) and flash attention is
off, so an exact answer depends on nothing but its own sequence. Faster CPU kernels have other values of both, see
`context`. The values of rope and yarn mean "as the model says" (llama.h, llama_context_params)."""

ENUMS: dict[str, dict[str, int]] = {
    "flash_attn_type": {"auto": -1, "disabled": 0, "enabled": 1},
    "type_k": {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8},
    "type_v": {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8},
    "rope_scaling_type": {"model": -1, "none": 0, "linear": 1, "yarn": 2},
    "attention_type": {"model": -1, "causal": 0, "non_causal": 1},
}
"""Names of llama.cpp's enumerators (llama.h, ggml.h)."""

PORTABLE: dict[str, tuple[str, frozenset[str]]] = {
    "x86_64": ("x86-64-v3", frozenset({"SSE3", "SSSE3", "AVX", "AVX2", "F16C", "FMA", "BMI2"})),
    "aarch64": ("armv8.2-a+dotprod", frozenset({"NEON", "ARM_FMA", "DOTPROD"})),
}
"""By `platform.machine()`: the name and the instruction sets of the build that pyproject.toml asks for."""
INDEPENDENT = frozenset({"LLAMAFILE", "OPENMP", "REPACK", "ACCELERATE", "KLEIDIAI"})  # reported, but no instruction set


OWN_KERNELS = {
    "sameboat_q8_0": "Q8_0_X16",
    "sameboat_k_quants": "K_QUANTS_X16",
    "sameboat_attention": "ATTENTION_X16",
}
"""Functions of `.ci/*_avx512.h`, and what the report calls them."""


OWN_ATTENTION = frozenset({"amx", "avx512-bf16", "avx512-vnni"})
"""The kernels that `.ci/attention_avx512.h` is compiled into."""


def model(gpu_layers: int) -> dict[str, Value]:
    """`MODEL` with this many layers on a device."""
    return MODEL if gpu_layers == 0 else {**MODEL, "n_gpu_layers": gpu_layers}


OF_OTHER_CACHES = (
    "attention.sliding_window",  # a cache of windows gives away the cells of sequences that are longer
    "rope.scaling.original_context_length",  # llama.cpp chooses between two scales by the size of a cache
    "attn_logit_softcapping",
    "attention.max_alibi_bias",
)
"""Keys of a header, behind the architecture. Sequences of a model with one of them have streams of their own."""


def can_share_a_cache(metadata: Metadata) -> bool:
    """Whether sequences may be in one cache: our attention computes this model, and nothing depends on the size."""
    if any(metadata.values.get(f"{metadata.architecture}.{name}") for name in OF_OTHER_CACHES):
        return False
    return metadata.key_length == metadata.value_length and metadata.key_length % 64 == 0


def context(kernels: str = kernel_libraries.PORTABLE, *, one_cache: bool = False) -> dict[str, Value]:
    """`CONTEXT` for the kernels of this name. Those for newer CPUs compute `fast` answers only, with flash attention.

    `one_cache`: whether the model's sequences may be in one (`can_share_a_cache`). With our own attention they are, and
    those with a common beginning share its keys.

    The portable kernels compute `exact` answers, and GPU backends are compiled without flash attention.
    """
    if kernels == kernel_libraries.PORTABLE or devices.device_of(kernels) is not None:
        return CONTEXT
    return {**CONTEXT, "flash_attn_type": "enabled", "kv_unified": one_cache and kernels in OWN_ATTENTION}


def settings(
    *,
    forced: bool = True,
    gpu_layers: int = 0,
    kernels: str = kernel_libraries.PORTABLE,
    one_cache: bool = False,
) -> dict[str, Value]:
    """The declared values by name. `forced`: whether tokens without an alternative are taken without sampling."""
    sizes = {"chunk": CHUNK, "forced_run": FORCED_RUN, "penalty_window": PENALTY_WINDOW}
    return {**model(gpu_layers), **context(kernels, one_cache=one_cache), **sizes, "forced": forced}


def apply(values: Mapping[str, Value], parameters: Any) -> None:
    """Write `MODEL` or `CONTEXT` into llama.cpp's parameter structure."""
    for name, value in values.items():
        setattr(parameters, name, ENUMS[name][str(value)] if name in ENUMS else value)


def read(values: Mapping[str, Value], parameters: Any) -> dict[str, Value]:
    """The fields that `MODEL` or `CONTEXT` name, as the structure holds them. An unnamed enumerator stays a number."""
    fields: dict[str, Value] = {}
    for name in values:
        number = getattr(parameters, name)
        names = {code: label for label, code in ENUMS.get(name, {}).items()}
        fields[name] = names.get(number, number)
    return fields


@cache
def version() -> str:
    """The packages that compute and constrain tokens, with their versions."""
    from importlib import metadata as packages

    return ", ".join(f"{name} {packages.version(name)}" for name in ("llama-cpp-python", "llguidance"))


def kernels_of(system_info: str, machine: str) -> str:
    """llama.cpp's CPU variant and its parts, from llama.cpp's own report.

    The report looks like `CPU : AVX2 = 1 | FMA = 1 | REPACK = 1 | `. The name starts with `portable` if the instruction
    sets are those of the build in pyproject.toml, else with `native`.
    """
    parts = _features(system_info).get("CPU", [])
    name, expected = PORTABLE.get(machine, (machine, frozenset()))
    portable = {part for part in parts if part not in INDEPENDENT} == expected
    return f"{f'portable {name}' if portable else f'native {machine}'}: {' '.join(parts)}"


def system_info(reported: str) -> str:
    """llama.cpp's report of this process, with our own kernels among the parts of the CPU if they are compiled in.

    Each is a function of a header in `.ci/` in the library that `kernels.load` has loaded.
    """
    process = ctypes.CDLL(None)
    own = "".join(f"{part} = 1 | " for name, part in OWN_KERNELS.items() if hasattr(process, name))
    return f"CPU : {own}{reported}" if own else reported


def _features(system_info: str) -> dict[str, list[str]]:
    """The parts that each backend reports, sorted."""
    parts: dict[str, list[str]] = {}
    backend = ""
    for entry in system_info.split("|"):
        before, colon, after = entry.partition(" : ")
        backend = before.strip() if colon else backend
        name, _, value = (word.strip() for word in (after if colon else entry).partition("="))
        if value not in ("", "0"):
            parts.setdefault(backend, []).append(name if value == "1" else f"{name}={value}")
    return {backend: sorted(names) for backend, names in parts.items()}


def report_of(name: str, system_info: str, machine: str, gpus: Sequence[devices.Device]) -> str:
    """What computes with kernels of this name: `kernels_of`, and in front of it the device with its backend's parts."""
    cpu_report, device = kernels_of(system_info, machine), devices.device_of(name)
    if device is None:
        return cpu_report
    parts = [part for backend, parts in _features(system_info).items() if backend != "CPU" for part in parts]
    compiled = f" ({' '.join(parts)})" if parts else ""
    return f"{device} on {' and '.join(gpu.description for gpu in gpus)}{compiled}, with {cpu_report}"


_asked: dict[str, subprocess.Popen[str]] = {}


def ask(name: str) -> None:
    """Start the child that `probe` would start, so that its report is there when it is wanted."""
    _asked[name] = _child(name)


def _child(name: str) -> subprocess.Popen[str]:
    import subprocess

    environment = {**child_environment(), "GGML_NO_BACKTRACE": "1"}
    return subprocess.Popen(
        python(__name__, name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@cache
def kernels(name: str = kernel_libraries.PORTABLE) -> str:
    """llama.cpp's report of the CPU kernels of this name, see `kernels_of`. A child asks it, once per process.

    Raises:
        EngineUnavailable: if llama.cpp does not run with them on this machine.
    """
    return probe(name)[0]


def probe(name: str) -> tuple[str, tuple[devices.Device, ...]]:
    """llama.cpp's report, see `report_of`, and the devices as they are now. A child process asks them.

    Raises:
        EngineUnavailable: if llama.cpp does not run with these kernels, or with this device, on this machine.
    """
    child = _asked.pop(name, None) or _child(name)
    output, errors = child.communicate()
    lines = errors.strip().splitlines()
    if child.returncode and name != kernel_libraries.PORTABLE:
        told = child.returncode > 0 and bool(lines)
        reason = lines[-1].removeprefix("OSError: ") if told else "they end the process that loads them"
        device = devices.device_of(name)
        if device is not None:
            raise EngineUnavailable(
                f"{device} does not run here: {reason}.", remedy="SAMEBOAT_DEVICE=auto takes what runs."
            )
        raise EngineUnavailable(
            f"The {name} kernels do not run here: {reason}.", remedy="SAMEBOAT_KERNELS=auto takes those that run."
        )
    if child.returncode:
        raise EngineUnavailable(
            f"The engine cannot run here: {lines[-1] if lines else cpu.illegal()}.", remedy=cpu.REMEDY
        )
    told = json.loads(output)
    gpus = tuple(devices.Device(*fields) for fields in told["devices"])
    return report_of(name, told["system"], platform.machine(), gpus), gpus


def main(name: str) -> None:
    """Print llama.cpp's report and the devices. Without the Python binding this takes a tenth of a second."""
    gpus = devices.load(name)
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    library = ctypes.CDLL(str(next((Path(spec.origin).parent / "lib").glob("libllama.*"))))
    library.llama_print_system_info.restype = ctypes.c_char_p
    told = {
        "system": system_info(library.llama_print_system_info().decode()),
        "devices": [(gpu.description, gpu.free_bytes) for gpu in gpus],
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
