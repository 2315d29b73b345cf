"""Asking the model on behalf of a build, from a worker thread: cancellable, timed, and kept for inspection.

What comes in: a prompt's name and inputs. What goes out: a `Result` of `prompts.run`. The engine lives in the
service's event loop and is only ever touched there; the thread waits, and looks every half second whether the build is
still wanted. A prompt is served by its own model, or by the one that a setting names for builds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from service.builds.budget import Budget
from service.builds.store import Store
from service.engine.types import Engine
from service.errors import BuildError, DeadlineExceeded
from service.prompts.file import Prompt
from service.prompts.run import Result, run

LOOK_S = 0.5


class Asking:
    """`prompt` gives a promoted prompt by name; `engine` the engine that answers it, verified against its lock."""

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        prompt: Callable[[str], Prompt],
        engine: Callable[[Prompt], Engine],
        max_tokens: int,
    ) -> None:
        self.store = store
        self.loop = loop
        self.prompt = prompt
        self.engine = engine
        self.max_tokens = max_tokens

    def ask(self, build: str, name: str, inputs: Mapping[str, Any], budget: Budget, *, attempt: int = 1) -> Result:
        """The answer. Raises EngineError, RequestError, BuildError when cancelled or over the cap."""
        left_s = budget.for_generation(time.time())
        if left_s <= 0:
            raise DeadlineExceeded("The build's time for making is used up.")
        spent = sum(each["data"].get("tokens", 0) for each in self.store.events(build) if each["kind"] == "asked")
        if spent >= self.max_tokens:
            raise BuildError(f"The build has used {spent} of its {self.max_tokens} tokens.", key="build_max_tokens")
        prompt = self.prompt(name)
        began = time.monotonic()
        # The first try is the prompt as it was promoted; a further one must differ, or a greedy answer would repeat.
        options = {"seed": attempt, "reuse": False} if attempt > 1 else {}

        async def answer() -> Result:
            engine = self.engine(prompt)
            await engine.start()
            await engine.ready()
            return await run(prompt, inputs, engine, priority="background", deadline_s=left_s, **options)

        future = asyncio.run_coroutine_threadsafe(answer(), self.loop)
        result = self._wait(build, future, left_s)
        usage = result.answer.usage
        kept = self.store.keep(build, {"answer": result.text.encode(), "inputs": json.dumps(dict(inputs)).encode()})
        self.store.event(
            build,
            "asked",
            f"{name} answered with {usage.completion} tokens.",
            prompt=name,
            model=result.identity.model,
            fingerprint=result.fingerprint,
            tokens=usage.prompt + usage.completion,
            seconds=round(time.monotonic() - began, 2),
            problem=result.problem,
            **kept,
        )
        return result

    def _wait(self, build: str, future: concurrent.futures.Future[Result], left_s: float) -> Result:
        ends = time.monotonic() + left_s
        while True:
            try:
                return future.result(LOOK_S)
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise
                row = self.store.build(build)
                if row is None or row["status"] not in ("accepted", "running"):
                    future.cancel()
                    raise BuildError("The build was cancelled.") from None
                if time.monotonic() > ends:
                    future.cancel()
                    raise DeadlineExceeded("The model did not answer within the build's time.") from None
