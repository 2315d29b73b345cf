"""llguidance with one token per byte: whether a grammar takes a text, without any model."""

from __future__ import annotations

from functools import cache

import pytest

llguidance = pytest.importorskip(
    "llguidance", reason="the grammars are tried on llguidance, which the local engine brings"
)


MARK = 257  # a control token, which no text spells


class _Bytes:
    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<end>", b"\xff[TOOL_CALLS]")
    special_token_ids = (256, 257)

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


@cache
def tokenizer():
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()))


def matcher(lark: str):
    """A new matcher. If llguidance cannot read the grammar, the test fails with its message."""
    made = llguidance.LLMatcher(tokenizer(), llguidance.LLMatcher.grammar_from_lark(lark))
    assert not made.is_error(), f"{made.get_error()}\n{lark}"
    return made


def accepts(lark: str, text: str) -> bool:
    """Whether the whole text, and not only a beginning of one, is in the grammar."""
    made, tokens = matcher(lark), list(text.encode())
    return made.try_consume_tokens(tokens) == len(tokens) and made.is_accepting()


def forced(lark: str) -> str:
    """The beginning that the grammar forces."""
    return matcher(lark).compute_ff_bytes().decode()


def walk(lark: str, draw, limit: int = 400) -> str | None:
    """A text of the grammar, made of random bytes that its mask allows. None if it would be longer than `limit`."""
    made, out = matcher(lark), bytearray()
    while len(out) < limit:
        mask = made.compute_bitmask()
        allowed = [token for token in range(257) if mask[token // 8] >> (token % 8) & 1]
        assert allowed, f"a dead end after {bytes(out)!r}\n{lark}"
        token = draw(allowed)
        if token == 256:
            return out.decode()
        out.append(token)
        assert made.consume_token(token), made.get_error()
        if made.is_stopped():
            return out.decode()
    return None
