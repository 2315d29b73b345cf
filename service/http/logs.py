"""The format of log lines: the same for every logger, and without control characters from outside.

In: log records of this service and its libraries. Out: text. Without this format, a carriage return or an escape
sequence in a path could overwrite lines in a terminal, and a line break could look like another record.
Not here: messages and levels.
"""

from __future__ import annotations

import logging
import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 without tab and line feed, separators, and characters that change the direction of writing."""


class PlainFormatter(logging.Formatter):
    """Writes control characters as escapes, and indents every line of a record but its first."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """The message of one record, with its further lines indented."""
        return super().formatMessage(record).rstrip("\n").replace("\n", "\n    ")

    def format(self, record: logging.LogRecord) -> str:
        """The whole record with its traceback."""
        return CONTROL.sub(lambda match: ascii(match[0])[1:-1], super().format(record))


def install(level: str) -> None:
    """Write the records of every logger, from this level on, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
