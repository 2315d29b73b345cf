"""Errors of a chat template or of a caller's tool call are reported, and none of them is an unexpected error."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from service.engine import toolcalls
from service.engine.local.template import ChatTemplate
from service.engine.types import Message
from service.errors import ModelCorrupt, RequestError
from service.models.gguf import read_metadata

SAY = [Message("user", "hi")]


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1/0 }}",
        "{{ range(1000000)|list }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ '%d'|format('x') }}",
        "{{ [1][5].x }}",
    ],
)
def test_a_template_that_fails_is_told_as_a_request_that_cannot_be_rendered(source: str) -> None:
    with pytest.raises(RequestError, match="chat template"):
        ChatTemplate(source, special=[], bos="", eos="").segments(SAY)


@pytest.mark.parametrize("arguments", ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "{", '{"a": NaN}'])
def test_arguments_of_a_tool_call_are_read_strictly(arguments: str) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    template = ChatTemplate("{{ messages }}", special=["<x>"], bos="", eos="")
    with pytest.raises(RequestError, match="arguments"):
        template.segments([Message("assistant", "", tool_calls=(call,))])
    with pytest.raises(RequestError, match="arguments"):
        toolcalls.write([{"name": "f", "arguments": arguments}])


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_header_with_a_number_that_is_none_is_corrupt(value: float, tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    entries = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    entries += text("llama.context_length") + struct.pack("<If", 6, value)
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + entries)
    with pytest.raises(ModelCorrupt, match="header cannot be read"):
        read_metadata(path)
