"""What stands between an object's braces: pairs in their order, optional ones left out or not, additional ones behind.

In: the pairs as nodes. Out: a node, of rules that are so flat that llguidance reads them. Not here: what a pair is.
"""

from __future__ import annotations

from service.engine.schema.lark import Book, Node, Repeat, Sequence, Text, either, sequence
from service.engine.schema.values import listed

MAX_NESTED = 24  # alternatives or optional places that stand one in the other; llguidance reads about 28
MAX_OPTIONAL = {True: 500, False: 450}  # in one object, closed or not; llguidance follows 2,000 ways at a time


def in_order(book: Book, pairs: list[tuple[Node, bool]], extra: Node | None) -> Node:
    """The pairs, each with whether it is required, then any number of `extra`.

    Optional pairs share the rule of what may follow them, so the text grows with their number and not with its square.
    """
    after: Node = Sequence(()) if extra is None else Repeat(sequence(", ", extra), 0, None)
    first: Node = Sequence(()) if extra is None else listed(extra, 0, None)
    earliest = next((at for at, (_, required) in enumerate(pairs) if not required), len(pairs))
    nested = 0
    for at in range(len(pairs) - 1, -1, -1):
        pair, required = pairs[at]
        whole = sequence(pair, after)
        if required:
            first = whole
        elif first == Sequence(()):
            first = Repeat(whole, 0, 1)
        elif nested < MAX_NESTED:
            first, nested = either([whole, first]), nested + 1
        else:
            first, nested = either([whole, book.define(book.reserve("first"), first)]), 1
        if at:
            before = sequence(Text(", "), pair) if required else Repeat(sequence(", ", pair), 0, 1)
            after = sequence(before, after)
            if earliest < at:
                after = book.define(book.reserve("more"), after)
    return first
