"""Constrains decoding to a grammar, and finds tokens without an alternative.

In: our Lark text, logits. Out: allowed tokens, forced tokens.
Not here: parsing, which is llguidance's work. If it cannot parse a grammar, the request is refused.

Forced tokens: if only one continuation of bytes is possible, its canonical tokenization is appended without sampling.
The definition is the same with and without batching (`force=False` takes the same tokens one step at a time). So
forcing changes the time of an answer but not the answer.
"""

from __future__ import annotations

import ctypes

import llama_cpp as llama
import llguidance
import numpy as np
import numpy.typing as npt
from llguidance.gbnf_to_lark import gbnf_to_lark

from service.engine.local.context import Context
from service.engine.local.guidance import LIMITS, is_gbnf, reason_of
from service.errors import SchemaUnsupported


def tokenizer_of(context: Context) -> llguidance.LLTokenizer:
    """llguidance's view of the vocabulary. It takes a fifth of a second for 49,000 tokens, so it is made once."""
    buffer = ctypes.create_string_buffer(512)
    pieces: list[bytes] = []
    for token in range(context.vocab_size):
        attributes = llama.llama_vocab_get_attr(context.vocab, token)
        control = attributes & llama.LLAMA_TOKEN_ATTR_CONTROL
        data = context.piece(token)
        if control or attributes & llama.LLAMA_TOKEN_ATTR_UNKNOWN:  # these have bytes only when they are asked for
            size = llama.llama_token_to_piece(context.vocab, token, buffer, len(buffer), 0, True)
            data = buffer.raw[: max(0, size)]
        # llguidance's convention: a leading 0xFF byte marks tokens that text can never spell.
        pieces.append(b"\xff" + data if control or token in context.endings else data)
    function = ctypes.cast(llama.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value
    tokenizer: llguidance.LLTokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
        tokens=pieces, vocab_ptr=context.vocab, tokenize_fptr=function, eos_token=context.eos, slices=None
    )
    return tokenizer


def _lark_of(gbnf: str) -> str:
    try:
        return gbnf_to_lark(gbnf)
    except Exception as error:  # the converter raises plain Exception, and its texts repeat the grammar
        raise SchemaUnsupported(
            "The grammar is no GBNF that llguidance converts.", pointer="/grammar", keyword="grammar"
        ) from error


class Constraint:
    """The grammar's state within one answer. Raises SchemaUnsupported when the grammar cannot be enforced."""

    def __init__(self, tokenizer: llguidance.LLTokenizer, lark: str) -> None:
        if is_gbnf(lark):
            lark = _lark_of(lark)
        self._matcher = llguidance.LLMatcher(
            tokenizer, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0, limits=LIMITS
        )
        self._mask = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.uint32)
        self._masked = False  # the mask is that of the next token
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise SchemaUnsupported(
                f"The grammar cannot be enforced: {reason_of(self._matcher.get_error(), place=True)}.",
                pointer="",
                keyword="schema",
            )

    @property
    def complete(self) -> bool:
        """Whether nothing may follow. A matcher that gave up has stopped too: that is an error, never an answer."""
        self._check()
        return bool(self._matcher.is_stopped())

    def allows(self, token: int) -> bool:
        """Whether this token may be next. `mask` then costs nothing more.

        The mask is computed for it, although validating one token alone is cheaper: only a mask renews the work that
        llguidance allows for one step. Without masks it gives up in long answers to counted patterns.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        self._masked = True
        return bool(self._mask[token // 32] >> np.uint32(token % 32) & np.uint32(1))

    def possible(self, tokens: list[int]) -> int:
        """How many of these tokens may follow one after the other. The state does not change."""
        return int(self._matcher.validate_tokens(tokens))

    def mask(self, logits: npt.NDArray[np.float32]) -> None:
        """Set the logits of every token that may not be next to minus infinity, in place."""
        if not self._masked:
            self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
            self._check()
        allowed = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: len(logits)]
        logits[allowed == 0] = -np.inf

    def take(self, token: int) -> None:
        """The token was chosen or forced."""
        self._masked = False
        self._matcher.consume_token(token)

    def forced(self) -> list[int]:
        """The forced tokens. Empty if there is a choice."""
        return list(self._matcher.compute_ff_tokens())
