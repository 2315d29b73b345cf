"""FastAPI dependencies of the routes: the running service, and the options that a request's headers set.

In: a request. Out: `Service`, and keyword arguments for an engine request. Raises RequestError for a wrong header.
Not here: bodies (`json_body`, the routers), streams of answers (`streams`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from service.drift.keeper import AnswerKeeper
from service.engine.pool import Engines
from service.engine.types import Engine, LearnsIdentity, Mode, Priority
from service.errors import EngineUnavailable, RequestError
from service.http.history import History
from service.http.metrics import Metrics
from service.prompts.file import Prompt
from service.prompts.library import Library, PromotedPrompt
from service.prompts.run import Result
from service.settings import Settings

STREAM_DEADLINE_S = 3600.0
"""Deadline of a streamed answer, and the longest one that a client may set."""
HEADERS = ("x-sameboat-mode", "x-sameboat-priority", "x-sameboat-deadline")


@dataclass
class Service:
    """One running service."""

    settings: Settings
    engines: Engines
    library: Library
    metrics: Metrics
    served_models: frozenset[str] = frozenset()
    """Names of the models that are loaded at the start. `/readyz` waits for these only, so that no caller can make the
    service unready by naming another model."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    evaluations: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """The recorded evaluation of each prompt, with the digest of the lock that it belongs to."""
    examining: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the doctor examines the machine, which nobody needs twice at a time."""
    history: History = field(default_factory=History)
    in_studio: bool = False
    """Whether this is the studio of one person, where the only key is that person's."""
    keeper: AnswerKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = AnswerKeeper(self.settings, self.metrics.kept)

    def answered(self, prompt: Prompt, inputs: Mapping[str, Any], result: Result) -> None:
        """Count a promoted prompt's answer, and keep it by chance."""
        abstained = prompt.abstains(result.answer.probabilities or {})
        outcome = "unusable" if result.problem is not None else "abstained" if abstained else "usable"
        self.metrics.prompt_outcome(prompt.name, outcome)
        self.keeper.offer(prompt, inputs, result)

    def wait_s(self) -> float:
        """Seconds for `Retry-After`: the longest queue that an engine estimates, at least 1."""
        return max([1.0, *(engine.stats().get("queue_wait_s", 0.0) for engine in self.engines.all().values())])

    async def engine_for(self, promoted: PromotedPrompt) -> Engine:
        """The engine of the prompt's model.

        Raises:
            LockMismatch: if the prompt was promoted on other models or engines.
            EngineUnavailable: if a remote server does not tell its kind.
        """
        engine = self.engines.get(promoted.prompt.spec.model)
        allow = self.settings.unpromoted_engines == "allow"
        if isinstance(engine, LearnsIdentity) and not allow:
            await engine.learn()
            if not engine.knows_identity:
                raise EngineUnavailable(
                    "The remote engine does not tell its kind, so it cannot be compared with the promoted ones.",
                    retry_after_s=5.0,
                )
        promoted.verify(engine.identity, allow_unpromoted=allow)
        return engine


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


def options_of(request: Request, settings: Settings, *, streamed: bool = False) -> dict[str, Any]:
    """Arguments of an engine request from the headers: mode, priority, reuse, cache salt, deadline in seconds.

    Raises:
        RequestError: if a header of Sameboat is unknown or has a wrong value.
    """
    _reject_unknown_headers(request)
    mode: Mode = settings.mode
    mode_header = request.headers.get("x-sameboat-mode")
    if mode_header is not None:
        if mode_header not in ("fast", "exact"):
            raise RequestError("X-Sameboat-Mode must be fast or exact.", key="X-Sameboat-Mode")
        mode = "exact" if mode_header == "exact" else "fast"
    priority_header = request.headers.get("x-sameboat-priority", "interactive")
    if priority_header not in ("interactive", "background"):
        raise RequestError("X-Sameboat-Priority must be interactive or background.", key="X-Sameboat-Priority")
    priority: Priority = "background" if priority_header == "background" else "interactive"
    control = request.headers.get("cache-control", "").lower()
    longest_s = STREAM_DEADLINE_S if streamed else settings.request_deadline_s
    return {
        "mode": mode,
        "priority": priority,
        "reuse": "no-cache" not in control and "no-store" not in control,
        "cache_salt": cache_salt(request),
        "deadline_s": _deadline_s(request.headers.get("x-sameboat-deadline"), longest_s),
    }


def cache_salt(request: Request) -> str:
    """The caller's part of the answer cache and the prefix cache. A caller reuses only its own answers and prefixes.

    The authentication sets `request.state.caller`. Without it the service is on loopback without keys, and every
    caller is the owner of this process.
    """
    caller = getattr(request.state, "caller", None)
    return str(caller.cache_salt) if caller is not None else ""


def _reject_unknown_headers(request: Request) -> None:
    """Raises RequestError for a misspelt header of Sameboat. Without the error it would have no effect."""
    for name in request.headers:
        if name.startswith("x-sameboat-") and name not in HEADERS:
            raise RequestError(
                "Unknown header X-Sameboat-...; known are X-Sameboat-Mode, X-Sameboat-Priority and "
                "X-Sameboat-Deadline.",
                key="X-Sameboat",
            )


def _deadline_s(header: str | None, longest_s: float) -> float:
    """Seconds from admission to the end of the answer."""
    if header is None:
        return longest_s
    try:
        value = float(header)
    except ValueError:
        value = math.nan
    if not 0 < value <= longest_s:
        raise RequestError(
            f"X-Sameboat-Deadline must be a number of seconds, above 0 and up to {longest_s:g}.",
            key="X-Sameboat-Deadline",
            remedy="The limit is SAMEBOAT_REQUEST_DEADLINE_S for a whole answer, and an hour for a streamed one.",
        )
    return value
