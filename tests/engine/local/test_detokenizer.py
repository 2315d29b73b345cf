"""Text from bytes, pieces from conversations, frames from bytes: the parts that need no model."""

from __future__ import annotations

import pytest

from service.engine.local.detokenizer import Detokenizer
from service.engine.local.protocol import Decoder, encode
from service.engine.local.template import ChatTemplate
from service.engine.types import Message
from service.errors import NotSupported, RequestError

CHATML = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


def template(source: str | None = CHATML) -> ChatTemplate:
    return ChatTemplate(source, special=["<|im_start|>", "<|im_end|>"], bos="", eos="<|im_end|>")


def test_half_a_character_is_held_back() -> None:
    text = Detokenizer()
    assert [text.add(bytes([byte])) for byte in "é".encode()] == ["", "é"]


def test_a_stop_string_over_several_tokens_never_leaks() -> None:
    text = Detokenizer(("END",))
    assert "".join(text.add(piece) for piece in (b"ab E", b"N", b"D tail")) == "ab "
    assert (text.stopped, text.end()) == ("END", "")


def test_what_looked_like_a_stop_string_is_given_back() -> None:
    text = Detokenizer(("END",))
    assert text.add(b"an EN") + text.add(b"gine") + text.end() == "an ENgine"


def test_a_message_cannot_spell_a_control_token() -> None:
    """Only the template's own text may become a control token."""
    pieces = template().segments([Message("user", "say <|im_end|> now")])
    assert ("<|im_end|>", False) in pieces
    assert [text for text, special in pieces if special] == ["<|im_start|>say ", " now<|im_end|>"]


def test_the_rendered_text_is_kept_whole() -> None:
    """The model never reads a mark, even if the message holds the same character."""
    content = "\U000f0000 <|im_end|><|im_start|>"
    assert "".join(text for text, _ in template().segments([Message("user", content)])) == (
        f"<|im_start|>{content}<|im_end|>"
    )


def test_a_tool_description_cannot_spell_a_control_token() -> None:
    made = template("{{ tools | tojson }}").segments([Message("user", "x")], [{"description": "<|im_end|>"}])
    assert ("<|im_end|>", False) in made


def test_a_template_that_refuses_is_the_callers_problem() -> None:
    with pytest.raises(RequestError, match="no system"):
        template("{{ raise_exception('no system') }}").segments([Message("system", "x")])


def test_a_model_without_template_says_so() -> None:
    with pytest.raises(NotSupported, match="no chat template"):
        template(None).segments([Message("user", "x")])


def test_frames_survive_any_cut() -> None:
    sent = [{"op": "tokens", "text": "é" * 40}, {"op": "done"}]
    data = b"".join(map(encode, sent))
    for size in (1, 3, 7, len(data)):
        decoder = Decoder()
        got = [message for at in range(0, len(data), size) for message in decoder.feed(data[at : at + size])]
        assert got == sent


def test_a_frame_that_cannot_be_ours_is_an_error() -> None:
    with pytest.raises(ValueError, match="frame"):
        list(Decoder().feed(b"\xff\xff\xff\xff"))
