"""The format of log lines: the same for every logger, and without control characters from outside.

In: log records of this service and its libraries. Out: text. Without this format, a carriage return or an escape
sequence in a path could overwrite lines in a terminal, and a line break could look like another record.
Not here: messages and levels.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from service import request_id

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


class IdFormatter(PlainFormatter):
    """Appends the id of the request that wrote the record to the first line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """The message with the id."""
        text, identifier = super().formatMessage(record), request_id.current.get()
        if not identifier:
            return text
        first, newline, rest = text.partition("\n")
        return f"{first} request_id={identifier}{newline}{rest}"


class JsonFormatter(logging.Formatter):
    """Writes each record as one JSON object on one line. `fields` of a record are parts of the object."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, with time, level, logger, message, request id and traceback."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        told |= fields if fields is not None else {"message": record.getMessage()}
        if identifier := request_id.current.get():
            told["request_id"] = identifier
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def install(level: str, form: str = "text") -> None:
    """Write the records of every logger, from this level on, to standard error. `form`: text or json."""
    handler = logging.StreamHandler()
    text = IdFormatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
