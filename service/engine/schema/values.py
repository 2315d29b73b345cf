"""Values as grammar nodes: constants, lists of something, any JSON value; and the one text that a value has.

In: values, nodes. Out: nodes, in the same lexemes everywhere (see `lark.sequence`). Nothing here knows a schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from service.engine.schema import numbers, strings
from service.engine.schema.lark import Book, Node, Repeat, Sequence, Text, sequence


def any_object(book: Book, value: Node) -> Node:
    """Any object whose values are `value`."""
    pair = sequence(book.terminal("KEY", f"/{strings.KEY}/"), ": ", value)
    return sequence("{", listed(pair, 0, None), "}")


def array_of(value: Node) -> Node:
    """Any array whose items are `value`."""
    return sequence("[", listed(value, 0, None), "]")


def scalars(book: Book) -> list[Node]:
    """Every string, number, boolean and null."""
    free, number = book.terminal("STRING", f"/{strings.free()}/"), book.terminal("NUMBER", f"/{numbers.NUMBER}/")
    return [free, number, Text("true"), Text("false"), Text("null")]


def listed(item: Node, low: int, high: int | None) -> Node:
    """`low` to `high` items with ", " between them."""
    if high == 0:
        return Sequence(())
    more = Repeat(sequence(", ", item), max(0, low - 1), None if high is None else high - 1)
    whole = item if high == 1 else sequence(item, more)
    return whole if low else Repeat(whole, 0, 1)


def canonical(value: Any) -> str:
    """The one text that a grammar of ours accepts for this value."""
    return json.dumps(value, ensure_ascii=False)


def constant(value: Any) -> Node:
    """Exactly this value, in the same lexemes as everything else."""
    pairs: list[tuple[Node | str, ...]]
    if isinstance(value, Mapping):
        pairs = [(canonical(name), ": ", constant(inner)) for name, inner in value.items()]
    elif isinstance(value, list):
        pairs = [(constant(inner),) for inner in value]
    else:
        return Text(canonical(value))
    inside = [part for at, pair in enumerate(pairs) for part in ((", ", *pair) if at else pair)]
    return sequence(*("{", *inside, "}") if isinstance(value, Mapping) else ("[", *inside, "]"))
