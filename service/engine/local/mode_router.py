"""One model with two engines: `exact` answers come from the portable kernels, `fast` ones from the best that run here,
on a device or on the CPU.

In: requests of both modes. Out: the answers of the engine that computes the mode.
Not here: which kernels there are (`kernels`), and which of them run (`supervisor`).

Recordings name the portable kernels, so `exact` answers stay reproducible on any CPU. The engine of the default mode is
started first. The other one starts with the first request for it, and is unloaded when nobody asked it for some time.
Where no other kernels run than the portable ones, the engine of `fast` computes both modes. Where the memory is too
small for two engines, the pool makes a portable one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service import resources
from service.engine.local.client import LocalEngine
from service.engine.local.core_budget import CoreBudget
from service.engine.local.kernels import PORTABLE
from service.engine.local.process import WorkerProcess
from service.engine.streams import answer_of
from service.engine.types import (
    Abilities,
    Answer,
    Chunk,
    Detokenized,
    Embeddings,
    Health,
    Identity,
    Mode,
    Request,
    Thinking,
    TokenizerInfo,
)
from service.errors import ModelMissing
from service.models import fit
from service.models.catalog import Model
from service.settings import Settings

NOT_ADDED = ("queue_wait_s",)  # statistics of which the larger one counts, not the sum


class ModeRouter:
    """See `service.engine.types.Engine` for the contract. `kernels` are those to try for `fast`, the best first."""

    def __init__(
        self, model: Model, settings: Settings, kernels: Sequence[str], *, other_engines_bytes: Callable[[], int]
    ) -> None:
        self._first: Mode = settings.mode
        self._settings = settings
        self._other_engines_bytes = other_engines_bytes
        self._exact = LocalEngine(
            model, settings, other_engines_bytes=lambda: other_engines_bytes() + self._fast.loaded_bytes()
        )
        self._fast = LocalEngine(
            model,
            settings,
            other_engines_bytes=lambda: other_engines_bytes() + self._exact.loaded_bytes(),
            kernels=kernels,
        )

    def lacks_memory(self) -> str | None:
        """Why both engines do not fit into the memory beside other models. None if they do, or if the file is missing.

        The engine of `fast` needs less of it if a device takes layers.
        """
        try:
            needed = self._exact.memory_bytes() + self._fast.memory_bytes() + self._other_engines_bytes()
        except ModelMissing:
            return None
        allowed, reason = resources.memory_bytes(self._settings)
        if needed <= allowed:
            return None
        name = self._exact.model.name
        return f"two engines of {name} would need {fit.mib(needed)} of {fit.mib(allowed)} MiB ({reason})"

    def use_cores(self, cores: CoreBudget) -> None:
        """Share these cores, both engines among them. Before `start`."""
        self._exact.use_cores(cores)
        self._fast.use_cores(cores)

    def for_mode(self, mode: Mode) -> LocalEngine:
        """The engine that computes this mode's answers."""
        return self._exact if mode == "exact" and self._fast.kernels != PORTABLE else self._fast

    @property
    def _default(self) -> LocalEngine:
        return self.for_mode(self._first)

    @property
    def _both(self) -> tuple[LocalEngine, LocalEngine]:
        """The engine of the default mode, and the other one."""
        return self._default, self._exact if self._default is self._fast else self._fast

    @property
    def identity(self) -> Identity:
        """The identity behind `exact` answers, which recordings name. An answer's own is that of `for_mode`."""
        return self.for_mode("exact").identity

    @property
    def abilities(self) -> Abilities:
        """The features of the model."""
        return self._default.abilities

    def thinking(self, request: Request) -> Thinking | None:
        """The marks around the thoughts in the answer."""
        return self._default.thinking(request)

    @property
    def tools_threshold(self) -> float | None:
        """The catalog's."""
        return self._default.tools_threshold

    @property
    def n_ctx(self) -> int:
        """Tokens of one request in the default mode."""
        return self._default.n_ctx

    @property
    def pid(self) -> int | None:
        """The process id of the default mode's worker, while there is one."""
        return self._default.pid

    @property
    def on_latency(self) -> Callable[[str, float], None]:
        """See `ReportsLatency`."""
        return self._default.on_latency

    @on_latency.setter
    def on_latency(self, report: Callable[[str, float], None]) -> None:
        self._exact.on_latency = self._fast.on_latency = report

    def health(self) -> Health:
        """The state of the default mode. The reason also tells when the other mode's engine is not ready."""
        first, second = (engine.health() for engine in self._both)
        reason = first.reason
        if second.state not in ("starting", "ready") and first.state == "ready":
            other = "exact" if self._default is self._fast else "fast"
            reason += f"; {other} answers: {second.state}, {second.reason}"
        return replace(first, reason=reason, restarts=first.restarts + second.restarts)

    def stats(self) -> Mapping[str, float]:
        """The sums of both engines. Pages of files that both workers have in memory are counted once."""
        first, second = self._both
        added = dict(first.stats())
        for name, value in second.stats().items():
            before = added.get(name, 0.0)
            added[name] = max(before, value) if name in NOT_ADDED else before + value
        shared = min(first.mapped_bytes(), second.mapped_bytes())
        added["worker_rss_bytes"] = max(0.0, added["worker_rss_bytes"] - shared)
        return added

    def loaded_bytes(self) -> int:
        """The estimated memory in bytes of the engines that are loaded or loading."""
        return self._exact.loaded_bytes() + self._fast.loaded_bytes()

    def preload(self, process: WorkerProcess, path: Path) -> None:
        """Have `process` load the file for the default mode. See `LocalEngine.preload`."""
        self._default.preload(process, path)

    async def start(self) -> None:
        """Begin loading the engine of the default mode."""
        await self._default.start()

    def keep_loaded(self) -> None:
        """Keep the engine of the default mode loaded when nobody asks."""
        self._default.keep_loaded()

    async def ready(self) -> None:
        """Wait until the default mode answers, or raise EngineUnavailable with why it never will."""
        await self._default.ready()

    def check(self, requests: Sequence[Request]) -> None:
        """Raises RequestError for requests of one caller that cannot be admitted together."""
        for mode in ("fast", "exact"):
            if asked := [request for request in requests if request.mode == mode]:
                self.for_mode(mode).check(asked)

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks, then the answer, from the engine of the request's mode."""
        items = self.for_mode(request.mode).stream(request)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    async def answer(self, request: Request) -> Answer:
        """The last item of `stream`."""
        return await answer_of(self.stream(request))

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        """Have the prefixes decoded and kept, by each engine as soon as it is ready."""
        for engine in self._both:
            await engine.warm_up(groups)

    async def count(self, request: Request) -> int:
        """Prompt tokens, which no kernels change."""
        return await self._default.count(request)

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """The prompt's token ids, which no kernels change."""
        return await self._default.tokenize(request, add_special=add_special)

    async def detokenize(self, tokens: tuple[int, ...]) -> Detokenized:
        """The text of these tokens, and their names."""
        return await self._default.detokenize(tokens)

    async def tokenizer_info(self) -> TokenizerInfo:
        """What the model's file says about its tokens."""
        return await self._default.tokenizer_info()

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        """Vectors, from the kernels of the default mode. Raises NotSupported for a model that writes text."""
        return await self._default.embed(texts)

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, wait up to `grace_s` for the admitted ones, then end both workers."""
        await asyncio.gather(*(engine.stop(grace_s) for engine in self._both))
