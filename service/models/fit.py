"""An estimate of the memory that a model needs, before it is loaded.

In: a GGUF header, the file's size, the context. Out: bytes, by part. The estimate is rather too high than too low: a
refusal names numbers that can be changed, but the kernel's out-of-memory killer gives no reason.
Not here: how much memory there is (`resources`).
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import ModelDoesNotFit
from service.models.gguf import Metadata

KV_BYTES = 2  # f16 keys and values
USUAL_CONTEXT = 2048  # tokens of one request: enough for most answers
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
