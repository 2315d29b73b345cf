"""JSON of a caller: RFC 8259 is read, all else is refused by an error that repeats no value."""

from __future__ import annotations

import json

import pytest

from service.strict_json import MAX_DEPTH, MAX_DIGITS, NotJson, loads


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b"9" * (MAX_DIGITS + 1), "more than 400 digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice"),
        (b'{"outer": [{"a": 1, "a": 1}]}', "has the key 'a' twice"),
        (b'{"%b": 1, "%b": 2}' % (b"k" * 5000, b"k" * 5000), "has the key"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'{"\\udc00": 1}', "half a surrogate pair"),
        (b'"\xff"', r"not UTF-8 \(byte 2\)"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('"a"'.encode("utf-16"), "not UTF-8"),
        (b"{", "at character 2"),
        (b"", "at character 1"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 128"),
        (b"[" * 100_000, "nested deeper than 128"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 128"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_json_is_refused_in_few_words(text: bytes, why: str) -> None:
    with pytest.raises(NotJson, match=why) as caught:
        loads(text)
    assert len(str(caught.value)) < 200


def test_what_is_json_is_read_as_it_stands() -> None:
    value = {"a": [1, -2.5e3, True, None, "é\U0001f600\x00"], "b": {}, "": "", "n": 10 ** (MAX_DIGITS - 1)}
    assert loads(json.dumps(value)) == loads(json.dumps(value, ensure_ascii=False).encode()) == value
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(loads(deep)) == deep
