"""The engines of this process, one per model, made on first use.

In: settings, model names. Out: engines, of the kind that one setting names, and of the entries of the providers' file.
With a remote engine nothing of the local one is imported, so llama_cpp need not be installed. Its models have the names
that callers give them. They share one client. Of the models that the catalog does not list, only the latest are
remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from service import resources
from service.engine.limiter import ConcurrencyLimiter
from service.engine.providers_file import providers_of, remote_settings
from service.engine.types import Engine, UnloadsWhenIdle
from service.errors import EngineUnavailable, UnknownModel, short_name
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.settings import Settings

if TYPE_CHECKING:
    import httpx

    from service.engine.local.core_budget import CoreBudget
    from service.engine.local.process import WorkerProcess


log = logging.getLogger("sameboat.engine")
MAX_MODEL_NAME = 200  # characters
UNLISTED = 32  # models of a remote engine that are remembered although the catalog does not list them


class Engines:
    """Engines by model name."""

    def __init__(self, settings: Settings, catalog: Catalog | None = None) -> None:
        self.settings = settings
        self.catalog = catalog or Catalog.of(settings)
        self.providers = providers_of(settings)
        """The entries of the providers' file, by name."""
        self._engines: dict[str, Engine] = {}
        self._providers: dict[str, Engine] = {}  # the engines of the entries that were asked for
        self._limiters: dict[str, ConcurrencyLimiter] = {}  # of the servers in the providers' file, by base URL
        self.made_s = time.time()
        self._limiter: ConcurrencyLimiter | None = None  # of the one remote server, shared by its models, as is
        self._cores: CoreBudget | None = None  # of this machine, shared by its local engines
        self._client: httpx.AsyncClient | None = None

    @property
    def default(self) -> str:
        """The model for requests that name none."""
        return self.catalog.resolve(self.settings.model or self.catalog.default)

    def get(self, name: str | None = None) -> Engine:
        """The engine of this model, perhaps not started.

        Raises:
            UnknownModel: if the catalog does not list it and the engine is local, or if the name is too long.
            EngineUnavailable: if it is an entry of the providers' file whose key is not there.
        """
        name = self.catalog.resolve(name or self.default)
        if len(name) > MAX_MODEL_NAME:
            raise UnknownModel(f"No model is called {short_name(name)}.", key="model")
        if self._serves(name):
            return self.provider(name)
        if name not in self._engines:
            self._engines[name] = self._make(name)
            unlisted = [known for known in self._engines if known not in self.catalog and known != self.default]
            for oldest in unlisted[:-UNLISTED]:
                del self._engines[oldest]
        return self._engines[name]

    def provider(self, name: str) -> Engine:
        """The engine of an entry of the providers' file.

        Raises:
            EngineUnavailable: if its key is not there.
        """
        if name not in self._providers:
            from service.engine.remote import RemoteEngine, make_limiter

            entry = self.providers[name]
            if (reason := entry.missing()) is not None:
                raise EngineUnavailable(f"The provider {short_name(name)} cannot be asked: {reason}.")
            settings = remote_settings(self.settings, self.providers, name)
            limiter = self._limiters.setdefault(entry.server, make_limiter(settings))
            self._providers[name] = RemoteEngine(settings, entry.model, limiter=limiter)
        return self._providers[name]

    def _serves(self, name: str) -> bool:
        """Whether callers and prompts may ask an entry of the providers' file by this name."""
        return name in self.providers and self.providers[name].serves

    def missing(self, name: str) -> str | None:
        """The reason why this model cannot answer here without a download, with the remedy. None when it can."""
        if self._serves(name):
            return self.providers[name].missing()
        if self.settings.engine == "remote" or Cache(self.settings.cache_dir).holds(self.catalog[name]):
            return None
        return f"it is not in the cache; fetch it with: sameboat model pull {name}"

    def available(self) -> dict[str, float]:
        """Models that answer without being fetched first, each with the Unix time (s) since when they do.

        Of a local engine every model in the cache: one that was pulled a moment ago answers too.
        """
        served = [name for name in self.providers if self._serves(name) and self.missing(name) is None]
        if self.settings.engine == "remote":
            return dict.fromkeys([self.default, *self.catalog.aliases.values(), *served], self.made_s)
        cache, used_at = Cache(self.settings.cache_dir), dict.fromkeys(served, self.made_s)
        for model in self.catalog:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                if cache.holds(model):
                    used_at[model.name] = cache.path(model).stat().st_mtime
        return used_at

    def all(self) -> Mapping[str, Engine]:
        """Every engine that was asked for so far."""
        return {**self._engines, **self._providers}

    def preload(self, process: WorkerProcess, path: Path) -> None:
        """Have the default local engine's worker load the file at `path`, verified just now, before there is a loop."""
        from service.engine.local.client import LocalEngine
        from service.engine.local.mode_router import ModeRouter

        engine = self.get()
        assert isinstance(engine, (LocalEngine, ModeRouter))
        engine.preload(process, path)

    async def start(self, name: str | None = None) -> Engine:
        """The engine of this model, loading or ready. It stays loaded."""
        engine = self.get(name)
        await engine.start()
        if isinstance(engine, UnloadsWhenIdle):
            engine.keep_loaded()
        return engine

    async def stop(self, grace_s: float) -> None:
        """Stop all of them at the same time."""
        await asyncio.gather(*(engine.stop(grace_s) for engine in [*self._engines.values(), *self._providers.values()]))
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _make(self, name: str) -> Engine:
        if self.settings.engine == "remote":
            from service.engine.remote import RemoteEngine, make_limiter
            from service.engine.remote_server import make_client

            self._limiter = self._limiter or make_limiter(self.settings)
            self._client = self._client or make_client(self.settings)
            return RemoteEngine(self.settings, name, limiter=self._limiter, client=self._client)
        from service.engine.local import devices, kernels
        from service.engine.local.client import LocalEngine
        from service.engine.local.core_budget import CoreBudget
        from service.engine.local.mode_router import ModeRouter

        model = self.catalog[name]

        def other_engines_bytes() -> int:
            """Bytes of the other local engines that are loaded or loading."""
            return sum(
                engine.loaded_bytes()
                for key, engine in self._engines.items()
                if key != name and isinstance(engine, (LocalEngine, ModeRouter))
            )

        choice = devices.choice(self.settings)
        if choice == (kernels.PORTABLE,):
            engine: LocalEngine | ModeRouter = LocalEngine(
                model, self.settings, other_engines_bytes=other_engines_bytes
            )
        else:
            engine = router = ModeRouter(model, self.settings, choice, other_engines_bytes=other_engines_bytes)
            if choice[-1] == kernels.PORTABLE and (reason := router.lacks_memory()) is not None:
                log.info("%s gets the portable kernels only: %s", name, reason)
                engine = LocalEngine(model, self.settings, other_engines_bytes=other_engines_bytes)
        self._cores = self._cores or CoreBudget(resources.threads(self.settings)[0])
        engine.use_cores(self._cores)
        return engine
