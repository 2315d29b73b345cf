r"""Text files that people write: UTF-8, JSON and TOML, and one sentence for a file of another form.

In: a path or a text, and the error class of the caller. Out: the text, without a byte order mark and with \n at the
ends of its lines (editors and git may have changed both), or its values. Or that error, with path, line and remedy.
Not here: the meaning of the values, and HTTP bodies.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from service.errors import SameboatError

MARKS = (  # the longer ones first: UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
SAVE = "Save it as UTF-8."
Error = type[SameboatError]


def read(path: Path, error: Error, *, key: str | None = None, remedy: str | None = None) -> str:
    """The file's text. Raises `error`, with `remedy`, if it cannot be read or is not UTF-8 text."""
    try:
        data = path.read_bytes()
    except OSError as wrong:
        why = wrong.strerror or type(wrong).__name__
        raise error(f"{path}: cannot be read: {why}.", key=key or str(path), remedy=remedy) from None
    except ValueError:  # a NUL in the path
        raise error("A path cannot hold a NUL character.", key=key) from None
    return decode(data, str(path), error, key=key or str(path))


def decode(data: bytes, where: str, error: Error, *, key: str | None = None) -> str:
    r"""UTF-8 bytes as text, without a byte order mark, its lines ended by \n.

    Raises `error` with the first line that is something else.
    """
    for mark, name in MARKS:
        if data.startswith(mark):
            raise error(f"{where}: this is {name} text; UTF-8 is read.", key=key, remedy=SAVE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line, byte = data.count(b"\n", 0, wrong.start) + 1, data[wrong.start]
        raise error(f"{where}:{line}: not UTF-8 text (byte 0x{byte:02x}).", key=key, remedy=SAVE) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(f"{where}:{line}: this holds NUL characters, so it is not UTF-8 text.", key=key, remedy=SAVE)
    return text.replace("\r\n", "\n")


def from_json(text: str, where: str, error: Error, *, line: int = 1, form: str, key: str | None = None) -> Any:
    """A JSON text's value. It begins at `line` of the file. `form` is a sentence about the expected form.

    Raises `error` if the text is not JSON. NaN and Infinity are not JSON.
    """

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as wrong:
        why = f"{wrong.msg} in column {wrong.colno}"
        raise error(f"{where}:{line + wrong.lineno - 1}: not JSON: {why}.", key=key, remedy=form) from None
    except RecursionError:
        raise error(f"{where}:{line}: nested too deeply to be read.", key=key, remedy=form) from None
    except ValueError as wrong:  # a constant, or more digits than Python reads
        raise error(f"{where}:{line}: not JSON: {wrong}.", key=key, remedy=form) from None


def from_toml(text: str, where: str, error: Error, *, key: str | None = None) -> dict[str, Any]:
    """A TOML text's values. Raises `error` with the line that cannot be read."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{where}: nested too deeply to be read.", key=key) from None
    except ValueError as wrong:
        at = re.search(r" \(at line (\d+), column (\d+)\)$", str(wrong))
        if at is None:
            raise error(f"{where}: not valid TOML: {wrong}.", key=key) from None
        why = str(wrong)[: at.start()]
        raise error(f"{where}:{at[1]}: not valid TOML: {why} in column {at[2]}.", key=key) from None
