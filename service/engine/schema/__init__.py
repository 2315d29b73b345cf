"""Output schemas as grammars, fail closed. In: a JSON Schema. Out: a `Grammar`. No engine, no model.

    grammar = compile_schema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    grammar.lark      # llguidance Lark text
    grammar.coverage  # the enforced parts, and the parts that are checked after
    value, problems = grammar.check('{"n": 3}')

The order of keys in `properties` is the order in which an answer is written: pass a schema on as it was given, and
never through `sort_keys`.
"""

from __future__ import annotations

from service.engine.schema.gate import any_json, compile_schema, compiled
from service.engine.schema.grammar import Grammar, canonical

__all__ = ["Grammar", "any_json", "canonical", "compile_schema", "compiled"]
