"""sha256 over everything that decides an answer, and over nothing else.

In: a request and the identity of an engine. Out: 64 hex digits. If the fingerprint differs between notebook, CI and
image, something that affects the answer differs.
Not here: names and aliases (the digest of the weights is a part), thread counts, deadlines, priority, reuse.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from service.engine.schema import compiled
from service.engine.types import Identity, Message, Request, TemplateInputs

VERSION = 2  # increase it when a field changes its meaning, so that old recordings no longer match
CALLS = 2  # increase it when the grammars of tool calls or the instructions for them change


def canonical(value: Any) -> str:
    """JSON with sorted keys and without spaces. Equal values have equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def template_date(request: Request, identity: Identity) -> str | None:
    """The date that the chat template is given. None for a raw text, and for a template that reads no date."""
    if not request.messages or identity.template_date is None:
        return None
    return request.template_date or identity.template_date


def _message(message: Message) -> dict[str, Any]:
    """The message's fields. Thoughts are no field of a message without any, so that older fingerprints stay."""
    fields = asdict(message)
    if message.reasoning is None:
        del fields["reasoning"]
    return fields


def parts(request: Request, identity: Identity) -> dict[str, Any]:
    """The parts of a fingerprint by name. A failed comparison shows the parts that differ."""
    remote = {"model": identity.model} if identity.model_sha256 is None else {}
    tools: dict[str, Any] = {}
    if request.tools:
        tools = {"tool_choice": request.tool_choice, "parallel_tools": request.parallel_tools, "calls": CALLS}
    return {
        "version": VERSION,
        "messages": [_message(message) for message in request.messages],
        "text": request.text,
        "sampling": asdict(request.sampling),
        "schema": request.schema,
        "grammar_sha256": compiled(request.schema).digest if request.schema is not None else None,
        "any_json": request.any_json,
        "choices": list(request.choices),
        "neutral": [_message(message) for message in request.neutral] if request.calibrate else None,
        "tools": [dict(tool) for tool in request.tools],
        "logprobs": request.logprobs,
        "mode": request.mode,
        "engine": [identity.engine, identity.version, dict(identity.settings)],
        "kernels": identity.kernels,
        "model_sha256": identity.model_sha256,
        "template_sha256": identity.template_sha256,
        "template_date": template_date(request, identity),
        **({"calibration": asdict(request.calibration)} if request.calibration is not None else {}),
        **({"tokens": list(request.tokens)} if request.tokens is not None else {}),
        **({"suffix": request.suffix} if request.suffix is not None else {}),
        **({"parse_special": True} if request.parse_special else {}),
        **({"echo": True} if request.echo else {}),
        **({"grammar": request.grammar} if request.grammar is not None else {}),
        **({"template": asdict(request.template)} if request.template != TemplateInputs() else {}),
        **remote,
        **tools,
    }


def fingerprint(request: Request, identity: Identity) -> str:
    """The digest of `parts`."""
    return hashlib.sha256(canonical(parts(request, identity)).encode("utf-8", "surrogatepass")).hexdigest()
