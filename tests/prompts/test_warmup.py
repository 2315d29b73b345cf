"""The part of a prompt that is decoded before the first request."""

from __future__ import annotations

from service.prompts.file import loads
from service.prompts.warmup import variants

TEXT = """
schemaVersion: 1
name: colour
messages:
  - role: system
    content: Answer with a colour.
  - role: user
    content: "What colour is {{thing}}?"
"""


def test_variants_differ_in_the_input_alone_and_from_its_first_character() -> None:
    texts = [request.messages[1].content for request in variants(loads(TEXT))]
    assert len({text.removeprefix("What colour is ")[0] for text in texts}) == len(texts) > 2
    assert all(text.startswith("What colour is ") and text.endswith("?") for text in texts)
    assert {request.messages[0].content for request in variants(loads(TEXT))} == {"Answer with a colour."}
