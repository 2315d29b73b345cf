"""FastAPI dependencies of the routes: the running service, and the options that a request's headers set.

In: a request. Out: `Service`, and keyword arguments for an engine request. Raises RequestError for a wrong header.
Not here: bodies (`json_body`, the routers), streams of answers (`streams`).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from service.engine.pool import Engines
from service.engine.types import Engine, Mode, Priority
from service.errors import RequestError
from service.http.metrics import Metrics
from service.prompts.library import Library, PromotedPrompt
from service.settings import Settings

LONGEST_STREAM_S = 3600.0
"""A streamed answer may take so long, if its client does not say less: its tokens come meanwhile."""


@dataclass
class Service:
    """One running service."""

    settings: Settings
    engines: Engines
    library: Library
    metrics: Metrics
    serves: frozenset[str] = frozenset()
    """Names of the models that the service was started with. Ready means these: no caller can make it unready by
    naming a model that the cache does not hold."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    def wait_s(self) -> float:
        """Seconds after which it is worth asking again: the longest wait that an engine estimates, at least one."""
        return max([1.0, *(engine.stats().get("queue_wait_s", 0.0) for engine in self.engines.all().values())])

    def engine_for(self, promoted: PromotedPrompt) -> Engine:
        """The engine of the prompt's model.

        Raises:
            LockMismatch: if the prompt was promoted with another model or engine.
        """
        engine = self.engines.get(promoted.prompt.spec.model)
        promoted.verify(engine.identity)
        return engine


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


def options_of(request: Request, settings: Settings, *, streamed: bool = False) -> dict[str, Any]:
    """How to answer, as headers say: mode, reuse, priority, deadline; and the caller's cache salt.

    Raises RequestError for an unknown word.
    """
    _refuse_unknown(request)
    longest_s = LONGEST_STREAM_S if streamed else settings.request_deadline_s
    mode: Mode = settings.mode
    said = request.headers.get("x-sameboat-mode")
    if said is not None:
        if said not in ("fast", "exact"):
            raise RequestError("X-Sameboat-Mode must be fast or exact.", key="X-Sameboat-Mode")
        mode = "exact" if said == "exact" else "fast"
    urgent = request.headers.get("x-sameboat-priority", "interactive")
    if urgent not in ("interactive", "background"):
        raise RequestError("X-Sameboat-Priority must be interactive or background.", key="X-Sameboat-Priority")
    priority: Priority = "background" if urgent == "background" else "interactive"
    control = request.headers.get("cache-control", "").lower()
    return {
        "mode": mode,
        "priority": priority,
        "reuse": "no-cache" not in control and "no-store" not in control,
        "cache_salt": cache_salt(request),
        "deadline_s": _deadline_s(request.headers.get("x-sameboat-deadline"), longest_s),
    }


def cache_salt(request: Request) -> str:
    """Under what this caller's answers and prefixes are kept: every caller finds only what was computed for it.

    Who is calling is decided in front of the routes (`request.state.caller`). Where nobody decides it, the service is
    bound to loopback without keys, and every caller is the owner of this process.
    """
    caller = getattr(request.state, "caller", None)
    return str(caller.cache_salt) if caller is not None else ""


HEADERS = ("x-sameboat-mode", "x-sameboat-priority", "x-sameboat-deadline")


def _refuse_unknown(request: Request) -> None:
    """Raises RequestError for a header of ours that is misspelt, so that it is not dropped without a word."""
    for name in request.headers:
        if name.startswith("x-sameboat-") and name not in HEADERS:
            raise RequestError(
                "Unknown header X-Sameboat-...; known are X-Sameboat-Mode, X-Sameboat-Priority and "
                "X-Sameboat-Deadline.",
                key="X-Sameboat",
            )


def _deadline_s(said: str | None, longest_s: float) -> float:
    """Seconds from admission within which the whole answer is wanted."""
    if said is None:
        return longest_s
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 < value <= longest_s:
        raise RequestError(
            f"X-Sameboat-Deadline must be a number of seconds, above 0 and up to {longest_s:g}.",
            key="X-Sameboat-Deadline",
            remedy="A whole answer may take SAMEBOAT_REQUEST_DEADLINE_S, a streamed one an hour.",
        )
    return value
