"""How log lines are written: in one form for every logger, and never with a control character from outside.

In: log records of this service and its libraries. Out: text. A carriage return or an escape sequence in a path could
otherwise draw over lines in a terminal, and a new line could look like another record.

Not here: what is logged, and at which level.
"""

from __future__ import annotations

import logging
import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 without tab and line feed; separators; characters that turn the direction of writing."""


class PlainFormatter(logging.Formatter):
    """Writes control characters as escapes, and indents every line of a record but its first."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """One record's message."""
        return super().formatMessage(record).rstrip("\n").replace("\n", "\n    ")

    def format(self, record: logging.LogRecord) -> str:
        """The whole record, its traceback included."""
        return CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().format(record))


def install(level: str) -> None:
    """Write what every logger logs, from this level on, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
