"""Grammars of texts that are not JSON: a regular expression, a choice, or a grammar that the caller wrote.

In: an expression, texts, or a grammar in Lark (llguidance's dialect) or GBNF (llama.cpp's). Out: the text of a grammar.
A GBNF grammar stays as it is here. The worker converts it, because llguidance is there (`engine/local`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.engine.schema import patterns
from service.errors import RequestError

MAX_GRAMMAR = 65_536  # characters of a grammar that a caller wrote
MAX_RULES = 500  # of it. llguidance follows rules recursively, and a chain of thousands ends its process
MAX_INTERSECTIONS = 8  # operators & of it. llguidance's time grows exponentially with their number
MAX_CHOICES = 1_900
_LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?:\\.|[^/\\\n])+/')
_RULE = re.compile(r"^\s*[?!]*[A-Za-z_][\w.-]*(?:\[[^\]\n]*\])?\s*::?=?", re.MULTILINE)


def of_regex(expression: str) -> str:
    """The grammar of every text that the whole expression matches.

    Raises:
        SchemaUnsupported: if the expression is outside the subset of `patterns`.
    """
    return _lark(patterns.translate(f"^(?:{expression})$"))


def of_choice(texts: Sequence[str], name: str = "choice") -> str:
    """The grammar of exactly these texts. `name` is the parameter that errors name.

    Raises:
        RequestError: if there is no text, or too many, or one is empty.
    """
    if not texts or len(texts) > MAX_CHOICES or any(not text for text in texts):
        raise RequestError(f"A choice takes up to {MAX_CHOICES} texts, none of them empty.", key=name)
    return _lark(patterns.any_of(texts))


def of_text(grammar: str, name: str = "grammar") -> str:
    """A caller's grammar. `name` is the parameter that errors name.

    Raises:
        RequestError: if it is too large, or holds a schema. The gate's bounds would not hold for that one.
    """
    if len(grammar) > MAX_GRAMMAR:
        raise RequestError(f"A grammar may have {MAX_GRAMMAR} characters.", key=name)
    operators = _LITERAL.sub("", grammar)
    if len(_RULE.findall(operators)) > MAX_RULES:
        raise RequestError(f"A grammar may have {MAX_RULES} rules.", key=name)
    if operators.count("&") > MAX_INTERSECTIONS:
        raise RequestError(f"A grammar may have {MAX_INTERSECTIONS} intersections (&).", key=name)
    if "%json" in operators:
        raise RequestError("A grammar may not hold %json.", key=name, remedy="Send the schema as json_schema.")
    return grammar


def _lark(anchored: str) -> str:
    return f"start: /{anchored.removeprefix('^').removesuffix('$')}/\n"
