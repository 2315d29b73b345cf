"""The physical limit of a row: the figure of a program that waits for this machine's memory or its arithmetic alone.

In: two measured properties of the machine, a model. Out: a bound for each workload.
Not here: the measured speed.

A step reads every weight once for all sequences, and multiplies every weight once for each token. So it takes at least
the larger of bytes / bandwidth and tokens x parameters / peak. The bound assumes that the prefix is in the cache. A
request's own input (48 tokens) is computed once. Attention, sampling, HTTP and drafts take no time in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PARAMETERS = {"smollm2-135m-instruct": 134_479_872, "qwen2.5-coder-1.5b-instruct": 1_543_569_408}
"""Weights that every token is multiplied with."""
UNREAD_BYTES = {"qwen2.5-coder-1.5b-instruct": 131_272_704}
"""Its embeddings are not its output matrix: a step reads one row of them. The starter has one matrix for both."""
OWN_INPUT, ANSWER, FREE = 48, 64, 20
"""Tokens: a request's own input, an answer to W, and those of an answer to S that its grammar does not force."""
VNNI = ("avx512_vnni", "avx_vnni")
READ_BYTES, SIDE, TRIES = 1 << 28, 2048, 7


@dataclass(frozen=True)
class Machine:
    """Bytes per second that all cores read from memory together, and multiply-adds per second."""

    bytes_per_s: float
    multiply_adds_per_s: float
    integers: bool
    """Whether the peak is that of 8-bit integers: four times that of single precision."""

    def step_s(self, size_bytes: float, parameters: float, tokens: float) -> float:
        """The least seconds of one step over so many tokens."""
        return max(size_bytes / self.bytes_per_s, tokens * parameters / self.multiply_adds_per_s)


def probe(threads: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """Measure with numpy: a dot product over 256 MiB for each thread, and a product of 2,048 x 2,048 matrices.

    Both are the best of seven. numpy's matrix product knows no 8-bit integers, so their peak is computed: a VNNI
    instruction multiplies four times as many numbers as a fused multiply-add of single precision.
    """
    parts = [np.ones(READ_BYTES // 4, dtype=np.float32) for _ in range(threads)]

    def read(pool: ThreadPoolExecutor) -> None:
        list(pool.map(lambda part: float(np.dot(part, part)), parts))

    with ThreadPoolExecutor(threads) as pool:
        read_s = best(lambda: read(pool))
    left, right = (np.random.default_rng(seed).random((SIDE, SIDE), dtype=np.float32) for seed in (1, 2))
    product_s = best(lambda: left @ right)
    integers = cpuinfo.is_file() and any(flag in cpuinfo.read_text().split() for flag in VNNI)
    return Machine(threads * READ_BYTES / read_s, (4 if integers else 1) * SIDE**3 / product_s, integers)


def best(work: Callable[[], object]) -> float:
    """The least seconds of several tries."""
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def limit(machine: Machine, workload: str, clients: int, model: str, size_bytes: int) -> float | None:
    """The bound of a row with this heading, or None where these two properties do not decide."""
    parameters = PARAMETERS.get(model)
    if parameters is None:
        return None
    kind, _, metric = workload.partition(" ")

    def step(tokens: float) -> float:
        return machine.step_s(size_bytes - UNREAD_BYTES.get(model, 0), parameters, tokens)

    if metric.startswith("memory"):
        return size_bytes / 2**20
    if metric.endswith("first token s"):
        return step(OWN_INPUT)
    bounds = {
        "W": lambda: clients * ANSWER / (step(clients * OWN_INPUT) + ANSWER * step(clients)),
        "S": lambda: clients / (step(clients * OWN_INPUT) + FREE * step(clients)),
        "L": lambda: clients / step(clients * OWN_INPUT),
        "P": lambda: clients / step(clients),
    }
    return bounds[kind]() if kind in bounds and metric.endswith("/s") else None
