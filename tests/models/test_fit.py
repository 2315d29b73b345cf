"""How much context a model gets where no setting says it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.models import fit
from service.models.gguf import Metadata

GIB = 1024**3
QWEN = cast(  # the header of the 1.5B coder, as far as an estimate reads it
    Metadata,
    SimpleNamespace(
        head_count_kv=2, key_length=128, value_length=128, block_count=28, embedding_length=1536, head_count=12,
        vocabulary=151936,
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("more", "tokens", "why"),
    [
        ({}, 4096, "the memory is free"),
        ({"writes_files": False}, 2048, "the default"),
        ({"free_bytes": 3 * GIB}, 2048, "4096 would need 2"),
        ({"free_bytes": 3 * GIB, "parallel": 1}, 4096, "the memory is free"),
        ({"free_bytes": -1}, 2048, "4096 would need"),
        ({"trained": 1024}, 1024, "the default"),
    ],
    ids=str,
)
def test_a_model_that_writes_files_gets_more_context_where_the_memory_is_free(
    more: dict[str, Any], tokens: int, why: str
) -> None:
    """Three quarters of the free memory may be filled. Otherwise the usual context stays, and is checked later."""
    values = {"trained": 32768, "parallel": 8, "writes_files": True, "free_bytes": 8 * GIB} | more
    found, reason = fit.context(QWEN, 1_117_320_736, **values)
    assert found == tokens
    assert why in reason
