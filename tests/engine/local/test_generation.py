"""Verifying a draft gives the tokens, texts and log-probabilities of one step after another. Without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from service.engine.local.constraint import Constraint
from service.engine.local.context import Context
from service.engine.local.detokenizer import Detokenizer
from service.engine.local.generation import Generation
from service.engine.local.sampling import Sampler

END = 0
ANSWER = [3, 1, 4, 1, 5, 2, 6, 5, 3, 5]


class Scripted:
    """A context that gives token k of a script the largest logit in row k."""

    vocab_size, endings = 10, frozenset({END})

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.read: list[int] = []

    def piece(self, token: int) -> bytes:
        return f"{token} ".encode()

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        self.read.append(row)
        answer = np.linspace(0, 1, self.vocab_size, dtype=np.float32)
        answer[self.script[row]] = 5
        return answer


class Forcing:
    """A grammar that forces 4 after 1, and allows everything else."""

    complete = False

    def __init__(self) -> None:
        self.taken: list[int] = []

    def allows(self, token: int) -> bool:
        return True

    def take(self, token: int) -> None:
        self.taken.append(token)

    def forced(self) -> list[int]:
        return [4] if self.taken[-1:] == [1] else []

    def possible(self, tokens: list[int]) -> int:
        return next((at for at, token in enumerate(tokens) if token == 9), len(tokens))


def generation(
    context: Scripted, *, limit: int = 100, stop: tuple[str, ...] = (), grammar: Forcing | None = None
) -> Generation:
    chain = SimpleNamespace(
        plain=True, choose=lambda row, logits: int(np.argmax(logits)), force=lambda token: None, close=lambda: None
    )
    return Generation(
        cast(Context, context), cast(Sampler, chain), cast(Constraint, grammar), Detokenizer(stop), limit, 1, True
    )


def verified(draft: list[int], script: list[int] = ANSWER, **options: Any) -> tuple[int, Generation, Scripted]:
    context = Scripted(script)
    answer = generation(context, **options)
    return answer.verify(0, draft), answer, context


def one_by_one(count: int, script: list[int] = ANSWER, **options: Any) -> Generation:
    context = Scripted(script)
    answer = generation(context, **options)
    for row in range(count):
        if answer.finish is None:
            answer.step(row, context.logits(row))
    return answer


@pytest.mark.parametrize("right", range(6))
def test_the_longest_right_beginning_is_accepted_and_one_token_more(right: int) -> None:
    draft = [*ANSWER[:right], 9, *ANSWER[right + 1 : 7]]
    accepted, answer, context = verified(draft)
    assert accepted == right
    assert answer.pending == [ANSWER[right]], "the token at the first miss is not computed yet"
    assert context.read == list(range(right + 1)), "no row behind the first miss is looked at"
    assert answer.take_fresh() == one_by_one(right + 1).take_fresh()


def test_a_draft_that_is_right_to_its_end_is_followed_by_one_token_more() -> None:
    accepted, answer, _ = verified(ANSWER[:6])
    assert (accepted, answer.tokens, answer.pending) == (6, ANSWER[:7], [ANSWER[6]])


def test_without_a_draft_it_is_one_step() -> None:
    accepted, answer, _ = verified([])
    assert (accepted, answer.pending, answer.take_fresh()) == (0, [3], one_by_one(1).take_fresh())


def test_a_stop_text_inside_a_draft_cuts_the_answer_there() -> None:
    accepted, answer, context = verified(ANSWER[:8], stop=("4 1",))
    assert answer.finish == "stop"
    assert answer.tokens == ANSWER[:4]
    assert answer.fresh_text == "3 1 "
    assert (accepted, context.read) == (4, [0, 1, 2, 3])


def test_the_limit_inside_a_draft_cuts_the_answer_there() -> None:
    accepted, answer, context = verified(ANSWER[:8], limit=3)
    assert (answer.finish, answer.tokens, accepted, context.read) == ("length", ANSWER[:3], 3, [0, 1, 2])
    assert len(answer.fresh_logprobs) == 3


def test_the_end_of_the_answer_inside_a_draft_is_no_token() -> None:
    script = [3, 1, END, 7, 7, 7]
    accepted, answer, _ = verified([3, 1, 7, 7], script)
    assert (answer.finish, answer.tokens, answer.pending, accepted) == ("stop", [3, 1], [], 2)


def test_forced_tokens_are_part_of_a_draft_that_foresaw_them() -> None:
    """Row 2 belongs to the forced token, so nothing is chosen from it."""
    script = [3, 1, 8, 7, 7]
    accepted, answer, context = verified([3, 1, 4, 7], script, grammar=Forcing())
    assert (answer.tokens, answer.forced, accepted) == ([3, 1, 4, 7, 7], 1, 4)
    assert context.read == [0, 1, 3, 4]
    assert [entry["token"] for entry in answer.fresh_logprobs] == answer.tokens
    assert answer.fresh_logprobs[2]["logprob"] == 0.0


def test_forced_tokens_that_a_draft_did_not_foresee_are_computed_in_the_next_step() -> None:
    accepted, answer, _ = verified([3, 1, 7, 7], [3, 1, 8, 7, 7], grammar=Forcing())
    assert (answer.tokens, answer.pending, accepted) == ([3, 1, 4], [4], 2)


def test_a_draft_ends_before_an_ending_and_where_the_grammar_does() -> None:
    answer = generation(Scripted(ANSWER))
    assert answer.possible([3, 9, END, 5]) == [3, 9]
    assert generation(Scripted(ANSWER), grammar=Forcing()).possible([3, 9, END, 5]) == [3]
    assert generation(Scripted(ANSWER), grammar=Forcing()).possible([END, 5]) == []
