"""Prompts that come back: log-probabilities of their tokens, token ids, and texts with control tokens and suffixes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from service.engine.local.context import Context
from service.engine.local.input_processor import InputProcessor
from service.engine.types import Answer, Request, Sampling
from service.errors import RequestError
from tests.engine.local.conftest import Loaded

TEXT = "The capital of France is Paris. The capital of Italy is" + " and so on" * 30


def prompt_of(loaded: Loaded, text: str, **fields: Any) -> tuple[int, ...]:
    return loaded.runner.run(loaded.engine.tokenize(Request(text=text, **fields)))


def echoed(loaded: Loaded, tokens: tuple[int, ...], **sampling: Any) -> Answer:
    request = Request(tokens=tokens, echo=True, logprobs=2, sampling=Sampling(**{"max_tokens": 0, **sampling}))
    return loaded.run(request)[0]


@pytest.mark.model
def test_the_prompts_log_probabilities_are_those_of_the_answer_that_it_was(loaded: Loaded) -> None:
    """An answer, sent back as the end of a prompt, has the log-probabilities with which it was chosen."""
    prompt = prompt_of(loaded, TEXT)
    assert len(prompt) > 64  # more than one chunk
    answer = loaded.run(Request(tokens=prompt, logprobs=2, sampling=Sampling(max_tokens=8)))[0]
    back = echoed(loaded, prompt + answer.tokens)
    assert (back.text, back.tokens, back.finish_reason, back.logprobs) == ("", (), "length", ())
    assert [entry.token for entry in back.prompt_logprobs] == [*prompt, *answer.tokens]
    assert "".join(entry.text for entry in back.prompt_logprobs) == TEXT + answer.text
    for entry, chosen in zip(back.prompt_logprobs[-8:], answer.logprobs or (), strict=True):
        assert entry.logprob == pytest.approx(chosen.logprob, abs=0.05)
        assert entry.top[0].token == entry.token  # it was greedy


@pytest.mark.model
def test_a_prompt_that_is_kept_is_still_told_whole(loaded: Loaded) -> None:
    prompt = prompt_of(loaded, TEXT)
    first, second = (echoed(loaded, prompt, max_tokens=1) for _ in range(2))
    assert len(first.prompt_logprobs) == len(second.prompt_logprobs) == len(prompt)
    assert second.usage.cached == 0
    assert [entry.logprob for entry in first.prompt_logprobs] == [entry.logprob for entry in second.prompt_logprobs]
    assert len(second.logprobs or ()) == len(second.tokens) == 1


@pytest.mark.model
def test_token_ids_are_the_text_that_they_stand_for(loaded: Loaded) -> None:
    same: dict[str, Any] = {"mode": "exact", "sampling": Sampling(max_tokens=4)}
    text, ids = Request(text=TEXT, **same), Request(tokens=prompt_of(loaded, TEXT), **same)
    assert loaded.run(text)[0].tokens == loaded.run(ids)[0].tokens


@pytest.mark.model
def test_control_tokens_are_read_when_asked_and_written_back(loaded: Loaded) -> None:
    text = "<|im_start|>user\nHé 🦜<|im_end|>"
    read, unread = (prompt_of(loaded, text, parse_special=special) for special in (True, False))
    assert len(read) < len(unread)
    for tokens in (read, unread):
        back = loaded.runner.run(loaded.engine.detokenize(tokens))
        assert back.text == text
        assert len(back.names) == len(tokens)
    assert back.names != loaded.runner.run(loaded.engine.detokenize(read)).names
    assert echoed(loaded, read).prompt_logprobs[0].text == "<|im_start|>"


@pytest.mark.model
@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request(text="x", suffix="y"), "suffix"),
        (Request(tokens=(1, 49_152)), "prompt"),
        (Request(text="x", sampling=Sampling(max_tokens=0)), "max_tokens"),
        (Request(tokens=(1,) * 5_000), "messages"),
    ],
    ids=["no tokens for the middle", "no such token", "nothing to do", "too many"],
)
def test_a_prompt_beyond_the_starters_abilities_is_refused(loaded: Loaded, request_: Request, key: str) -> None:
    with pytest.raises(RequestError) as refused:
        loaded.run(request_)
    assert refused.value.key == key


class Spelled:
    """A context with characters as tokens, and three tokens to fill in the middle."""

    n_ctx, add_bos, bos, fill_in = 100, True, 1, (2, 3, 4)

    def control_texts(self) -> list[str]:
        return ["<B>", "<P>", "<S>", "<M>"]

    def name(self, token: int) -> str:
        return self.control_texts()[token - 1]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        if special and text in self.control_texts():
            return [self.control_texts().index(text) + 1]
        return [ord(character) for character in text]


def test_a_suffix_stands_between_the_models_own_tokens() -> None:
    processor = InputProcessor(cast(Context, Spelled()))
    message = {"ids": None, "segments": [("a<S>", False)], "suffix": "z"}
    assert processor.prompt(message) == [1, 2, *map(ord, "a<S>"), 3, ord("z"), 4]
    assert processor.prompt({**message, "add_special": False})[0] == 2
