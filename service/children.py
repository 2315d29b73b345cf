"""How a child process is started: which command, and how much of this environment it gets.

In: a module to run, names of further variables that it needs. Out: a command line and an environment.
Not here: pipes, priorities, when a child is started or ended.

A child gets only the variables that it needs. A secret of the service must not be in the memory of a process that
parses foreign bytes. A module in the working directory must not run in the place of an installed one, so Python's `-P`
keeps the working directory off `sys.path` (docs.python.org/3/using/cmdline.html).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

NAMES = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "DYLD_LIBRARY_PATH",
})  # fmt: skip
"""Variables of the system that any program may need: where things are, the language, the loader's own."""

PREFIXES = (
    "LC_", "XDG_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "GGML_",
    "CUDA_", "NVIDIA_", "VK_",
)  # fmt: skip
"""Families of variables that the interpreter, the allocator, the numeric libraries and the drivers of GPUs read."""


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module with this interpreter, without the working directory on `sys.path`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(
    *names: str, prefixes: tuple[str, ...] = (), source: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The part of the environment that a child gets: `NAMES`, `PREFIXES`, and the given names and prefixes.

    `source` is `os.environ` by default. PYTHONSAFEPATH is set, so that a child's own children keep to `-P` too.
    """
    needed = NAMES.union(names)
    environment = os.environ if source is None else source
    kept = {
        name: value for name, value in environment.items() if name in needed or name.startswith(PREFIXES + prefixes)
    }
    return {**kept, "PYTHONSAFEPATH": "1"}
