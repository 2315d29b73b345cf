"""The routes about tokens, under vLLM's names: /tokenize, /detokenize, /tokenizer_info.

In: a text, a conversation, or token ids. Out: the tokens that the model reads, their text, and OpenAI's errors.
Clients for evaluation (lm-evaluation-harness) count and cut texts with these routes, and then send token ids to
/v1/completions.
Not here: how a model's file describes its tokens (`models.gguf`).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from service.engine.types import Request as EngineRequest
from service.errors import RequestError
from service.http import parameters
from service.http.deps import ServiceDep, options_of
from service.http.json_body import JsonRoute
from service.http.openai_body import OpenAIBody
from service.http.openai_messages import ChatMessage
from service.http.openai_types import MAX_MESSAGES, ChatBody, TokenIds
from service.http.template_fields import TemplateFields

router = APIRouter(tags=["OpenAI-compatible"], route_class=JsonRoute)


class TokenizeBody(OpenAIBody, TemplateFields):
    """POST /tokenize."""

    route = parameters.TOKENIZE

    model: str | None = Field(None, description="A name from GET /v1/models. The default model if absent")
    prompt: str | None = Field(None, description="A text. Either this or messages")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] | None = Field(
        None, description="A conversation, as /v1/chat/completions takes it"
    )
    tools: list[dict[str, Any]] | None = Field(None, description="With messages")
    add_special_tokens: bool | None = Field(
        None, description="Of a prompt: with the token that begins a sequence; true. The chat template has its own"
    )
    parse_special: bool = Field(True, description="Control tokens that are written in the prompt are read")
    return_token_strs: bool = Field(False, description="With token_strs, the names that the vocabulary has")

    def request(self, options: dict[str, Any]) -> EngineRequest:
        """The engine's request with this prompt.

        Raises:
            RequestError: if there is not exactly one prompt, or a parameter does not belong to it.
        """
        if (self.prompt is None) == (self.messages is None):
            raise RequestError("Send either prompt or messages.", key="prompt")
        if self.prompt is not None:
            for name in ("tools", *TemplateFields.model_fields):
                if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                    raise RequestError(f"{name} belongs to messages.", key=name)
            return EngineRequest(text=self.prompt, parse_special=self.parse_special, **options)
        if self.add_special_tokens:
            raise RequestError("The chat template writes the special tokens of messages.", key="add_special_tokens")
        inputs = {name: getattr(self, name) for name in TemplateFields.model_fields if name in self.model_fields_set}
        return ChatBody(messages=self.messages or [], tools=self.tools, **inputs).request(options)


class DetokenizeBody(OpenAIBody):
    """POST /detokenize."""

    route = parameters.DETOKENIZE

    model: str | None = Field(None, description="A name from GET /v1/models. The default model if absent")
    tokens: TokenIds = Field(description="Token ids")


@router.post("/tokenize", summary="Tokenize a text or a conversation")
async def tokenize(body: TokenizeBody, request: Request, service: ServiceDep) -> dict[str, Any]:
    """The token ids that the model reads."""
    engine = service.engines.get(body.model)
    engine_request = await asyncio.to_thread(body.request, options_of(request, service.settings))
    await engine.start()
    tokens = await engine.tokenize(engine_request, add_special=body.add_special_tokens is not False)
    names = (await engine.detokenize(tokens)).names if body.return_token_strs else None
    return {"count": len(tokens), "max_model_len": engine.n_ctx, "tokens": tokens, "token_strs": names}


@router.post("/detokenize", summary="Turn token ids into text")
async def detokenize(body: DetokenizeBody, service: ServiceDep) -> dict[str, str]:
    """The text of token ids, with the texts of control tokens."""
    engine = service.engines.get(body.model)
    await engine.start()
    return {"prompt": (await engine.detokenize(tuple(body.tokens))).text}


@router.get("/tokenizer_info", summary="Describe a model's tokenizer")
async def describe_tokenizer(service: ServiceDep, model: Annotated[str | None, Query()] = None) -> dict[str, Any]:
    """The special tokens and the chat template of a model, under the names of a tokenizer's configuration."""
    engine = service.engines.get(model)
    known = await engine.tokenizer_info()
    return {
        "tokenizer_class": known.kind,
        "bos_token": known.bos_token,
        "eos_token": known.eos_token,
        "chat_template": known.chat_template,
        "model_max_length": engine.n_ctx,
    }
