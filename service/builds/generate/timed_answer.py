"""One answer within its time. It is not begun if it cannot finish, and given up early if it will not.

In: a prompt, its inputs, an engine, seconds. Out: a `Result`. If the time ends first, it is the text so far, as a cut
answer. The speed of each provider is measured at every answer.

Not here: the choice of the provider (`model_client`), and the use of a cut answer (`write`).
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

LEAST = 150  # tokens. The shortest page of the benches had 146
LEAST_SCRIPT = 60  # tokens. A script has less than half of a page's
FRESH_S = 600.0  # an older measurement says nothing about the present load
WAIT_SHARE = 0.4  # the longest wait for the first token, as a share of the answer's time
LOOK_SHARE = 0.1  # the speed is judged after this share of the answer's time
LAST_CHUNKS = 1000  # the part of an answer in which a loop is looked for
LOOPS, LOOP_LINES, LOOP_CHARACTERS = 6, 8, 400  # repetitions, lines of each at most, characters together
CHARACTERS_PER_TOKEN = 4  # an estimate for engines that do not tell the tokens of a chunk


@dataclass(frozen=True)
class WritingSpeed:
    """Seconds until the first token, tokens a second after it, and the monotonic time of the measurement."""

    first_s: float
    per_s: float
    at_s: float

    def tokens(self, seconds: float) -> int:
        """The number of tokens in so many seconds."""
        return int(max(0.0, seconds - self.first_s) * self.per_s)


class WritingSpeeds:
    """The last measured speed of each provider."""

    def __init__(self) -> None:
        self._known: dict[str, WritingSpeed] = {}

    def learn(self, name: str, first_s: float, tokens: float, total_s: float) -> None:
        """Remember an answer's speed. An answer that is too short says nothing and is left out."""
        if tokens >= 8 and total_s > first_s:
            self._known[name] = WritingSpeed(first_s, tokens / (total_s - first_s), time.monotonic())

    def forget(self, name: str) -> None:
        """Forget a speed, so that the next question measures it again."""
        self._known.pop(name, None)

    def of(self, name: str) -> WritingSpeed | None:
        """The speed to expect now, or None if it is not known."""
        pace = self._known.get(name)
        return pace if pace is not None and time.monotonic() - pace.at_s < FRESH_S else None


def least_tokens(name: str) -> int:
    """The fewest tokens of a useful answer to this prompt."""
    return LEAST_SCRIPT if name == "build-script" else LEAST


def token_limit(prompt: Prompt, pace: WritingSpeed | None, most: int, limit_s: float) -> int:
    """The answer's token limit: `most`, or the number that comes in time.

    Raises:
        DeadlineExceeded: if that is too few for a useful answer.
    """
    if prompt.schema is not None or pace is None:
        return most
    expected, least = pace.tokens(limit_s), least_tokens(prompt.name)
    if expected < least:
        raise DeadlineExceeded(
            f"{prompt.name} is not asked: at {pace.per_s:.1f} tokens a second after {pace.first_s:.0f} s, about "
            f"{expected} tokens would come in {limit_s:.0f} s, and it needs {least}."
        )
    return min(most, expected)


async def require_context(prompt: Prompt, inputs: Mapping[str, Any], engine: Engine, options: Mapping[str, Any]) -> int:
    """The question's tokens, or 0 if the engine does not count.

    A model that is shown files writes them again, so the answer is about as long as they are.

    Raises:
        PromptTooLong: if the context has no room for an answer.
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
    """The answer. If `limit_s` ends first, it is the text so far, with the finish reason `length`.

    It also raises the engine's errors.

    Raises:
        DeadlineExceeded: as soon as it is clear that the answer cannot be used.
    """
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    least = least_tokens(prompt.name)
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
                    if not whole and repeats("".join(text[-LAST_CHUNKS:])):
                        learn.learn(name, first_s, tokens, spent_s)
                        break
                    if not whole and _hopeless(tokens, first_s, spent_s, limit_s, least):
                        learn.learn(name, first_s, tokens, spent_s)
                        break
    except (TimeoutError, DeadlineExceeded):
        learn.learn(name, first_s, tokens, time.monotonic() - began)
        if not text:
            raise DeadlineExceeded(f"{prompt.name} got no token within {time.monotonic() - began:.0f} s.") from None
    total_s = time.monotonic() - began
    if whole or (tokens < least and "</html>" not in "".join(text)):
        raise DeadlineExceeded(
            f"{prompt.name} is given up after {total_s:.0f} s and {tokens:.0f} tokens: too few come in the "
            f"{limit_s:.0f} s that there are."
        )
    identity = engine.for_mode(request.mode).identity
    mark = fingerprint(request, identity)
    usage = Usage(asked_tokens, int(tokens))
    cut = Answer("".join(text), (), "length", usage, Timings(0.0, first_s, total_s))
    return Result(cut, mark, identity, prompt=prompt.name)


def repeats(text: str) -> bool:
    """Whether the text ends with the same few lines again and again, as a model writes that does not come to an end.

    One line alone may repeat, such as the cells of a board. Two different lines or more are a loop.
    """
    lines = text.split("\n")[:-1]  # the last line is not whole yet
    for length in range(2, LOOP_LINES + 1):
        block = lines[-length:]
        if len(set(block)) < 2 or len(lines) < LOOPS * length:
            continue
        tail = lines[-LOOPS * length :]
        if tail == block * LOOPS and sum(map(len, tail)) >= LOOP_CHARACTERS:
            return True
    return False


def _hopeless(tokens: float, first_s: float, spent_s: float, limit_s: float, least: int) -> bool:
    """Whether no useful answer comes in time at the present speed."""
    if tokens >= least or spent_s < LOOK_SHARE * limit_s or spent_s <= first_s:
        return False
    return tokens + tokens / (spent_s - first_s) * (limit_s - spent_s) < least
