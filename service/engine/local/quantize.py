"""A copy of a model file in another quantization, made by llama.cpp: `copy`, in a process of its own.

What comes in: a GGUF file, a type, a thread count. What goes out: another GGUF file. Every row is quantized by itself,
so the bytes depend on the parent's bytes, the type and the library, not on the threads: they can be made again.
From a file that is quantized already the copy can only lose: what it loses is for an evaluation to say.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

from service.children import child_environment, python
from service.errors import ModelError
from service.models.gguf import Metadata

TYPES = {"q4_0": 2, "q8_0": 7, "q4_k_m": 15}
"""Names to llama.cpp's LLAMA_FTYPE_MOSTLY_* (llama.h). All three have kernels that llama.cpp repacks for the CPU."""
SUPER_BLOCK = 256  # values in a block of the K types (ggml-common.h, QK_K); rows that do not divide fall back


def sensible(metadata: Metadata, quantization: str) -> list[str]:
    """The types worth trying for a file that is in `quantization` now."""
    whole = metadata.embedding_length % SUPER_BLOCK == 0
    return [name for name in TYPES if name != quantization.lower() and (whole or name != "q4_k_m")]


def copy(source: Path, target: Path, quantization: str, *, threads: int) -> None:
    """Write the copy. Raises ModelError with what llama.cpp said last."""
    command = python(__name__, str(source), str(target), quantization, str(threads))
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=child_environment()
    )
    if done.returncode:
        target.unlink(missing_ok=True)
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise ModelError(f"{source.name} cannot be re-quantized to {quantization}: {said}", key="quantization")


def main() -> None:
    """Called with SOURCE TARGET TYPE THREADS."""
    import llama_cpp as llama

    source, target, quantization, threads = sys.argv[1:]
    llama.llama_backend_init()
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = TYPES[quantization]
    parameters.nthread = int(threads)
    parameters.allow_requantize = True
    code = llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    sys.exit(int(code))


if __name__ == "__main__":
    main()
