"""llguidance's bounds, its messages without the grammar's text, and the dialect that it takes.

In: a grammar, or a message about one. Out: a dialect, a reason.
Not here: schemas, so that the worker need not import them.
"""

from __future__ import annotations

import re

import llguidance

LIMITS = llguidance.LLParserLimits(verbose_errors=False)
"""llguidance's own bounds on a grammar and on each step (250,000 lexer states, 50,000 items of a step)."""
_GBNF = re.compile(r"^\s*root\s*::=", re.MULTILINE)
_PLACE = re.compile(r"(?:at )?(\d+)\((\d+)\): ")
_QUOTED = re.compile(r"[\"'`(\[]")


def is_gbnf(grammar: str) -> bool:
    """Whether a grammar is in GBNF, and not in Lark."""
    return _GBNF.search(grammar) is not None


def reason_of(message: str, *, place: bool = False) -> str:
    """llguidance's reason in one line, up to the first text of the grammar that it repeats. `place`: with the line."""
    first = (message.splitlines() or [""])[0]
    where = _PLACE.match(first)
    first = (first[where.end() :] if where else first).removeprefix("failed to compile JSON schema: ")
    reason = _QUOTED.split(first)[0].strip(" :") or "a syntax error"
    if reason.startswith("Unsatisfiable schema"):
        reason = "no value obeys it together with the other keywords"
    return f"line {where[1]}, column {where[2]}: {reason}" if where and place else reason
