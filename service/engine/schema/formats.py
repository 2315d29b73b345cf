"""The `format` values that are checked, and how: the same list wherever Sameboat runs, whatever else is installed.

In: a string. Out: whether it has the format. `SHAPES` gives a pattern (in the ECMA subset of `patterns.py`) for formats
with a simple shape. The grammar enforces it while decoding. The check afterwards then decides the rest, such as
31 February, which no regular expression can.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable

_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
_TIME = rf"{_CLOCK}(\.[0-9]{{1,12}})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_HEX = "[0-9a-fA-F]"

# Of the formats without a shape here llguidance has the shape.
SHAPES = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}[Tt]{_TIME}$",  # RFC 3339, section 5.6, with leap seconds
    "ipv4": rf"^({_BYTE}\.){{3}}{_BYTE}$",
    "uri-reference": f"^([a-zA-Z0-9._~:/?#@!$&'()*+,;=\\[\\]-]|%{_HEX}{{2}})*$",
    "json-pointer": "^(/([^~/]|~[01])*)*$",
    "uuid": f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
}

# ISO 8601 durations as RFC 3339 appendix A writes them.
_DURATION = re.compile(
    r"P(?:\d+W|(?=[\dT])(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)", re.ASCII
)
_HOSTNAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", re.I | re.ASCII
)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:(?:[a-z0-9\-._~!$&'()*+,;=:@/?#\[\]]|%[0-9a-f]{2})*", re.I | re.ASCII)


def _raises(convert: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            convert(text)
        except ValueError:
            return False
        return True

    return check


def _date(text: str) -> bool:
    """A day of the calendar."""
    return bool(re.fullmatch(SHAPES["date"], text)) and _raises(datetime.date.fromisoformat)(text)


def _moment(text: str) -> bool:
    """A date-time of RFC 3339, on a day of the calendar."""
    return bool(re.fullmatch(SHAPES["date-time"], text)) and _date(text[:10])


CHECKS: dict[str, Callable[[str], bool]] = {
    "date": _date,
    "time": lambda text: bool(re.fullmatch(SHAPES["time"], text)),
    "date-time": _moment,
    "duration": lambda text: bool(_DURATION.fullmatch(text)) and text != "P",
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "hostname": lambda text: bool(_HOSTNAME.fullmatch(text)),
    "ipv4": _raises(ipaddress.IPv4Address),
    "ipv6": lambda text: "%" not in text and _raises(ipaddress.IPv6Address)(text),
    "uri": lambda text: bool(_URI.fullmatch(text)),
    "uri-reference": lambda text: bool(re.fullmatch(SHAPES["uri-reference"], text)),
    "json-pointer": lambda text: bool(re.fullmatch(SHAPES["json-pointer"], text)),
    "uuid": lambda text: len(text) == 36 and _raises(uuid.UUID)(text),
}


CHECKERS = {
    name: (lambda value, check=check: not isinstance(value, str) or check(value), ()) for name, check in CHECKS.items()
}
"""The checks as jsonschema's format checkers: a function of any value, and the errors that it raises."""
