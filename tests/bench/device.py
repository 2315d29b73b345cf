"""Measures a device alone, without the service: chunks, steps, and copies of a common beginning.

In: the name of a device (`cpu`, `cuda`, `vulkan`, `metal`) and a model of the catalog. Out: medians in milliseconds,
and the bits of a copy on the device beside those of one through the CPU's memory. Exit code 1 if they differ.
`make bench-device` runs it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from service import resources
from service import settings as settings_module
from service.engine.local import devices
from service.engine.local.recipe import CHUNK
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.bench.workloads import PREFIX

if TYPE_CHECKING:
    from service.engine.local.context import Context

SLOTS, N_CTX = 8, 2048
ALL_LAYERS = 999  # llama.cpp takes as many as the model has


class Bench:
    """A context, and the tokens of a prompt that its sequences begin with."""

    def __init__(self, context: Context, size: int) -> None:
        self.context = context
        text = PREFIX * (1 + size // 300)
        self.tokens: Sequence[int] = context.tokenize(text, special=False)[:size]

    def prompt(self, slot: int = 0) -> None:
        """Compute the whole prompt in a slot, chunk by chunk."""
        for start in range(0, len(self.tokens), CHUNK):
            self.rest(start, slot, until=start + CHUNK)

    def rest(self, start: int, slot: int = 0, *, until: int | None = None) -> None:
        """Compute the tokens from `start` on as one batch, behind those that the slot has."""
        tokens = self.tokens[start:until]
        self.context.cut(slot, start)
        last = len(tokens) - 1
        self.context.decode([(token, start + at, slot, at == last) for at, token in enumerate(tokens)])
        self.context.logits(last)  # waits for the device

    def step(self, count: int) -> None:
        """Compute the last token in so many slots."""
        end = len(self.tokens) - 1
        for slot in range(count):
            self.context.cut(slot, end)
        self.context.decode([(self.tokens[-1], end, slot, True) for slot in range(count)])
        self.context.logits(count - 1)

    def copy(self, target: int = 1, *, on_device: bool) -> None:
        """Copy the first slot, and wait until it is done."""
        self.context.copies_on_device = on_device
        self.context.copy(0, target, len(self.tokens))
        self.rest(len(self.tokens) - 1, target)

    def bits(self, *, on_device: bool) -> tuple[bytes, bytes]:
        """The logits behind a copy after its source was deleted, and the copy's state."""
        self.prompt()
        self.copy(on_device=on_device)
        self.context.cut(0, 0)
        self.rest(len(self.tokens) - 2, 1)
        return self.context.logits(1).tobytes(), self.context.state(1).tobytes()


def median_ms(do: Callable[[], object], rounds: int) -> float:
    """The median of some rounds. The one before them is not counted."""
    took = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        do()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took[1:])


def measure(bench: Bench, rounds: int, *, copies_on_device: bool) -> bool:
    """Print the figures. True if both kinds of copies have the same bits."""
    size = len(bench.tokens)
    rows: dict[str, Callable[[], object]] = {
        f"a prompt of {size} tokens": bench.prompt,
        f"its last {CHUNK} tokens": lambda: bench.rest(size - CHUNK),
        "a step of 1 sequence": lambda: bench.step(1),
        "its state read": lambda: bench.context.state(0),
        "a copy through the CPU's memory, and a step": lambda: bench.copy(on_device=False),
    }
    if copies_on_device:
        rows["a copy on the device, and a step"] = lambda: bench.copy(on_device=True)
    for name, do in rows.items():
        print(f"{name}: {median_ms(do, rounds):.1f} ms", flush=True)
    for slot in range(1, SLOTS):
        bench.copy(slot, on_device=copies_on_device)
    print(f"a step of {SLOTS} sequences: {median_ms(lambda: bench.step(SLOTS), rounds):.1f} ms")
    if not copies_on_device:
        return True
    same = bench.bits(on_device=True) == bench.bits(on_device=False)
    print(f"bits of the copies: {'the same' if same else 'different'}")
    return same


def main() -> None:
    """Read the command line, load the device, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", choices=(devices.CPU, *devices.NAMES))
    parser.add_argument("--model", help="a name of the catalog, by default the starter")
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    if not CHUNK <= given.tokens < N_CTX:
        parser.error(f"--tokens must be at least {CHUNK} and less than {N_CTX}")
    settings = settings_module.load(device=given.device)
    catalog = Catalog.of(settings)
    model = catalog[given.model or catalog.default]
    name = devices.choice(settings)[0]
    try:
        gpus = devices.load(name)
    except OSError as error:
        sys.exit(f"bench-device: {error}")
    from service.engine.local.context import Context  # imports llama_cpp, behind the kernels

    context = Context(
        Cache(settings.cache_dir).path(model), n_ctx=N_CTX, slots=SLOTS, devices=gpus, kernels=name,
        threads=1 if gpus else resources.threads(settings)[0], gpu_layers=ALL_LAYERS if gpus else 0,
    )  # fmt: skip
    print(f"{model.name}, {name}, {', '.join(gpu.description for gpu in gpus) or 'the CPU alone'}")
    fits = measure(Bench(context, given.tokens), given.rounds, copies_on_device=context.copies_on_device)
    context.close()
    sys.exit(0 if fits else 1)


if __name__ == "__main__":
    main()
