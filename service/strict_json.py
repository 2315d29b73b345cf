"""Strict JSON (RFC 8259): one reader for every text from a caller.

In: UTF-8 bytes or a string. Out: the value, or `NotJson` with a reason that repeats no value. Also refused are NaN and
infinities, numbers beyond a double, integers of more than `MAX_DIGITS` digits, a key twice in one object, half a
surrogate pair, and nesting deeper than `MAX_DEPTH`. So a value is safe for recursive code and can be written as UTF-8.
Not here: the size of a text (`http.json_body`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from service.errors import short_name

MAX_DEPTH = 128  # a schema of 48 levels needs about 100
MAX_DIGITS = 400  # the largest double, written in full, has 309 digits. Reading takes quadratic time


class NotJson(ValueError):
    """`str(error)` continues the sentence "The body ..." with the reason and, if it is known, the place."""


def loads(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        NotJson: if the text is not strict JSON.
    """
    try:
        value = _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
        _check(value)
    except UnicodeDecodeError as error:
        raise NotJson(f"is not UTF-8 (byte {error.start + 1})") from None
    except UnicodeEncodeError:
        raise NotJson("holds half a surrogate pair, which no UTF-8 text can hold") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise NotJson(_TOO_DEEP) from None
    return value


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise NotJson(f"has the key {short_name(counts.most_common(1)[0][0])} twice in one object")
    return value


def _constant(name: str) -> None:
    raise NotJson(f"holds {name}, which is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJson("holds a number that is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise NotJson(f"holds an integer of more than {MAX_DIGITS} digits")
    return int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _check(value: Any) -> None:
    """Depth and surrogates, level by level, so that nothing here recurses. Raises NotJson, UnicodeEncodeError."""
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if not item.isascii():
                    item.encode()
            elif isinstance(item, (dict, list)):
                if depth == MAX_DEPTH:
                    raise NotJson(_TOO_DEEP)
                below += item
                below += item.values() if isinstance(item, dict) else ()
        level, depth = below, depth + 1
