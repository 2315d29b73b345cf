"""Regular expressions of JavaScript as those of Python's `re`, with the same meaning.

In: the source of a pattern without flags. Out: a pattern of `re`, or None if JavaScript refuses it.
Not here: whether `re` can compile the result (`assertions`). JavaScript counts an emoji as two characters, and `re` as
one.

The rules are ECMA-262 section 22.2 with Annex B, which Node follows: an unknown escape is its own letter, and a brace
that begins no quantifier is itself.
"""

from __future__ import annotations

import re

CLASSES = {  # outside of brackets, and inside of them: ASCII in JavaScript, Unicode in Python
    "d": ("[0-9]", "0-9"),
    "D": ("[^0-9]", r"\x00-/:-\U0010ffff"),
    "w": ("[A-Za-z0-9_]", "A-Za-z0-9_"),
    "W": ("[^A-Za-z0-9_]", r"\x00-/:-@\[-\^`{-\U0010ffff"),
}
WORD = "[A-Za-z0-9_]"
EDGES = {
    "b": f"(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))",
    "B": f"(?:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))",
}
SAME = frozenset("fnrtvsSxu0")  # escapes that mean the same
ANY = r"[^\n\r\u2028\u2029]"
QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
GROUP = re.compile(r"\(\?(?:[:=!]|<[=!]|<(?P<name>[A-Za-z_]\w*)>|-?[ims]+(?:-[ims]*)?:)")


def from_javascript(source: str) -> str | None:
    """The pattern in Python's form. None if JavaScript refuses it."""
    out: list[str] = []
    at, inside, repeated = 0, False, False
    while at < len(source):
        sign, was_repeated = source[at], repeated
        repeated = False
        if sign == "\\" and at + 1 < len(source):
            part, length = _escape(source[at + 1 :], inside)
            length += 1
        elif inside:
            part, length, inside = ("\\[" if sign == "[" else sign), 1, sign != "]"
        elif source.startswith(("[^]", "[]"), at):
            part, length = (r"[\s\S]", 3) if source[at + 1] == "^" else ("(?!)", 2)
        elif sign == "[":
            length = 2 if source.startswith("[^", at) else 1
            part, inside = source[at : at + length], True
        elif sign == "(" and source.startswith("(?", at):
            group = GROUP.match(source, at)
            if group is None:
                return None
            part, length = f"(?P<{group['name']}>" if group["name"] else group[0], len(group[0])
        elif sign in "*+?" or (sign == "{" and QUANTIFIER.match(source, at)):
            if was_repeated and sign != "?":
                return None  # Python's possessive quantifiers
            match = QUANTIFIER.match(source, at)
            part = match[0] if match else sign
            length, repeated = len(part), True
        else:
            part, length = {".": ANY, "$": r"\Z", "{": r"\{"}.get(sign, sign), 1
        out.append(part)
        at += length
    return "".join(out)


def _escape(rest: str, inside: bool) -> tuple[str, int]:
    """The Python form of an escape, `rest` being the text behind the backslash, and its length there."""
    sign = rest[0]
    name = re.match(r"k<([A-Za-z_]\w*)>", rest)
    number = re.match(r"[1-9]\d?", rest)
    if sign in CLASSES:
        return CLASSES[sign][inside], 1
    if not inside and sign in EDGES:
        return EDGES[sign], 1
    if not inside and name is not None:  # a group that has not matched is empty in JavaScript, and fails in Python
        return f"(?({name[1]})(?P={name[1]})|)", len(name[0])
    if not inside and number is not None:
        return f"(?({number[0]})\\{number[0]}|)", len(number[0])
    if sign in SAME or sign == "b" or not (sign.isascii() and sign.isalpha()):
        return f"\\{sign}", 1
    return sign, 1
