"""JSON Schema compiled to a grammar that is enforced while decoding. It fails closed; see `compile`."""

from service.engine.schema.compile import any_json, compile_schema
from service.engine.schema.grammar import Grammar

__all__ = ["Grammar", "any_json", "compile_schema"]
