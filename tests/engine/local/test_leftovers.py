"""A finished request leaves nothing behind: no sampler of llama.cpp, and no slot with false tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.engine.local import sampling
from service.engine.local.context import Context
from service.engine.local.prefix_cache import PrefixCache
from service.engine.local.recipe import CHUNK
from service.engine.local.sampling import SamplerChain
from service.engine.local.scheduler import ScheduledSequence
from service.engine.local.slots import KVSlots
from service.errors import ModelError

HOT = {
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "frequency_penalty": 0.0,
    "presence_penalty": 0.0, "logit_bias": (), "seed": 1,
}  # fmt: skip


def test_samplers_of_an_abandoned_request_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[Any] = []
    free = sampling.llama.llama_sampler_free
    monkeypatch.setattr(sampling.llama, "llama_sampler_free", lambda chain: (freed.append(chain), free(chain)))
    chain = SamplerChain(cast(Context, SimpleNamespace(vocab_size=8)), HOT, [1])
    del chain
    assert len(freed) == 1


class Refusing:
    """A context that takes no state back, and empties the slot for which it was given, as llama.cpp does."""

    shares = copies_on_device = False

    def copy(self, source: int, target: int, size: int) -> bool:
        return False

    def cut(self, slot: int, size: int) -> None:
        pass


def test_a_slot_whose_copy_fails_claims_to_hold_nothing() -> None:
    kv_slots = KVSlots(cast(Context, Refusing()), 2, PrefixCache(0, chunk=CHUNK))
    source, target = kv_slots.slots
    source.tokens, source.owner, target.tokens = list(range(CHUNK)), 1, [7, 8, 9]
    with pytest.raises(ModelError):
        kv_slots.admit(ScheduledSequence(2, list(range(CHUNK + 1)), exact=False, background=False), 1)
    assert (target.tokens, target.owner, source.tokens) == ([], None, list(range(CHUNK)))


def test_a_chunk_is_for_exact_requests_only_if_it_was_computed_alone() -> None:
    kv_slots = KVSlots(cast(Context, Refusing()), 2, PrefixCache(0, chunk=CHUNK))
    mixed, alone = kv_slots.slots
    kv_slots.computed(mixed, [1] * CHUNK, alone=False)
    kv_slots.computed(mixed, [1] * CHUNK, alone=True)
    kv_slots.computed(alone, [1] * CHUNK, alone=True)
    assert [(len(slot.tokens), slot.canonical) for slot in kv_slots.slots] == [(2 * CHUNK, 0), (CHUNK, CHUNK)]
