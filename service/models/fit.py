"""An estimate of the memory that a model needs, before it is loaded.

In: a GGUF header, the file's size, the context, a device's free memory. Out: bytes, by part, and the layers that a
device takes. The estimate is rather too high than too low: a
refusal names numbers that can be changed, but the kernel's out-of-memory killer gives no reason.
Not here: how much memory there is (`resources`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.errors import ModelDoesNotFit
from service.models.gguf import Metadata

KV_BYTES = 2  # f16 keys and values
USUAL_CONTEXT = 2048  # tokens of one request: enough for most answers
DEVICE_OVERHEAD_BYTES = 192 * 1024 * 1024  # workspaces: 33 MiB measured on an H200, beside the driver's own context
FILES_CONTEXT = 4096  # tokens of one request in which a model writes whole files again
SPARE = 0.75  # the share of memory that a model with the larger context may fill
OVERHEAD_BYTES = 96 * 1024 * 1024  # Python, libllama and its vocabulary: 70 to 90 MiB measured on both Qwen and SmolLM2


@dataclass(frozen=True)
class Fit:
    """Bytes by part. `tokens` is the capacity of the key-value cache, for all sequences together."""

    weights: int
    kv: int
    compute: int
    overhead: int
    tokens: int

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.weights + self.kv + self.compute + self.overhead

    def sentence(self) -> str:
        """The numbers in one sentence."""
        return (
            f"{mib(self.total)} MiB: weights {mib(self.weights)}, "
            f"key-value cache {mib(self.kv)} for {self.tokens} tokens, "
            f"compute buffers {mib(self.compute)}, overhead {mib(self.overhead)}"
        )


def mib(size_bytes: int) -> int:
    """Mebibytes, rounded up."""
    return -(-size_bytes // (1024 * 1024))


def estimate(metadata: Metadata, file_bytes: int, *, tokens: int, batch: int = 512, outputs: int = 64) -> Fit:
    """The memory of a model with a key-value cache of `tokens` and micro-batches of `batch` tokens.

    Key-value cache: one key and one value row per token, layer and key-value head (llama.cpp src/llama-kv-cache.cpp).
    Compute buffers: the largest activations alive at once, attention scores of one layer for a whole micro-batch,
    logits for every output row. Tensors that are repacked at load count twice, at most the whole file.
    """
    row = metadata.head_count_kv * (metadata.key_length + metadata.value_length)
    kv = metadata.block_count * row * KV_BYTES * tokens
    activations = batch * metadata.embedding_length * 4 * 12
    scores = batch * metadata.head_count * min(tokens, 4096) * 4
    logits = max(batch, outputs) * metadata.vocabulary * 4
    return Fit(file_bytes, kv, activations + scores + logits, OVERHEAD_BYTES, tokens)


def offload(metadata: Metadata, needed: Fit, free_bytes: Sequence[int]) -> tuple[int, str]:
    """How many layers a device takes of a model that needs this much memory, and why.

    `free_bytes` are those of each device, asked by a process that has the driver's context too. llama.cpp counts the
    output as a layer and takes it first (llama-model.cpp, load_tensors). It is counted with two bytes per weight, and
    the embeddings, which stay in the CPU's memory, are counted with the blocks, so the estimate is rather too high.
    """
    layers = metadata.block_count + 1
    output = _output_bytes(metadata)
    block = max(1, (needed.weights + needed.kv) // metadata.block_count)
    spare = sum(max(0, free - DEVICE_OVERHEAD_BYTES - needed.compute) for free in free_bytes)
    fitting = 0 if spare < output + block else min(layers, 1 + (spare - output) // block)
    whole = mib(output + block * metadata.block_count + needed.compute + DEVICE_OVERHEAD_BYTES)
    return fitting, (
        f"{fitting} of {layers} layers: all need {whole} MiB, and {mib(sum(free_bytes))} MiB of its memory are free"
    )


def beside_device(metadata: Metadata, needed: Fit, layers: int) -> Fit:
    """The part of the memory that stays the CPU's if a device takes so many layers."""
    if layers == 0:
        return needed
    left = metadata.block_count + 1 - layers
    weights = max(min(needed.weights, _output_bytes(metadata)), needed.weights * left // metadata.block_count)
    return replace(needed, weights=weights, kv=needed.kv * left // metadata.block_count)


def _output_bytes(metadata: Metadata) -> int:
    return metadata.vocabulary * metadata.embedding_length * 2


def context(
    metadata: Metadata, file_bytes: int, *, trained: int, parallel: int, writes_files: bool, free_bytes: int
) -> tuple[int, str]:
    """Tokens of one request without a setting, and the reason. A model that writes files gets more if memory is free.

    `trained` is the context that the model was trained for. `free_bytes` is the memory that no other model takes.
    """
    usual = min(USUAL_CONTEXT, trained)
    if not writes_files or trained < FILES_CONTEXT:
        return usual, "the default"
    needed = estimate(metadata, file_bytes, tokens=FILES_CONTEXT * parallel).total
    if needed > SPARE * free_bytes:
        return usual, f"{FILES_CONTEXT} would need {mib(needed)} of {mib(free_bytes)} MiB"
    return FILES_CONTEXT, "it writes files, and the memory is free"


def check(name: str, fit: Fit, limit: tuple[int, str], *, other_engines_bytes: int = 0) -> None:
    """Refuse a model that does not fit under `limit` (bytes, reason) beside what other engines take already.

    Raises:
        ModelDoesNotFit: if it does not fit. The message has the numbers.
    """
    allowed, reason = limit
    if fit.total + other_engines_bytes <= allowed:
        return
    also = f" beside {mib(other_engines_bytes)} MiB of other models" if other_engines_bytes else ""
    raise ModelDoesNotFit(
        f"{name} needs about {fit.sentence()}{also}; this container may use {mib(allowed)} MiB ({reason}).",
        key=name,
        remedy="Lower SAMEBOAT_CONTEXT or SAMEBOAT_PARALLEL, take a smaller model, or raise the limit.",
    )
