"""Tool calls: the grammars that enforce them, and the reader that finds them in an answer.

In: OpenAI's tool definitions and `tool_choice`, a chat template, an answer's text. Out: grammars, `tool_calls`.
Not here: models, engines, HTTP.

    definitions  which functions may be called, and the schema of their arguments
    forms        how a model writes a call: the form of its chat template
    grammar      Lark: text until a call begins, then a declared name and arguments that obey their schema
    reader       text and calls of an answer, in every known form, while it grows
    generic      tools as plain messages, for chat templates without tools
"""

from __future__ import annotations

from service.engine.toolcalls.definitions import MAX_TOOLS, ToolChoice, allowed
from service.engine.toolcalls.forms import HERMES, Form, form_of, reads_tools, write
from service.engine.toolcalls.generic import plain_messages
from service.engine.toolcalls.grammar import MAX_CALLS, grammar, of_request
from service.engine.toolcalls.reader import CallDelta, CallReader, check, has_call, parse

__all__ = [
    "HERMES",
    "MAX_CALLS",
    "MAX_TOOLS",
    "CallDelta",
    "CallReader",
    "Form",
    "ToolChoice",
    "allowed",
    "check",
    "form_of",
    "grammar",
    "has_call",
    "of_request",
    "parse",
    "plain_messages",
    "reads_tools",
    "write",
]
