"""Grammars of texts: an expression holds for the whole text, a choice is one of its texts, GBNF is told from Lark."""

from __future__ import annotations

import pytest

from service.engine.schema import text_grammar
from tests.engine.schema.byte_tokens import accepts, llguidance


@pytest.mark.parametrize(
    ("lark", "right", "wrong"),
    [
        (text_grammar.of_regex("[0-9]{2}|x/y"), ["12", "x/y"], ["1", "123", "x/y2", ""]),
        (text_grammar.of_choice(["yes", "yes!", 'a"\n/é']), ["yes", "yes!", 'a"\n/é'], ["ye", "yes!!", "no"]),
    ],
)
def test_exactly_the_texts_are_accepted(lark: str, right: list[str], wrong: list[str]) -> None:
    assert [accepts(lark, text) for text in right] == [True] * len(right)
    assert [accepts(lark, text) for text in wrong] == [False] * len(wrong)


def test_gbnf_is_told_from_lark_and_converts() -> None:
    gbnf = 'root ::= "yes" | number\nnumber ::= [0-9]+\n'
    assert text_grammar.is_gbnf(gbnf)
    assert not text_grammar.is_gbnf('start: "root ::= x"\n')
    lark = llguidance.gbnf_to_lark.gbnf_to_lark(gbnf)
    assert accepts(lark, "42")
    assert not accepts(lark, "no")
