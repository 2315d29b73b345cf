"""The grammar's state within one answer, on a vocabulary of bytes."""

from __future__ import annotations

import json

import numpy as np

from service.engine.local.constraint import Constraint
from service.engine.schema import compile_schema
from tests.engine.schema.byte_tokens import tokenizer

COUNTED = {"type": "array", "items": {"type": "string", "pattern": r"^(\S+\s+){0,29}\S+$", "maxLength": 300}}
NAMES = ("a", "b", "c")
LONG = compile_schema({"type": "object", "properties": dict.fromkeys(NAMES, COUNTED), "required": list(NAMES)})


def test_a_long_answer_to_counted_patterns_is_never_given_up() -> None:
    """llguidance bounds the work between two masks, and not that of the answer."""
    constraint = Constraint(tokenizer(), LONG.lark)
    words = " ".join(f"word{number}" for number in range(30))
    for byte in json.dumps(dict.fromkeys(NAMES, [words] * 4)).encode():
        assert constraint.allows(byte)
        constraint.take(byte)
    assert constraint.complete


def test_a_refused_token_is_masked_for_the_next_choice() -> None:
    """The mask of `allows` is the one that `mask` applies, and a taken token makes it old."""
    constraint = Constraint(tokenizer(), compile_schema({"type": "boolean"}).lark)
    for expected in (b"tf", b"r"):
        assert not constraint.allows(ord("x"))
        logits = np.zeros(258, dtype=np.float32)
        constraint.mask(logits)
        assert bytes(np.flatnonzero(logits == 0).astype(np.uint8)) == bytes(sorted(expected, key=int))
        constraint.take(expected[0])
