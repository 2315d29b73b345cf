"""The providers of a build, in order: the build prompts' own models, or the ones that the settings name.

In: settings, the engines. Out: `Provider` values with abilities and prices. A provider is a model of the catalog, or an
entry of the providers' file (`SAMEBOAT_PROVIDERS_FILE`):

    [providers.big]
    base_url = "https://api.example.com/v1"
    key = "EXAMPLE_API_KEY"        # the environment variable with the key, if one is needed
    model = "example-large"
    writes_files = true            # it can write whole files (the default). false: it only plans
    input_price = 0.5              # per million tokens, in any one currency. 0 (the default) is unpriced
    output_price = 1.5
    concurrency = 4                # requests at a time. The default is SAMEBOAT_REMOTE_CONCURRENCY

Entries with the same base URL share one limit of requests, the lowest of theirs.

Not here: the questions and the answers (`model_client`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from service import text_files
from service.engine.limiter import ConcurrencyLimiter
from service.engine.pool import Engines
from service.engine.types import Engine
from service.errors import SettingsError
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.settings import Settings

MILLION = 1_000_000
PLANS = frozenset({"build-plan"})  # prompts that every model can answer. The others ask for code


class ProviderEntry(BaseModel):
    """One provider of the providers' file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    base_url: Annotated[str, Field(pattern=r"^https?://")]
    key: str | None = None
    model: str
    writes_files: bool = True
    input_price: float = Field(0.0, ge=0)
    output_price: float = Field(0.0, ge=0)
    concurrency: int | None = Field(None, ge=1)


@dataclass(frozen=True)
class Provider:
    """One model that may answer. Prices are per million tokens.

    `missing`: the reason why it cannot answer now, with the remedy.
    """

    name: str
    writes_files: bool
    engine: Callable[[], Engine]
    input_price: float = 0.0
    output_price: float = 0.0
    missing: str | None = None

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The price of so many tokens."""
        return (prompt_tokens * self.input_price + completion_tokens * self.output_price) / MILLION


class Providers:
    """The providers of this process."""

    def __init__(self, settings: Settings, library: Library, engines: Engines) -> None:
        self.settings = settings
        self.library = library
        self.engines = engines
        self.entries = read_providers(settings.providers_file) if settings.providers_file is not None else {}
        self.named = tuple(name.strip() for name in (settings.maker_model or "").split(",") if name.strip())
        self._engines: dict[str, Engine] = {}
        self._limiters: dict[str, ConcurrencyLimiter] = {}  # by base URL
        unknown = [name for name in self.named if name not in self.entries and name not in engines.catalog]
        if unknown and settings.engine != "remote":
            there = ", ".join([*self.entries, *(model.name for model in engines.catalog)])
            raise SettingsError(
                f"SAMEBOAT_MAKER_MODEL names {unknown[0]!r}, which is no provider and no model.",
                key="SAMEBOAT_MAKER_MODEL",
                remedy=f"There are: {there}.",
            )

    def secrets(self) -> tuple[str, ...]:
        """The keys of the providers' file. They are searched for before anything is kept or pushed."""
        names = (entry.key for entry in self.entries.values() if entry.key)
        return tuple(value for name in names if (value := os.environ.get(name)))

    def of(self, prompt: Prompt) -> list[Provider]:
        """The providers of this prompt, the first choice first. Those that cannot answer now have `missing`."""
        providers = [self._provider(name, prompt) for name in self.named or (self._own(prompt),)]
        return [provider for provider in providers if provider.writes_files or prompt.name in PLANS]

    async def stop(self) -> None:
        """Stop the remote engines of the providers' file."""
        for engine in self._engines.values():
            await engine.stop(0)

    def _own(self, prompt: Prompt) -> str:
        return prompt.spec.model or self.engines.default

    def _provider(self, name: str, prompt: Prompt) -> Provider:
        if name in self.entries:
            entry = self.entries[name]
            key = f"its key is not in the environment; set {entry.key}"
            missing = key if entry.key and not os.environ.get(entry.key) else None
            return Provider(
                name, entry.writes_files, lambda: self._remote(name), entry.input_price, entry.output_price, missing
            )
        if self.settings.engine == "remote":
            return Provider(name, True, lambda: self.engines.get(name))
        model = self.engines.catalog[name]
        missing = self.engines.missing(name)
        return Provider(name, model.writes_files, lambda: self._local(name, prompt), missing=missing)

    def _local(self, name: str, prompt: Prompt) -> Engine:
        """The local engine. For the prompt's own model it must be the one of the prompt's lock."""
        engine = self.engines.get(name)
        if name == prompt.spec.model:
            self.library.verify(prompt.name, engine.identity)
        return engine

    def _remote(self, name: str) -> Engine:
        if name not in self._engines:
            from service.engine.remote import RemoteEngine, make_limiter

            entry = self.entries[name]
            key = os.environ.get(entry.key) if entry.key else None
            here = {
                "remote_base_url": entry.base_url,
                "remote_api_key": SecretStr(key) if key else None,
                "remote_model": entry.model,
                "remote_kind": "auto",
                "remote_concurrency": self._concurrency(entry.base_url),
            }
            settings = self.settings.model_copy(update=here)
            limiter = self._limiters.setdefault(entry.base_url.rstrip("/"), make_limiter(settings))
            self._engines[name] = RemoteEngine(settings, entry.model, limiter=limiter)
        return self._engines[name]

    def _concurrency(self, base_url: str) -> int:
        """Requests at a time for this server: the lowest limit of the entries with its URL."""
        same = [entry for entry in self.entries.values() if entry.base_url.rstrip("/") == base_url.rstrip("/")]
        return min(entry.concurrency or self.settings.remote_concurrency for entry in same)


def read_providers(path: Path) -> dict[str, ProviderEntry]:
    """The entries of the providers' file, by name.

    Raises:
        SettingsError: with file, provider and key, and never a secret.
    """
    variable = "SAMEBOAT_PROVIDERS_FILE"
    where = f"{variable}: {path}"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{where} cannot be read: {error.strerror}.", key=variable) from None
    raw = text_files.from_toml(text_files.decode(text, where, SettingsError), where, SettingsError, key=variable)
    entries = raw.get("providers")
    if not isinstance(entries, dict):
        raise SettingsError(f"{variable}: {path} has no table [providers.NAME].", key=variable)
    return dict(_entries(path, entries))


def _entries(path: Path, raw: dict[str, dict[str, object]]) -> Iterator[tuple[str, ProviderEntry]]:
    for name, values in raw.items():
        try:
            yield name, ProviderEntry.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            key = ".".join(["providers", name, *map(str, problem["loc"])])
            raise SettingsError(f"{path}: {key}: {problem['msg']}.", key=key) from None
