"""JSON strings as regular expressions: one unit per Unicode character, so that lengths count as JSON Schema counts.

A free string takes every character except lone surrogates (no UTF-8 text can hold them), raw or escaped: models write
both `é` and `\\u00e9`, and forbidding one of them in the middle of a habit gives garbage. Keys and patterns take only
the raw form and the short escapes, so that two spellings of one text cannot slip past a comparison.
"""

from __future__ import annotations

_RAW = r'[^"\\\x00-\x1f]'
_PAIR = r"[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNICODE = rf"u(?:[0-9a-cefA-CEF][0-9a-fA-F]{{3}}|[dD][0-7][0-9a-fA-F]{{2}}|{_PAIR})"

CHARACTER = rf'(?:{_RAW}|\\(?:["\\\/bfnrt]|{_UNICODE}))'
KEY = rf'"(?:{_RAW}|\\["\\bfnrt])*"'

# How json.dumps writes what may not stand raw in a string; other control characters as \u00xx.
ESCAPES = {0x22: '"', 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}


def free(low: int = 0, high: int | None = None) -> str:
    """A string of `low` to `high` characters, with its quotes."""
    if (low, high) == (0, None):
        return f'"{CHARACTER}*"'
    return f'"{CHARACTER}{{{low},{"" if high is None else high}}}"'
