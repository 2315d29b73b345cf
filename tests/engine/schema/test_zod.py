"""JSON schemas that zod writes for ordinary types are compiled, and the grammar agrees with zod on values.

`zod.json` is made by `tests/clients/node/zod.mjs`, and `tests/clients/test_zod.py` makes it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.engine.schema import compile_schema
from service.errors import SchemaUnsupported
from tests.engine.schema.byte_tokens import accepts, matcher

WRITTEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "zod.json").read_text(encoding="utf-8"))
LOOK_AROUND = {"emoji", "hostname", "iso duration"}  # their patterns need it, and no server has it


def test_what_zod_writes_is_compiled() -> None:
    """By the gate and by llguidance. Only patterns with a look-around are refused."""
    refused = {}
    for name, case in WRITTEN.items():
        try:
            matcher(compile_schema(case["schema"]).lark)
        except SchemaUnsupported as error:
            refused[name] = error.message
    assert set(refused) == LOOK_AROUND
    assert all("look-around" in message for message in refused.values())


def test_the_grammar_agrees_with_zod_on_values() -> None:
    """Values that zod parses are in the grammar. Values that it refuses are not, or fail the check after decoding."""
    disagreements = []
    for name, case in WRITTEN.items():
        grammar = compile_schema(case["schema"]) if case["right"] or case["wrong"] else None
        for expected, values in ((True, case["right"]), (False, case["wrong"])):
            for value in values:
                text = json.dumps(value, ensure_ascii=False)
                assert grammar is not None
                if (accepts(grammar.lark, text) and not grammar.check(text)[1]) != expected:
                    disagreements.append((name, text))
    assert disagreements == []
