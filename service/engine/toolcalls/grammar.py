r"""The grammar of an answer that may or must call tools.

In: tools, a choice, the form of the model's calls, and the schema of an answer without calls. Out: a `Grammar`.
Not here: the arguments' schemas (`engine.schema`), the reading of calls (`reader`).

If a call is required, the answer is calls from its first character. Otherwise the answer is any text until a call
begins: with the mark of the form, or with JSON that names a declared function, such as `{"name": "now", "arguments": `.
From there on the grammar leaves only calls. Lazy lexemes of llguidance do it: a rule `t[lazy]: /(?s:.*)<mark>/` ends
with the first mark. With a schema the answer is JSON that obeys it, or calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from service.engine.schema import Grammar, compile_schema, compiled
from service.engine.schema.limits import Work
from service.engine.toolcalls.definitions import ToolChoice, allowed, arguments_grammar, parameters_schema
from service.engine.toolcalls.forms import HERMES, Form
from service.engine.types import Request

MAX_CALLS = 16  # of one answer, if parallel calls are asked for
ANY = "(?s:.*)"
DATA = ("const", "enum", "default", "examples")  # keywords with values that are no schemas
# A call as JSON, up to its name. In a regular expression of Lark a slash needs a backslash.
_HEAD = r'\{\s*("(type|id)"\s*:\s*"[^"\\]*"\s*,\s*)*("function"\s*:\s*\{\s*)?"name"\s*:\s*"'
_KEY = r'"\s*,\s*"(arguments|parameters)"\s*:'  # between name and arguments
_BETWEEN = r"\s*(<\/tool_call>|```)?[\s,;]*((<tool_call>|```(json)?)\s*)?"  # two calls as JSON


def of_request(request: Request, form: Form = HERMES) -> Grammar | None:
    """The grammar that constrains the answer's calls. None if the request has no tools.

    Raises:
        SchemaUnsupported: if the parameters of a function cannot be enforced, with the pointer into `tools`.
        RequestError: if a definition or the choice is malformed.
    """
    if not request.tools:
        return None
    schema = "true" if request.any_json else request.schema
    return grammar(request.tools, request.tool_choice, parallel=request.parallel_tools, form=form, schema=schema)


def grammar(
    tools: Sequence[Mapping[str, Any]],
    choice: ToolChoice = None,
    *,
    parallel: bool = False,
    form: Form = HERMES,
    schema: str | None = None,
) -> Grammar | None:
    """The grammar of an answer that may or must call tools. None if it may call none.

    `parallel`: up to `MAX_CALLS` calls, else one. `schema`: the JSON Schema of an answer without calls, as JSON text.
    "true" is any JSON object. Without it such an answer is plain text.

    Raises:
        SchemaUnsupported: if the parameters of a function cannot be enforced, with the pointer into `tools`.
        RequestError: if a definition or the choice is malformed.
    """
    allowed(tools, choice)  # the common mistakes, at little cost
    return _grammar(json.dumps([list(tools), choice], ensure_ascii=False), parallel, form, schema)


@lru_cache(maxsize=32)
def _grammar(asked: str, parallel: bool, form: Form, schema: str | None) -> Grammar | None:
    """The same tools are compiled once: they are asked for by the door, the fingerprint and the engine."""
    tools, choice = json.loads(asked)
    functions, must = allowed(tools, choice)
    if not functions:
        return None
    writer = _Writer(form, functions, [tool["function"]["name"] for tool in tools], parallel=parallel)
    if must:
        lines = [f"start: {writer.calls()}"]
    elif schema is None:
        lines = writer.text_or_calls()
    else:
        lines = writer.answer_or_calls(compiled(None if schema == "true" else schema))
    enforced = tuple(sorted(writer.enforced | {"tools"}))
    return Grammar("\n".join([*lines, *writer.rules()]), enforced, tuple(writer.checked_after))


class _Writer:
    """The rules of one grammar. `args0` are the arguments of the first function, and so on."""

    def __init__(
        self, form: Form, functions: Mapping[str, Mapping[str, Any]], places: Sequence[str], *, parallel: bool
    ) -> None:
        self.form = form
        self.names = list(functions)
        self.parallel = parallel
        self.enforced: set[str] = set()
        self.checked_after: list[str] = []
        self._bodies: list[str] = []
        self._schemas: list[dict[str, Any]] = []
        work = Work()
        for number, (name, function) in enumerate(functions.items()):
            pointer = f"/tools/{places.index(name)}/function/parameters"
            arguments = arguments_grammar(function.get("parameters"), pointer, work)
            self._bodies.append(f"args{number}: {arguments.lark.removeprefix('start: ')}")
            self._schemas.append(parameters_schema(function.get("parameters"), pointer))
            self.enforced.update(arguments.enforced)
            self.checked_after += [f"{item} of {name}" for item in arguments.checked_after]

    def rules(self) -> list[str]:
        """The rules that the others refer to: a call in the model's form, and arguments."""
        opening, middle, closing = self.form.call
        heads = []
        for number, name in enumerate(self.names):
            written = json.dumps(name) if self.form.quoted else name
            heads.append(self._joined(f"{opening}{written}{middle}", f"args{number}", closing))
        return [f"call: {' | '.join(heads)}", *self._bodies]

    def calls(self, *, after_mark: bool = False) -> str:
        """One or more calls. `after_mark`: the first mark was written."""
        mark = self._text(self.form.mark)
        before, behind = map(self._text, self.form.around)
        more = ""
        if self.parallel:
            again = mark if self.form.marks_each else ""
            more = f"({self._text(self.form.between)} {again} call){{0,{MAX_CALLS - 1}}}"
        parts = ["" if after_mark else mark, before, "call", more, behind]
        return " ".join(part for part in parts if part)

    def text_or_calls(self) -> list[str]:
        """Any text, until a call begins.

        The beginning of JSON with a name is text too, unless a declared name and the key of arguments follow. One rule
        for all names keeps the lexer small: a lazy lexeme with any text before each name would have too many states.
        """
        options = ["TEXT", "head (json_calls | text)"]
        token = dict(self.form.controls).get(self.form.mark)
        lines = [f"TEXT: /{ANY}/", f"head[lazy]: /{ANY}{_HEAD}/"]
        if self.form.mark and token is not None:
            options.append(f"TEXT <[{token}]> {self.calls(after_mark=True)}")
        elif self.form.mark:
            options.append(f"marked {self.calls(after_mark=True)}")
            lines.append(f"marked[lazy]: /{ANY}{re.escape(self.form.mark)}/")
        tag = dict(self.form.controls).get("<|python_tag|>")
        options += [] if tag is None else [f"TEXT <[{tag}]> head json_calls"]
        more = f" (AGAIN json_call){{0,{MAX_CALLS - 1}}} END" if self.parallel else ""
        numbers = range(len(self.names))
        rules = [
            "start: text",
            f"text: {' | '.join(options)}",
            *lines,
            f"json_calls: json_call{more}",
            "json_call: " + " | ".join(f'name{number} SPACE args{number} SPACE "}}"' for number in numbers),
            *(f"name{number}[lazy]: /{re.escape(name)}{_KEY}/" for number, name in enumerate(self.names)),
            r"SPACE: /\s*/",
        ]
        if self.parallel:
            rules += [f"AGAIN: /{_BETWEEN}{_HEAD}/", r"END: /\s*(<\/tool_call>|```)?\s*/"]
        return rules

    def answer_or_calls(self, answer: Grammar) -> list[str]:
        """JSON that obeys a schema, or calls. A call may be written as JSON too, because many models do."""
        self.enforced.update(answer.enforced)
        self.checked_after += answer.checked_after
        lines = [f"answer: {answer.lark.removeprefix('start: ')}"]
        options = ["answer", self.calls()] if self.form.mark else ["answer"]
        for number, (name, schema) in enumerate(zip(self.names, self._schemas, strict=True)):
            parts = {"name": {"const": name}, self._key: _moved(schema, f"#/properties/{self._key}")}
            written = compile_schema({
                "type": "object", "properties": parts, "required": list(parts), "additionalProperties": False,
            })  # fmt: skip
            lines.append(f"json{number}: {written.lark.removeprefix('start: ')}")
            options.append(f"json{number}")
        return [f"start: {' | '.join(options)}", *lines]

    @property
    def _key(self) -> str:
        """The name that the form has for arguments in JSON."""
        return "parameters" if '"parameters"' in self.form.call[1] else "arguments"

    def _joined(self, before: str, rule: str, behind: str) -> str:
        return " ".join(part for part in (self._text(before), rule, self._text(behind)) if part)

    def _text(self, text: str) -> str:
        """A text in Lark. The control tokens in it are tokens, because text never spells them."""
        parts = [text]
        for mark, token in self.form.controls:
            parts = [
                piece
                for part in parts
                for piece in (re.split(f"({re.escape(mark)})", part) if not part.startswith("<[") else [part])
            ]
            parts = [f"<[{token}]>" if part == mark else part for part in parts]
        return " ".join(part if part.startswith("<[") else json.dumps(part) for part in parts if part)


def _moved(schema: Any, root: str) -> Any:
    """A schema with references that hold when it is a part of another one, at the pointer `root`."""
    if isinstance(schema, list):
        return [_moved(item, root) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {key: value if key in DATA else _moved(value, root) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = root + reference[1:]
    return moved
