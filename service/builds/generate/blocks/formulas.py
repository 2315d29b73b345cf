"""Formulas of a plan as functions of JavaScript, if they compute and do nothing else.

In: an expression, the names that it may use. Out: an arrow function, or UnusableAnswer. Not here: known
formulas (`fit_forms`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.builds.generate import UnusableAnswer

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<name>(?:Math\.)?[A-Za-z_]\w*)|"
    r"(?P<text>\"(?:[^\"\\\x00-\x1f]|\\[\"\\])*\")|(?P<sign>\*\*|[<>=!]==?|&&|\|\||[-+*/%()<>?:,]))"
)
MATHS = frozenset(
    [
        "abs",
        "ceil",
        "floor",
        "round",
        "sqrt",
        "cbrt",
        "min",
        "max",
        "pow",
        "log",
        "log10",
        "log2",
        "exp",
        "sin",
        "cos",
        "tan",
        "trunc",
        "sign",
        "hypot",
        "PI",
        "E",
    ]
)
MOST = 1000


def arrow(formula: str, names: Sequence[str]) -> str:
    """The formula as a function of an object with these names.

    Raises:
        UnusableAnswer: if it has other names, or anything but numbers, signs, choices and functions of Math.
    """
    at = 0
    text = formula.strip()
    parts = []
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or len(text) > MOST:
            raise UnusableAnswer(f"A formula may hold numbers, names of boxes and signs only: {formula[:80]!r}.")
        name = match["name"]
        if name and name not in names and name.removeprefix("Math.") not in MATHS:
            raise UnusableAnswer(f"A formula names {name[:40]!r}, which is no box of its calculator.")
        parts.append(match[0].replace("<", "\\u003c") if match["text"] else match[0])  # no `</script>` in a text
        at = match.end()
    used = [name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}\b", text)]
    work = "".join(parts)
    return f"({{ {', '.join(used)} }}) => {work}" if used else f"() => {work}"
