"""The forms in which clients of several servers ask for a structured answer.

In: the fields of a request body. Out: the matching fields of an engine's request. OpenAI has `response_format`. vLLM
has `structured_outputs`, and had `guided_json` and the like. llama-server has `json_schema` and `grammar`. SGLang has
`regex` and `ebnf`. A request may use one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from service.engine.schema import compiled, text_grammar
from service.errors import RequestError, SchemaUnsupported
from service.prompts.run import canonical_schema

KINDS = {
    "guided_json": "json", "guided_regex": "regex", "guided_choice": "choice", "guided_grammar": "grammar",
    "json_schema": "json", "regex": "regex", "grammar": "grammar", "ebnf": "grammar",
}  # fmt: skip
OF_VLLM = ("json", "regex", "choice", "grammar", "json_object")


def engine_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """`schema`, `any_json` or `grammar` of the engine's request, from the values of these fields. Empty without one.

    Raises:
        RequestError: if two forms are used, or one is malformed.
        SchemaUnsupported: if it cannot be enforced.
    """
    asked: list[tuple[str, str, Any]] = []
    for name, kind in KINDS.items():
        if body.get(name) not in (None, ""):
            asked.append((name, kind, body[name]))
    for kind, value in (body.get("structured_outputs") or {}).items():
        if kind not in OF_VLLM and value not in (None, False):
            raise RequestError(f"structured_outputs takes {', '.join(OF_VLLM)}.", key="structured_outputs")
        if value not in (None, False):
            asked.append((f"structured_outputs.{kind}", kind, value))
    if (wrapped := _response_format(body.get("response_format"))) is not None:
        asked.append(("response_format", *wrapped))
    if len(asked) > 1:
        raise RequestError(f"{asked[0][0]} and {asked[1][0]} cannot be used together.", key=asked[1][0])
    if not asked:
        return {}
    name, kind, value = asked[0]
    try:
        return _fields(name, kind, value)
    except SchemaUnsupported as error:
        if name == "response_format":
            raise
        raise SchemaUnsupported(
            f"{error.message.rstrip('.')} (in {name}).",
            pointer=f"/{name}{error.key or ''}", keyword=error.keyword, remedy=error.remedy,
        ) from None  # fmt: skip


def _response_format(given: Any) -> tuple[str, Any] | None:
    """The kind and the value of `response_format`, also in the forms of llama-server and Together."""
    if given is None or given["type"] == "text":
        return None
    schema = given.get("schema")
    if given["type"] == "json_object":
        return ("json", schema) if schema is not None else ("json_object", True)
    wrapper = given.get("json_schema")
    if wrapper is None and schema is None:
        raise RequestError("response_format json_schema needs json_schema.", key="response_format.json_schema")
    return "json", wrapper["schema"] if wrapper is not None else schema


def _fields(name: str, kind: str, value: Any) -> dict[str, Any]:
    match kind, value:
        case "json_object", _:
            return {"any_json": True}
        case "json", _:
            schema = canonical_schema(_json(name, value))
            compiled(schema)
            return {"schema": schema}
        case "regex", str():
            return {"grammar": text_grammar.of_regex(value)}
        case "choice", list() if all(isinstance(text, str) for text in value):
            return {"grammar": text_grammar.of_choice(value, name)}
        case "grammar", str():
            return {"grammar": text_grammar.of_text(value, name)}
    raise RequestError(f"{name} does not have the form of a {kind}.", key=name)


def _json(name: str, value: Any) -> Any:
    """A schema, also as the text that some clients send."""
    try:
        schema = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise RequestError(f"{name} is not JSON.", key=name) from None
    if not isinstance(schema, dict):
        raise RequestError(f"{name} must be a JSON Schema.", key=name)
    return schema
