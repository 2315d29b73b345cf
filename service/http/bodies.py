"""The request bodies of every route with OpenAI's kind of parameters, for the pages and tests that go through all.

In: nothing. Out: `BODIES`.
"""

from __future__ import annotations

from service.http.openai_body import OpenAIBody
from service.http.openai_types import ChatBody, CompletionBody, EmbeddingBody
from service.http.responses_types import InputBody, ResponsesBody
from service.http.tokens_routes import DetokenizeBody, TokenizeBody

BODIES: tuple[type[OpenAIBody], ...] = (
    ChatBody, CompletionBody, EmbeddingBody, ResponsesBody, InputBody, TokenizeBody, DetokenizeBody,
)  # fmt: skip
