"""Builds the message that submits a request to the worker: prompt segments, grammar, sampling.

In: a `Request`, the model's chat template. Out: a `submit` message of `protocol`, without an id.
Not here: the queue. Errors come before anything is queued: RequestError, SchemaUnsupported, NotSupported.
"""

from __future__ import annotations

from dataclasses import asdict

from service.engine import toolcalls
from service.engine.local.protocol import Segments, Submission, WirePrompt
from service.engine.local.template import ChatTemplate
from service.engine.schema import compiled
from service.engine.types import Request

BYTES_PER_TOKEN = 3  # of English text, rounded down, so that the estimate of queued tokens errs upwards


def estimated_tokens(prompt: WirePrompt) -> int:
    """Prompt tokens, estimated before the prompt is tokenized."""
    texts = [*(text for text, _ in prompt["segments"]), prompt["suffix"] or ""]
    size = sum(len(text.encode(errors="replace")) for text in texts)
    return 1 + size // BYTES_PER_TOKEN + len(prompt["ids"] or ())


def wire_prompt(request: Request, template: ChatTemplate) -> WirePrompt:
    """The prompt as it is sent to the worker."""
    if request.tokens is not None:
        return {"segments": [], "ids": list(request.tokens), "suffix": None}
    return {"segments": prompt_segments(request, template), "ids": None, "suffix": request.suffix}


def prompt_segments(request: Request, template: ChatTemplate) -> Segments:
    """The prompt as segments (text, whether it may hold control tokens)."""
    if request.text is not None:
        return template.raw(request.text, special=request.parse_special)
    messages, tools = request.messages, request.tools
    if not template.shows_tools:  # a message does
        messages, tools = tuple(toolcalls.plain_messages(messages, tools)), ()
    return template.segments(messages, tools, request.template, date=request.template_date)


def grammar_of(request: Request, form: toolcalls.Form = toolcalls.HERMES) -> str | None:
    """The Lark text of the grammar that constrains the answer. None if it may be any text. `form`: of tool calls."""
    if request.tools:
        grammar = toolcalls.of_request(request, form)
        return grammar.lark if grammar is not None else None
    if request.grammar is not None:
        return request.grammar
    if request.schema is not None or request.any_json:
        return compiled(request.schema).lark
    return None


def build_submission(request: Request, template: ChatTemplate, *, force: bool) -> Submission:
    """The `submit` message of a request. Raises RequestError, SchemaUnsupported, NotSupported."""
    lark = grammar_of(request, template.calls)
    return {
        "op": "submit",
        **wire_prompt(request, template),
        "sampling": asdict(request.sampling),
        "lark": lark,
        "labels": list(request.choices),
        "marks": [
            *(template.thinking or ()),
            *([mark for mark, _ in template.calls.controls] if request.tools else []),
        ],
        "neutral": (
            template.segments(request.neutral, inputs=request.template, date=request.template_date)
            if request.calibrate and request.neutral
            else []
        ),
        "calibration": [request.calibration.scale, *request.calibration.bias] if request.calibration else None,
        "logprobs": request.logprobs,
        "prompt_logprobs": request.echo and request.logprobs is not None,
        "exact": request.mode == "exact",
        "background": request.priority == "background",
        "salt": request.cache_salt,
        "force": force,
    }
