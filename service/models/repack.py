"""Write the weights of a GGUF file in a format that computes faster: Q4_1 as Q8_0.

In: a file with tensors in Q4_1. Out: a file with the same tensors in Q8_0, everything else unchanged.
Not here: where files are kept and how they are verified (`cache`).

llama.cpp has fast matrix kernels for Q8_0 and none for Q4_1. A block of Q4_1 is 32 values `scale * code + minimum` with
codes 0 to 15. A block of Q8_0 is 32 values `scale * code` with codes -127 to 127. The new scale is the old one divided
by a whole number k. Then every step of 15 is a step of 15 * k, and only the minimum is rounded, to a multiple of the
new scale. k is chosen for the smallest error of the block. The error is half of what llama.cpp's own conversion makes
(root mean square over the starter's tensors), because that one rounds every value.

The arithmetic is IEEE single precision without fused operations, so the bytes are the same on every machine.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from service.errors import ModelCorrupt
from service.models.gguf import Q4_1, Q8_0, Layout, read_layout

BLOCK = 32  # values in a block of both types (ggml-common.h, QK4_1 and QK8_0)
Q4_1_BLOCK = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("codes", "u1", (BLOCK // 2,))])
Q8_0_BLOCK = np.dtype([("scale", "<f2"), ("codes", "i1", (BLOCK,))])
LARGEST = 127  # of a code of Q8_0
PART_BLOCKS = 1 << 16  # converted at a time, so that the memory does not grow with the tensor
FILE_TYPE = "general.file_type"
FILE_TYPE_Q8_0 = 7  # LLAMA_FTYPE_MOSTLY_Q8_0 (llama.h)


def repack(source: Path, target: Path, progress: Callable[[int], None] = lambda done: None) -> None:
    """Write `target`. `progress` is called with the bytes written.

    Raises:
        ModelCorrupt: if the source is no GGUF file, or ends before its last tensor.
        OSError: if the target cannot be written.
    """
    layout = read_layout(source)
    types = [Q8_0 if tensor.type == Q4_1 else tensor.type for tensor in layout.tensors]
    with source.open("rb") as old, target.open("wb") as new:
        new.write(_header(layout, types))
        for tensor, kind in zip(layout.tensors, types, strict=True):
            _pad(new, layout.alignment)
            old.seek(layout.data_start + tensor.offset)
            left = tensor.size_bytes
            while left:
                size = min(left, PART_BLOCKS * Q4_1_BLOCK.itemsize)
                part = old.read(size)
                if len(part) < size:
                    raise ModelCorrupt(f"{source}: the file ends inside a tensor.", key="file")
                left -= size
                new.write(part if kind == tensor.type else to_q8_0(np.frombuffer(part, Q4_1_BLOCK)).tobytes())
                progress(new.tell())
        _pad(new, layout.alignment)


def to_q8_0(blocks: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Blocks of Q8_0 for blocks of Q4_1. Shapes (n,) and (n,)."""
    packed = blocks["codes"]
    codes = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.int16)
    scale, minimum = blocks["scale"].astype(np.float32), blocks["minimum"].astype(np.float32)
    low, high = codes.min(axis=1).astype(np.float32), codes.max(axis=1).astype(np.float32)
    first, last = scale * low + minimum, scale * high + minimum
    error = np.full(len(blocks), np.inf, np.float32)
    factor, offset = np.zeros((2, len(blocks)), np.int16)
    result = np.zeros(len(blocks), Q8_0_BLOCK)
    for k in range(1, LARGEST + 1):
        new_scale = (scale / np.float32(k)).astype(np.float16)
        step = new_scale.astype(np.float32)
        shift = np.rint(np.divide(minimum, step, out=np.zeros_like(step), where=step != 0))
        new_low, new_high = low * k + shift, high * k + shift
        fits = (step != 0) & (np.abs(new_low) <= LARGEST) & (np.abs(new_high) <= LARGEST)
        if not fits.any():
            break
        # The error is linear in the old code, so its values at both ends tell its mean square.
        at_low, at_high = step * new_low - first, step * new_high - last
        now = at_low * at_low + at_low * at_high + at_high * at_high
        better = fits & (now < error)
        error = np.where(better, now, error)
        factor, offset = np.where(better, k, factor), np.where(better, shift, offset).astype(np.int16)
        result["scale"] = np.where(better, new_scale, result["scale"])
    result["codes"] = codes * factor[:, None] + offset[:, None]
    rest = np.isinf(error)
    if rest.any():  # constant blocks, and blocks that are far from zero
        result[rest] = _rounded(scale[rest, None] * codes[rest] + minimum[rest, None])
    return result


def _rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.void]:
    """Each block scaled by its largest value, each value rounded. Shapes (n, 32) and (n,)."""
    result = np.zeros(len(values), Q8_0_BLOCK)
    result["scale"] = np.abs(values).max(axis=1) / np.float32(LARGEST)
    step = result["scale"].astype(np.float32)[:, None]
    codes = np.rint(np.divide(values, step, out=np.zeros_like(values), where=step != 0))
    result["codes"] = np.clip(codes, -LARGEST, LARGEST)
    return result


def _header(layout: Layout, types: list[int]) -> bytes:
    """Everything before the first tensor, with the new types, offsets and file type."""
    header = bytearray(layout.header)
    if (at := layout.places.get(FILE_TYPE)) is not None:
        struct.pack_into("<I", header, at, FILE_TYPE_Q8_0)
    offset = 0
    for tensor, kind in zip(layout.tensors, types, strict=True):
        name = tensor.name.encode()
        header += struct.pack("<Q", len(name)) + name
        header += struct.pack(f"<I{len(tensor.shape)}QIQ", len(tensor.shape), *tensor.shape, kind, offset)
        size = tensor.size_bytes
        if kind != tensor.type:
            size = size // Q4_1_BLOCK.itemsize * Q8_0_BLOCK.itemsize
        offset += size + -size % layout.alignment
    return bytes(header)


def _pad(file: BinaryIO, alignment: int) -> None:
    """Zero bytes up to the next multiple of `alignment`."""
    file.write(bytes(-file.tell() % alignment))
