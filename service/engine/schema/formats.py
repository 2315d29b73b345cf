"""The `format` values that are checked, and how: the same list wherever Sameboat runs, whatever else is installed.

In: a string. Out: whether it has the format. Where a format has a simple shape, `SHAPES` gives a pattern (in the ECMA
subset of `patterns.py`) that the grammar enforces while decoding; the check afterwards then only decides what no
regular expression can, such as 31 February.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from jsonschema import FormatChecker

_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"

SHAPES = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",  # RFC 3339
    "ipv4": rf"^({_BYTE}\.){{3}}{_BYTE}$",
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}

# ISO 8601 durations as RFC 3339 appendix A writes them.
_DURATION = re.compile(
    r"P(?:\d+W|(?=[\dT])(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)", re.ASCII
)
_HOSTNAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", re.I
)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")


def _raises(convert: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            convert(text)
        except ValueError:
            return False
        return True

    return check


def _moment(text: str) -> bool:
    """RFC 3339 date-time, down to the calendar."""
    return bool(re.fullmatch(SHAPES["date-time"], text)) and _raises(datetime.datetime.fromisoformat)(text)


def _uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme and (parts.netloc or parts.path)) and not re.search(r"[\s<>\"{}|\\^`]", text)


CHECKS: dict[str, Callable[[str], bool]] = {
    "date": lambda text: bool(re.fullmatch(SHAPES["date"], text)) and _raises(datetime.date.fromisoformat)(text),
    "time": lambda text: bool(re.fullmatch(SHAPES["time"], text)),
    "date-time": _moment,
    "duration": lambda text: bool(_DURATION.fullmatch(text)) and text != "P",
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "hostname": lambda text: bool(_HOSTNAME.fullmatch(text)),
    "ipv4": _raises(ipaddress.IPv4Address),
    "ipv6": _raises(ipaddress.IPv6Address),
    "uri": lambda text: _raises(urlsplit)(text) and _uri(text),
    "uuid": lambda text: len(text) == 36 and _raises(uuid.UUID)(text),
}


def checker() -> FormatChecker:
    """A jsonschema format checker with exactly these formats."""
    made = FormatChecker(formats=())
    for name, check in CHECKS.items():
        made.checks(name)(lambda value, check=check: not isinstance(value, str) or check(value))
    return made
