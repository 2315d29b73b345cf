"""Names of quantizations: in a GGUF header, in names of files, and the order in which one is chosen.

In: a header's `general.file_type`, or a file's name. Out: a name such as Q4_K_M.
Not here: conversion (`repack`).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip
"""llama.h, enum llama_ftype."""
USUAL = ("Q4_K_M", "MXFP4_MOE", "MXFP4")
"""What is taken first if it fits: the usual compromise of size and quality, and the one that gpt-oss is trained in."""
UNKNOWN = "unknown"
_NAME = r"(?:UD-)?(?:I?Q[1-8]_(?:[A-Z0-9]+(?:_[A-Z0-9]+)*)|TQ[12]_0|MXFP4(?:_MOE)?|BF16|F16|F32|FP16)"
_IN_FILE = re.compile(rf"(?:^|[-._])({_NAME})(?=$|[-.])", re.IGNORECASE)


def of_header(file_type: object) -> str:
    """The quantization that a header states, or `unknown`."""
    return FILE_TYPES.get(file_type, UNKNOWN) if isinstance(file_type, int) else UNKNOWN


def of_file(name: str) -> str:
    """The quantization that a file's name ends with, or `unknown`."""
    names = _IN_FILE.findall(PurePosixPath(name).name.removesuffix(".gguf"))
    return names[-1].upper() if names else UNKNOWN


def without(name: str) -> str:
    """A file's name without its folder, ending and quantization: the model's own name."""
    stem = re.sub(r"\.gguf$", "", PurePosixPath(name).name, flags=re.IGNORECASE)
    return re.sub(rf"[-._]({_NAME})(?=$|[-.])", "", stem, flags=re.IGNORECASE)
