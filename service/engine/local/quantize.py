"""A copy of a model file in another quantization, made by llama.cpp in a separate process.

In: a GGUF file, a type, a thread count. Out: another GGUF file.
Not here: its quality, which an evaluation measures. A copy of a quantized file can only lose quality.

Every row is quantized on its own. So the bytes depend on the source file, the type and the library, not on the threads,
and can be made again.
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
SUPER_BLOCK = 256  # values in a block of the K types (ggml-common.h, QK_K). Other row sizes fall back


def sensible(metadata: Metadata, quantization: str) -> list[str]:
    """The types worth trying for a file that is in `quantization` now."""
    whole = metadata.embedding_length % SUPER_BLOCK == 0
    return [name for name in TYPES if name != quantization.lower() and (whole or name != "q4_k_m")]


def copy(source: Path, target: Path, quantization: str, *, threads: int) -> None:
    """Write the copy.

    Raises:
        ModelError: with llama.cpp's last message, if it fails.
    """
    command = python(__name__, str(source), str(target), quantization, str(threads))
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=child_environment()
    )
    if done.returncode:
        target.unlink(missing_ok=True)
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise ModelError(f"{source.name} cannot be re-quantized to {quantization}: {reason}", key="quantization")


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
