"""Models of the catalog by the memory that they need, and whether this machine has it.

In: the catalog, the cache, the memory that models may use. Out: `Suggestion` values, the largest that fits first.
Not here: how well a model does a task. Promoted prompts say that (`evaluation`).
"""

from __future__ import annotations

from dataclasses import dataclass

from service.models import fit
from service.models.cache import Cache
from service.models.catalog import Catalog, Model
from service.models.gguf import read_metadata

MOST_KV_BYTES = 147_456
"""Of one token, for a model whose header is not here: 36 layers with 8 heads of 128 keys and values, as Qwen3-4B has.

The models of the catalog have this much or less, so an estimate with it is rather too high.
"""
GROUPS_GIB = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Suggestion:
    """A model and its memory in bytes. `exact` if the estimate is from the file's header."""

    model: Model
    needs_bytes: int
    exact: bool
    fits: bool
    cached: bool

    @property
    def group_gib(self) -> int:
        """The smallest usual size of memory, in GiB, that holds it."""
        return next((size for size in GROUPS_GIB if self.needs_bytes <= size << 30), GROUPS_GIB[-1])


def suggestions(
    catalog: Catalog, cache: Cache, limit_bytes: int, *, context: int | None, parallel: int
) -> list[Suggestion]:
    """Every model of the catalog: those that fit first, the larger ones before the smaller ones.

    `context` and `parallel` are the settings, which decide the size of the key-value cache.
    """
    rows = []
    for model in catalog:
        tokens = min(context or fit.USUAL_CONTEXT, model.context) * parallel
        cached = cache.holds(model)
        if cached:
            needs = fit.estimate(read_metadata(cache.path(model)), model.size_bytes, tokens=tokens).total
        else:
            needs = model.size_bytes + MOST_KV_BYTES * tokens + fit.OVERHEAD_BYTES
        rows.append(Suggestion(model, needs, cached, needs <= limit_bytes, cached))
    return sorted(rows, key=lambda row: (not row.fits, -row.needs_bytes if row.fits else row.needs_bytes))
