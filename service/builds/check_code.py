"""Reads the code of a check: its uses of the elements of the page, also through helpers of its own.

In: an expression. Out: the expression with the calls of its helpers written out, and the ids that it names.

A check such as `const put = (id, v) => {...}; put('w', 70)` names the element `w` in a call only. Senders write such
helpers often. Not here: running the code (`browser`), the elements of a brief (`generate.blocks.reading`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

IDS = re.compile(r"#([A-Za-z][\w-]*)|getElementById\(\s*['\"`]([\w-]+)")
COLOUR = re.compile(r"(?=.*\d|[A-F]{3}|[a-f]{6})[0-9a-fA-F]{3}(?:[0-9a-fA-F]{3}){0,1}")
LINK = re.compile(r"<a\b[^<>]{0,200}?href=\\?[\"']#[\w-]*")  # of a text with HTML, to a place in a page
HELPER = re.compile(
    r"(?<![\w$.])(?P<name>[A-Za-z_$][\w$]*)\s*=\s*(?:async\s*)?"
    r"(?:\(\s*(?P<first>[A-Za-z_$][\w$]*)[^()]*\)|(?P<one>[A-Za-z_$][\w$]*))\s*=>\s*"
    r"|\bfunction\s+(?P<named>[A-Za-z_$][\w$]*)\s*\(\s*(?P<given>[A-Za-z_$][\w$]*)[^()]*\)\s*(?=\{)"
)
TAKES_IDS = r"(?:getElementById\(\s*|['\"`]#['\"`]\s*\+\s*|`#\$\{\s*)%s\b"
TAKES_SELECTORS = r"querySelector(?:All)?\(\s*%s\b"
ALIAS = re.compile(
    r"(?<![\w$.])([A-Za-z_$][\w$]*)\s*=\s*document\.(?:getElementById\(\s*['\"`]#?|querySelector\(\s*['\"`]#)([A-Za-z][\w-]*)['\"`]\s*\)"
)
USE = re.compile(r"(?<![\w.$])([A-Za-z_$][\w$]*)(\.\w+(?:\s*=(?!=)|\())")
MOST_CALLS = 60
LONGEST_BODY = 2000  # characters: a sender's brackets may never close


def written_out(code: str) -> str:
    """The code, and behind it each call of a helper as the helper's body with the call's id."""
    parts = [code]
    for name, parameter, body, mark in _helpers(code):
        calls = re.findall(rf"(?<![\w.$]){re.escape(name)}\(\s*['\"`]{mark}([A-Za-z][\w-]*)['\"`]", code)
        parts += [_with_id(body, parameter, one) for one in dict.fromkeys(calls[:MOST_CALLS])]
    return "\n".join([*parts, *(use for part in parts for use in _aliased(part))])


def ids(code: str) -> list[str]:
    """The ids that the code names, in their order."""
    named = [first or second for first, second in IDS.findall(LINK.sub("", written_out(code)))]
    return [one for one in dict.fromkeys(named) if not COLOUR.fullmatch(one)]


def _helpers(code: str) -> Iterator[tuple[str, str, str, str]]:
    """Name, first parameter and body of each function in the code that looks up an element by that parameter.

    Last the pattern of the mark before an id in its calls. For a helper that takes selectors, `h1` is a tag and no id.
    """
    for match in HELPER.finditer(code):
        parameter = match["first"] or match["one"] or match["given"]
        body = _body(code, match.end())
        takes_ids = re.search(TAKES_IDS % re.escape(parameter), body)
        if takes_ids or re.search(TAKES_SELECTORS % re.escape(parameter), body):
            yield match["name"] or match["named"], parameter, body, "#?" if takes_ids else "#"


def _body(code: str, begin: int) -> str:
    """The body that begins here: a block with its braces, or an expression up to its end."""
    depth = 0
    code = code[: begin + LONGEST_BODY]
    for at in range(begin, len(code)):
        if code[at] in "([{":
            depth += 1
        elif code[at] in ")]}":
            depth -= 1
            if depth < 0 or (depth == 0 and code[at] == "}" and code[begin] == "{"):
                return code[begin : at + (depth == 0)]
        elif depth == 0 and code[at] in ";,\n" and at > begin:
            return code[begin:at]
    return code[begin:]


def _with_id(body: str, parameter: str, one: str) -> str:
    """The body with an id in the place of its parameter."""
    text = re.sub(rf"['\"`]#['\"`]\s*\+\s*{re.escape(parameter)}\b", f"'#{one}'", body)
    text = re.sub(rf"#\$\{{\s*{re.escape(parameter)}\s*\}}", f"#{one}", text)
    text = re.sub(rf"getElementById\(\s*{re.escape(parameter)}\b", f"getElementById('{one}'", text)
    return re.sub(rf"querySelector(All)?\(\s*{re.escape(parameter)}\b", rf"querySelector\1('#{one}'", text)


def _aliased(part: str) -> Iterator[str]:
    """The uses of an element through a variable in this part, written with the element's id."""
    for match in islice(ALIAS.finditer(part), MOST_CALLS):
        name, one = match.groups()
        for used, use in USE.findall(_block(part, match.end())):
            if used == name:
                yield f"document.querySelector('#{one}'){use}"


def _block(code: str, begin: int) -> str:
    """The code from here to the end of the block around it."""
    depth = 0
    for at in range(begin, min(len(code), begin + LONGEST_BODY)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth < 0:
            return code[begin:at]
    return code[begin : begin + LONGEST_BODY]
