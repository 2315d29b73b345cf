"""Inputs are checked at a bounded cost: patterns in linear time, wrong ones by a few problems without their values."""

from __future__ import annotations

from typing import Any

import pytest

from service.errors import InputsError, PromptError
from service.prompts.file import Prompt, loads


def prompt(inputs: str) -> Prompt:
    return loads(f"name: say\ninputs: {inputs}\nmessages: [{{role: user, content: 'Say {{{{text}}}}'}}]\n")


def test_a_pattern_that_backtracks_for_ever_elsewhere_is_matched_in_linear_time() -> None:
    says = prompt(r"{properties: {text: {type: string, pattern: '^(\w+\s?)*$'}}, required: [text]}")
    says.check_inputs({"text": "many words " * 1000})
    with pytest.raises(InputsError, match="pattern"):
        says.check_inputs({"text": "a" * 60 + "!"})


@pytest.mark.parametrize(
    "inputs",
    [
        r"{properties: {text: {type: string, pattern: '(?=a)b'}}}",
        r"{properties: {text: {type: array, items: {pattern: '(a)\1'}}}}",
        r"{properties: {text: {patternProperties: {'^(a+)+$': {}}}}}",
    ],
    ids=["look-around", "back-reference", "patternProperties"],
)
def test_a_pattern_that_cannot_be_matched_so_is_refused_when_the_file_is_read(inputs: str) -> None:
    with pytest.raises(PromptError, match=r":2: inputs/properties/text.*(pattern|patternProperties)"):
        prompt(inputs)


@pytest.mark.parametrize(
    "values",
    [
        {f"k{number}": 1 for number in range(50_000)},
        {"text": [{"n": "x"}] * 5_000},
        {"text": {"secret" * 1000: "secret"}},
        {"t" * 1_000_000: 1},
    ],
    ids=["names", "items", "object", "long name"],
)
def test_many_problems_are_told_as_a_few(values: dict[str, Any]) -> None:
    says = prompt("{properties: {text: {type: array, items: {type: object, properties: {n: {type: integer}}}}}}")
    with pytest.raises(InputsError) as caught:
        says.check_inputs(values)
    assert len(caught.value.problems) <= 20
    assert len(str(caught.value)) < 6000
    assert "secret" not in str(caught.value)
