"""Draws and log-probabilities with numpy are those of llama.cpp's samplers and of a full softmax. Without a model."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any, cast

import llama_cpp as llama
import numpy as np
import numpy.typing as npt
import pytest

from service.engine.local.context import Context
from service.engine.local.draw import TokenDraw
from service.engine.local.sampling import RowLogprobs, SamplerChain, best, log_softmax, sampler_of
from service.engine.types import Sampling

SIZE = 3_000  # more tokens than llama.cpp sorts in one go, and no multiple of a block


def sampling(**values: Any) -> dict[str, Any]:
    names = Sampling.__dataclass_fields__
    return {name: getattr(Sampling(**values), name) for name in names}


def rows(count: int, spread: float) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, spread, (count, SIZE)).astype(np.float32)


def drawn_by_llama_cpp(values: dict[str, Any], logits: npt.NDArray[np.float32]) -> list[int]:
    """One token per row, from llama.cpp's samplers in the order of `Sampling`."""
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    if values["top_p"] < 1:
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_p(values["top_p"], 1))
    if values["min_p"] > 0:
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_min_p(values["min_p"], 1))
    llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_temp(values["temperature"]))
    llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_dist(values["seed"]))
    tokens = []
    for row in logits:
        data = (llama.llama_token_data * SIZE)(*((token, float(value), 0.0) for token, value in enumerate(row)))
        candidates = llama.llama_token_data_array(data=data, size=SIZE, selected=-1, sorted=False)
        llama.llama_sampler_apply(chain, ctypes.byref(candidates))
        tokens.append(candidates.data[candidates.selected].id)
    llama.llama_sampler_free(chain)
    return tokens


@pytest.mark.parametrize("spread", [0.3, 4.0])
@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.8},
        {"temperature": 1.0, "top_p": 0.9},
        {"temperature": 1.5, "min_p": 0.1},
        {"temperature": 0.7, "top_p": 0.95, "min_p": 0.02},
        {"temperature": 1.0, "top_p": 1e-9},
    ],
)
def test_a_fast_draw_is_that_of_llama_cpp_for_the_same_seed(values: dict[str, Any], spread: float) -> None:
    values, logits = sampling(seed=7, **values), rows(40, spread)
    draw = TokenDraw(values, 7)
    tokens = [draw.choose(0, row) for row in logits]
    theirs = drawn_by_llama_cpp(values, logits)
    assert sum(mine != other for mine, other in zip(tokens, theirs, strict=True)) <= 1, (
        "llama.cpp adds up top-p in single precision, so of 2,500 tokens it may keep one more or fewer"
    )
    assert len(set(tokens)) > 20, "the rows differ, so the tokens do"


def test_a_masked_token_is_never_drawn_even_by_the_smallest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.full(SIZE, -np.inf, np.float32)
    logits[[600, 2_900]] = 0.0
    draw = TokenDraw(sampling(temperature=1.0), 1)
    assert {draw.choose(0, logits) for _ in range(50)} == {600, 2_900}
    monkeypatch.setattr(draw, "_uniform", lambda: 0.0)
    assert draw.choose(0, logits) == 600
    monkeypatch.setattr(draw, "_uniform", lambda: 1.0)
    assert draw.choose(0, logits) == 2_900


@pytest.mark.parametrize(
    ("values", "exact", "kind"),
    [
        ({"temperature": 0.8}, False, TokenDraw),
        ({"temperature": 0.8}, True, SamplerChain),
        ({"temperature": 0.0}, False, SamplerChain),
        ({"temperature": 0.8, "top_k": 40}, False, SamplerChain),
        ({"temperature": 0.8, "repeat_penalty": 1.1}, False, SamplerChain),
        ({"temperature": 0.8, "logit_bias": ((3, 1.0),)}, False, SamplerChain),
    ],
)
def test_exact_answers_and_rules_that_need_the_chain_keep_it(values: dict[str, Any], exact: bool, kind: type) -> None:
    context = cast(Context, SimpleNamespace(vocab_size=SIZE))
    sampler = sampler_of(context, sampling(**values), [1, 2], exact=exact)
    assert isinstance(sampler, kind)
    sampler.close()


def test_single_log_probabilities_are_those_of_the_whole_softmax_bit_for_bit() -> None:
    for row in rows(5, 4.0):
        whole = log_softmax(row)
        assert abs(np.exp(whole).sum() - 1) < 1e-9
        found = RowLogprobs(row, 20)
        assert [token for token, _ in found.best] == list(np.argsort(-whole, kind="stable")[:20])
        assert found.best == [(token, float(whole[token])) for token, _ in found.best]
        assert [found.of(token) for token in range(50)] == [float(value) for value in whole[:50]]


@pytest.mark.parametrize("size", [10, 300, SIZE])
def test_equal_logits_are_ordered_by_token_id(size: int) -> None:
    row = np.zeros(size, np.float32)
    row[[9, 5]] = 1.0
    assert best(row, 4) == [5, 9, 0, 1]
    assert best(row, 0) == []
    assert len(best(row, size + 1)) == size
