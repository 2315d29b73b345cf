"""The sandbox that chat templates run in: transformers' helpers, and bounds of work and size.

In: a template's source. Out: a compiled template, and the names that it reads.
Not here: messages, control tokens (`template`).

A template comes with a model file, so it is foreign code. jinja2's immutable sandbox keeps it from attributes and from
changing values. It bounds neither time nor memory, so a `RenderingBudget` counts the rounds of loops, calls, and
characters that one rendering makes. Operations that could make a large value at once are checked before they run. The
helpers are those of transformers (chat_template_utils). `lipsum` and the filter `random` are missing, because they give
another text each time.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_WORK = 5_000_000  # rounds, calls and hundreds of characters of one rendering: about half a second
LEAST_WORK = 200_000  # for any conversation. A hostile template takes less than a tenth of a second with it
WORK_PER_CHARACTER = 10  # of the conversation
CALL = 40  # the work of a call, in rounds of a loop
MAX_CHARS = 1 << 25  # of one value that a template makes
MAX_ITEMS = 1 << 20  # of a list that it makes
MAX_WIDTH = 10_000  # of padding and indentation
MAX_BITS = 10_000  # of a whole number
GIVEN = ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "strftime_now")
"""Names that a template is given by the engine, so that no caller may set them."""

_WIDTH = re.compile(r"%[-+ #0.\d]*(?:\*|\d{5})|\{[^{}]*:[^{}]*(?:\d{5}|\{)")  # of a format for % or str.format


class TooMuch(TemplateError):
    """A template works for too long, or makes a value that is too large."""


@dataclass
class RenderingBudget:
    """The work that is left of one rendering."""

    work: int

    def spend(self, work: int) -> None:
        """Count this work.

        Raises:
            TooMuch: if nothing is left.
        """
        self.work -= work
        if self.work < 0:
            raise TooMuch("it works for too long")


_BUDGET: ContextVar[RenderingBudget] = ContextVar("template_budget")


@contextmanager
def budget(size: int = 0) -> Iterator[None]:
    """A new budget for the block, which is one rendering or one compilation: constants are computed early.

    It grows with the size of the conversation in characters, so that a short one never takes long. Short ones are
    rendered on the event loop.
    """
    token = _BUDGET.set(RenderingBudget(min(MAX_WORK, LEAST_WORK + WORK_PER_CHARACTER * size)))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def _spend(*values: Any) -> None:
    """Count one operation on these values. Raises TooMuch."""
    sized = (str, list, tuple, dict)
    _BUDGET.get().spend(1 + sum(len(value) for value in values if isinstance(value, sized)) // 100)


def _fits(size: int, limit: int = MAX_CHARS) -> None:
    if size > limit:
        raise TooMuch("it makes a value that is too large")


def _size(value: Any) -> int:
    """Characters of a text, or of the texts in a list or an object. The magnitude of a number, which may be a width."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return sum(1 + (len(item) if isinstance(item, str) else 0) for item in value)
    if isinstance(value, int):
        _fits(abs(value), MAX_WIDTH)
        return abs(value)
    return len(value) if isinstance(value, str) else 1


def _fits_grown(name: str, value: Any, arguments: Sequence[Any]) -> None:
    """Refuse a filter or method that would make a large value from these."""
    if name == "join":
        separator, items = (value, arguments[0]) if isinstance(value, str) and arguments else (arguments or [""], value)
        count = len(items) if isinstance(items, (list, tuple)) else MAX_CHARS // MAX_WIDTH
        _fits(_size(items) + count * _size(separator))
    elif name == "replace" and isinstance(value, str):
        texts = [text for text in arguments if isinstance(text, str)]
        _fits(len(value) + max((value.count(old) * len(new) for old in texts for new in texts), default=0))
    else:
        _fits((_size(value) + 1) * (1 + max(map(_size, arguments), default=0)))


def _fits_format(text: Any) -> None:
    if isinstance(text, str) and _WIDTH.search(text):
        raise TooMuch("it formats with a width that is too large")


GROWING = frozenset({"center", "indent", "batch", "slice", "wordwrap", "replace", "join", "tojson"})
"""Filters whose result may be larger than the value and the arguments together."""
GROWING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "replace", "join", "translate"})


def _bounded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `call` with its work counted."""

    @functools.wraps(call)
    def bounded(*arguments: Any, **named: Any) -> Any:
        given = arguments[1:] if hasattr(call, "jinja_pass_arg") else arguments
        _spend(*given)
        if name in GROWING:
            _fits_grown(name, given[0], [*given[1:], *named.values()])
        elif name == "format":
            _fits_format(given[0])
        result = call(*arguments, **named)
        _spend(result)
        return result

    return bounded


def _counted(values: Any, literal: int = 0) -> Iterator[Any]:
    """The items of a loop, each of which is work. `literal`: characters of the template in the loop."""
    spent = 1 + literal // 100
    for value in values:
        _BUDGET.get().spend(spent)
        yield value


def _shown(value: Any) -> Any:
    """A value that is written into the prompt."""
    _spend(value)
    return value


def _joined(values: list[Any]) -> str:
    """The operator `~`."""
    texts = [str(value) for value in values]
    _spend(*texts)
    _fits(sum(map(len, texts)))
    return "".join(texts)


class _Bounds(NodeTransformer):
    """Puts `_counted` around the values of loops, and `_joined` in place of the operator `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        literal = nodes.Const(sum(len(data.data) for data in node.find_all(nodes.TemplateData)), lineno=node.lineno)
        node.iter = nodes.Filter(node.iter, "_counted", [literal], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_joined", [], [], None, None, lineno=node.lineno)


class GenerationTag(Extension):
    """`{% generation %}`. For transformers it marks an assistant's own text. Here its text is rendered."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        """A block with a scope of its own, as in transformers."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("rendered"), [], [], body).set_lineno(line)

    def rendered(self, caller: Callable[[], str]) -> str:
        """The block's text."""
        return caller()


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """jinja2's immutable sandbox with transformers' helpers and a bound of work."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, GenerationTag],
            autoescape=False,
            finalize=_shown,
        )
        self._literal = 0  # characters of the template
        del self.globals["lipsum"]
        del self.filters["random"]
        self.globals["raise_exception"] = _raise
        self.filters["tojson"] = tojson
        self.filters = {name: _bounded(name, call) for name, call in self.filters.items()}
        self.filters |= {"_counted": _counted, "_joined": _joined}

    def compiled(self, source: str) -> tuple[Template, frozenset[str]]:
        """The template, and the names that it reads and does not set itself."""
        self._literal = len(source)
        with budget():
            tree = self.parse(source)
            names = frozenset(meta.find_undeclared_variables(tree))
            return self.from_string(_Bounds().visit(tree)), names

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator that could make a large value."""
        _spend(left, right)
        numbers = isinstance(left, int) and isinstance(right, int)
        if operator == "**":
            exponent = abs(right) if isinstance(right, int) else 1
            _fits(left.bit_length() * exponent if isinstance(left, int) else 0, MAX_BITS)
        elif operator == "*" and numbers:
            _fits(left.bit_length() + right.bit_length(), MAX_BITS)
        elif operator == "*":
            repeated, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(times, int) and isinstance(repeated, (str, list, tuple)):
                _fits(len(repeated) * max(0, times), MAX_CHARS if isinstance(repeated, str) else MAX_ITEMS)
        elif operator == "%" and isinstance(left, str):
            _fits_format(left)
        elif operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            _fits(len(left) + len(right), MAX_CHARS if isinstance(left, str) else MAX_ITEMS)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *arguments: Any, **named: Any) -> Any:
        """A call of a method, a macro, or a helper."""
        owner = getattr(getattr(obj, "__wrapped__", obj), "__self__", None)  # jinja2 wraps the method `format`
        _BUDGET.get().spend(CALL)
        _spend(owner, *arguments)
        if isinstance(obj, LoopContext) and arguments:  # a recursive loop
            arguments = (_counted(arguments[0]), *arguments[1:])
        if isinstance(obj, (Macro, LoopContext)):
            _BUDGET.get().spend(self._literal // 100)
        name = getattr(obj, "__name__", "")
        if isinstance(owner, str) and name in GROWING_METHODS:
            _fits_grown(name, owner, [*arguments, *named.values()])
        elif isinstance(owner, str) and name in ("format", "format_map"):
            _fits_format(owner)
        result = super().call(context, obj, *arguments, **named)
        _spend(result)
        return result

    def rendered(self, template: Template, values: Mapping[str, Any], given: int) -> str:
        """The text that a template makes of the values, which have `given` characters together.

        Raises TemplateError, and the errors of its operations.
        """
        parts, size = [], 0
        with budget(given):
            for part in template.generate(values):
                size += len(part)
                _fits(size)
                parts.append(part)
        return "".join(parts)


def strftime_on(date: str | None) -> Callable[[str], str]:
    """The helper `strftime_now` on this ISO date, at midnight: the time of day would change every prompt.

    It is no global, so that `compiled` finds its name where a template reads it.
    """
    if date is None:
        return _no_date
    day = datetime.fromisoformat(date)
    return lambda form: day.strftime(form)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter `tojson` with transformers' arguments. jinja2's own writes `<` as an escape."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _no_date(form: str) -> str:
    raise TemplateError("it reads the date, and none was given")
