"""Grammars of texts: an expression holds for the whole text, a choice is one of its texts, GBNF is told from Lark."""

from __future__ import annotations

import pytest

from service.engine.local import guidance
from service.engine.schema import text_grammar
from service.errors import RequestError
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


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("start: r0\n" + "".join(f"r{n}: r{n + 1}\n" for n in range(600)), "rules"),
        ("root ::= r0\n" + "".join(f"r{n} ::= r{n + 1}\n" for n in range(600)), "rules"),
        ("start: A\nA: " + " & ".join(f"/(a|b)*a(a|b){{{n}}}/" for n in range(40)), "intersections"),
        ('start: %json {"type": "string"}', "%json"),
        ("x" * 70_000, "characters"),
    ],
    ids=["a chain in Lark", "a chain in GBNF", "intersections", "a schema that passes the gate by", "characters"],
)
def test_a_hostile_grammar_is_refused_before_the_engine_reads_it(grammar: str, why: str) -> None:
    """A chain of 3,000 rules ended llguidance's process, and 40 intersections took it more than 15 seconds."""
    with pytest.raises(RequestError, match=why):
        text_grammar.of_text(grammar)


def test_marks_of_the_language_in_texts_are_texts() -> None:
    grammar = 'start: "%json & & & & & & & & & &" | /&&&&&&&&&&/ | B\nB: /a/ & /[a-z]/\n'
    assert text_grammar.of_text(grammar) == grammar


def test_gbnf_is_told_from_lark_and_converts() -> None:
    gbnf = 'root ::= "yes" | number\nnumber ::= [0-9]+\n'
    assert guidance.is_gbnf(gbnf)
    assert not guidance.is_gbnf('start: "root ::= x"\n')
    lark = llguidance.gbnf_to_lark.gbnf_to_lark(gbnf)
    assert accepts(lark, "42")
    assert not accepts(lark, "no")
