"""One answer within its time: streamed and kept, not begun where it cannot come, given up early where it will not.

In: a prompt, its inputs, an engine, seconds. Out: a `Result`; where time ends first, what had been written, as an
answer that was cut. How fast each provider writes is measured at every answer. Not here: who is asked, what is made of
a cut answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.engine.types import Answer, Engine, Timings, Usage
from service.errors import DeadlineExceeded, PromptTooLong
from service.prompts.file import Prompt
from service.prompts.fingerprint import fingerprint
from service.prompts.run import Result, build_request, prepare, stream

LEAST = 150  # tokens; the shortest page that a build of the benches has had is one of 146
FRESH_S = 600.0  # a pace that was measured longer ago says nothing of the load now
WAIT_SHARE = 0.4  # of an answer's time, that may pass before its first token
LOOK_SHARE = 0.1  # of it, after which the pace is judged
CHARACTERS_PER_TOKEN = 4  # where an engine does not tell the tokens of a chunk


@dataclass(frozen=True)
class WritingSpeed:
    """How an answer came: seconds until its first token, tokens a second from then on, when it was measured."""

    first_s: float
    per_s: float
    at_s: float

    def tokens(self, seconds: float) -> int:
        """How many tokens come in so many seconds."""
        return int(max(0.0, seconds - self.first_s) * self.per_s)


class WritingSpeeds:
    """The last pace of each provider."""

    def __init__(self) -> None:
        self._known: dict[str, WritingSpeed] = {}

    def learn(self, name: str, first_s: float, tokens: float, total_s: float) -> None:
        """Remember an answer of so many tokens; one that is too short to tell anything is left out."""
        if tokens >= 8 and total_s > first_s:
            self._known[name] = WritingSpeed(first_s, tokens / (total_s - first_s), time.monotonic())

    def of(self, name: str) -> WritingSpeed | None:
        """What may be expected now, or None."""
        pace = self._known.get(name)
        return pace if pace is not None and time.monotonic() - pace.at_s < FRESH_S else None


def token_limit(prompt: Prompt, pace: WritingSpeed | None, most: int, limit_s: float) -> int:
    """Tokens that the answer may have: `most`, or what comes in time. Raises DeadlineExceeded where that is no page."""
    if prompt.schema is not None or pace is None:
        return most
    expected = pace.tokens(limit_s)
    if expected < LEAST:
        raise DeadlineExceeded(
            f"{prompt.name} is not asked: at {pace.per_s:.1f} tokens a second after {pace.first_s:.0f} s, about "
            f"{expected} tokens would come in {limit_s:.0f} s, and a page needs {LEAST}."
        )
    return min(most, expected)


async def require_context(prompt: Prompt, inputs: Mapping[str, Any], engine: Engine, options: Mapping[str, Any]) -> int:
    """The question's tokens, 0 where the engine does not count. Raises PromptTooLong where no answer has room.

    Who is shown files writes them again: the answer is about as long as they are.
    """
    if engine.n_ctx is None or prompt.schema is not None:
        return 0
    request = build_request(prompt, inputs, **options)
    count = await engine.count(request)
    characters = sum(len(message.content) for message in request.messages) or 1
    needed = max(LEAST, len(str(inputs.get("files", ""))) * count // characters)
    left = engine.n_ctx - count
    if left < needed:
        raise PromptTooLong(
            f"{prompt.name} is not asked: its question has {count} tokens, which leaves {max(0, left)} of "
            f"{engine.n_ctx} for an answer of about {needed}.",
            limit=engine.n_ctx,
            count=count + needed,
            remedy="Set SAMEBOAT_CONTEXT to more, or shorten the brief.",
        )
    return count


async def answer_in_time(
    prompt: Prompt,
    inputs: Mapping[str, Any],
    engine: Engine,
    options: Mapping[str, Any],
    *,
    limit_s: float,
    asked_tokens: int,
    learn: WritingSpeeds,
    name: str,
) -> Result:
    """The answer, or what of it was written when `limit_s` ended: then its finish reason is `length`.

    Raises DeadlineExceeded when nothing can be used, as soon as that is plain; what the engine raises.
    """
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    whole = prompt.schema is not None  # half a JSON value is of no use
    text: list[str] = []
    tokens, first_s = 0.0, limit_s
    request = await prepare(prompt, inputs, **options)
    try:
        async with asyncio.timeout(limit_s if whole else WAIT_SHARE * limit_s) as clock:
            async with contextlib.aclosing(stream(request, engine)) as items:
                async for item in items:
                    spent_s = time.monotonic() - began
                    if isinstance(item, Result):
                        learn.learn(name, min(first_s, spent_s), item.answer.usage.completion, spent_s)
                        return item
                    if not text:
                        first_s = spent_s
                        clock.reschedule(loop.time() + limit_s - spent_s)
                    text.append(item.text)
                    tokens += len(item.tokens) or len(item.text) / CHARACTERS_PER_TOKEN
                    if not whole and _hopeless(tokens, first_s, spent_s, limit_s):
                        learn.learn(name, first_s, tokens, spent_s)
                        break
    except (TimeoutError, DeadlineExceeded):
        learn.learn(name, first_s, tokens, time.monotonic() - began)
        if not text:
            raise DeadlineExceeded(f"{prompt.name} got no token within {time.monotonic() - began:.0f} s.") from None
    total_s = time.monotonic() - began
    if whole or (tokens < LEAST and "</html>" not in "".join(text)):
        raise DeadlineExceeded(
            f"{prompt.name} is given up after {total_s:.0f} s and {tokens:.0f} tokens: too few come in the "
            f"{limit_s:.0f} s that there are."
        )
    mark = fingerprint(build_request(prompt, inputs, **options), engine.identity)
    usage = Usage(asked_tokens, int(tokens))
    said = Answer("".join(text), (), "length", usage, Timings(0.0, first_s, total_s))
    return Result(said, mark, engine.identity, prompt=prompt.name)


def _hopeless(tokens: float, first_s: float, spent_s: float, limit_s: float) -> bool:
    """Whether no page comes in time at the pace seen so far."""
    if tokens >= LEAST or spent_s < LOOK_SHARE * limit_s or spent_s <= first_s:
        return False
    return tokens + tokens / (spent_s - first_s) * (limit_s - spent_s) < LEAST
