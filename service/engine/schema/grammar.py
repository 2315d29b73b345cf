"""The result of compiling a schema: the grammar's text, and the part of the schema that is checked afterwards.

In: a finished answer's text. Out: its value, or its problems, which repeat no value.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from service.engine.schema.validator import validator_for
from service.json_pointer import pointer

MAX_REPORTED = 50  # keywords that an answer reports
MAX_PROBLEMS = 5  # of one answer that are told
JSON_DEPTH = 128  # deeper values are refused before a recursive parser or validator meets them


@dataclass(frozen=True)
class Grammar:
    """A grammar in llguidance's dialect of Lark, and how much of the schema it enforces.

    `enforced` holds keywords that every text of the grammar obeys. `checked_after` holds `keyword at pointer` for those
    that only the finished value can show, and `check` decides them. Each constraint of the schema is in one of the two.
    """

    lark: str
    enforced: tuple[str, ...] = ()
    checked_after: tuple[str, ...] = ()
    schema: Mapping[str, Any] | bool | None = field(default=None, compare=False)  # None: not JSON, or any JSON

    @cached_property
    def digest(self) -> str:
        """sha256 of the grammar's text, in hexadecimal."""
        return hashlib.sha256(self.lark.encode()).hexdigest()

    @property
    def coverage(self) -> str:
        """One line for people: the keywords that are enforced while decoding, and those that are checked afterwards."""
        enforced = ", ".join(self.enforced) or "nothing"
        return f"enforced: {enforced}; checked after: {', '.join(self.checked_after) or 'nothing'}"

    @property
    def report(self) -> dict[str, list[str]]:
        """The same for programs: at most `MAX_REPORTED` of each kind."""
        return {"enforced": list(self.enforced[:MAX_REPORTED]), "checked": list(self.checked_after[:MAX_REPORTED])}

    def check(self, text: str) -> tuple[Any, tuple[str, ...]]:
        """The JSON value of a finished answer, and its problems. An answer without problems obeys the schema.

        The whole schema is checked, not only `checked_after`: an answer from a remote engine was constrained by others.
        Problems name the place and the keyword, never the value.
        """
        try:
            value = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            return None, (f"the answer is not JSON: {_where(error)}",)
        if not _shallow(value):
            return None, (f"the answer is nested deeper than {JSON_DEPTH} levels",)
        if self.schema is None:
            return value, ()
        try:
            errors = list(islice(self._validator.iter_errors(value), MAX_PROBLEMS))
        except RecursionError:
            return value, ("the answer is nested too deeply for its schema",)
        return value, tuple(
            f"{pointer(error.absolute_path) or 'the answer'} breaks {error.validator!r}" for error in errors
        )

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return validator_for(self.schema)


def canonical(value: Any) -> str:
    """The one text that a grammar of ours accepts for this value, up to its escapes."""
    return json.dumps(value, ensure_ascii=False)


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large for a double")
    return number


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it is out of range"


def _shallow(value: Any) -> bool:
    level = [value]
    for _ in range(JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False
