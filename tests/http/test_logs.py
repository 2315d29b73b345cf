"""Log lines: nothing that a caller sends draws over them or looks like another one."""

from __future__ import annotations

import logging

import pytest

from service.http.logs import PlainFormatter


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("a\rINFO x: forged", "a\\rINFO x: forged"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("a\x9b31mred", "a\\x9b31mred"),
        ("a\nINFO x: forged", "a\n    INFO x: forged"),
        ("a\x00\x08\x7f", "a\\x00\\x08\\x7f"),
        ("a\u202egnp\u2028b", "a\\u202egnp\\u2028b"),
        ("a\tb é 漢", "a\tb é 漢"),
        ("ends\n", "ends"),
    ],
)
def test_control_characters_are_written_as_escapes(sent: str, written: str) -> None:
    for name in ("sameboat", "dulwich.web", "uvicorn.error"):
        record = logging.LogRecord(name, logging.WARNING, "", 0, "%s", (sent,), None)
        assert PlainFormatter("%(levelname)s %(name)s: %(message)s").format(record) == f"WARNING {name}: {written}"


def test_a_tracebacks_message_is_no_exception() -> None:
    try:
        raise ValueError("a\x1b[31m\rb")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "broke", (), (ValueError, error, error.__traceback__))
    text = PlainFormatter("%(message)s").format(record)
    assert "ValueError: a\\x1b[31m\\rb" in text
