"""sha256 over everything that decides an answer, and over nothing else.

What comes in: a request and what decodes it. What goes out: 64 hex digits. The same in a notebook, in CI and in the
image, or else something that decides the answer differs. Not part of it: names and aliases (the weights' digest is),
thread counts, deadlines, priority, whether an older answer may be reused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from service.engine.schema import compiled
from service.engine.types import Identity, Request

VERSION = 2  # raise it when the meaning of a field changes, so that old recordings miss instead of lying


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parts(request: Request, identity: Identity) -> dict[str, Any]:
    """What goes in, by name; `doctor` and failed comparisons show where two fingerprints differ."""
    remote = {"model": identity.model} if identity.model_sha256 is None else {}
    tools = {"tool_choice": request.tool_choice, "parallel_tools": request.parallel_tools} if request.tools else {}
    return {
        "version": VERSION,
        "messages": [asdict(message) for message in request.messages],
        "text": request.text,
        "sampling": asdict(request.sampling),
        "schema": request.schema,
        "grammar_sha256": compiled(request.schema).digest if request.schema is not None else None,
        "any_json": request.any_json,
        "choices": list(request.choices),
        "neutral": [asdict(message) for message in request.neutral] if request.calibrate else None,
        "tools": [dict(tool) for tool in request.tools],
        "logprobs": request.logprobs,
        "mode": request.mode,
        "engine": [identity.engine, identity.version, dict(identity.settings)],
        "kernels": identity.kernels,
        "model_sha256": identity.model_sha256,
        "template_sha256": identity.template_sha256,
        "template_date": request.template_date,
        **remote,
        **tools,
    }


def fingerprint(request: Request, identity: Identity) -> str:
    """The digest of `parts`."""
    return hashlib.sha256(canonical(parts(request, identity)).encode("utf-8", "surrogatepass")).hexdigest()
