"""The providers of a build, in order: the build prompts' own models, or the ones that the settings name.

In: settings, the engines. Out: `Provider` values with abilities and prices. A provider is a model of the catalog, or an
entry of the providers' file (`engine.providers_file`).
Not here: the questions and the answers (`model_client`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.engine.pool import Engines
from service.engine.types import Engine
from service.errors import SettingsError
from service.prompts.file import Prompt
from service.prompts.library import Library
from service.settings import Settings

MILLION = 1_000_000
PLANS = frozenset({"build-plan"})  # prompts that every model can answer. The others ask for code


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
        self.entries = engines.providers
        self.named = tuple(name.strip() for name in (settings.maker_model or "").split(",") if name.strip())
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
        return tuple(value for entry in self.entries.values() if (value := entry.secret()))

    def of(self, prompt: Prompt) -> list[Provider]:
        """The providers of this prompt, the first choice first. Those that cannot answer now have `missing`."""
        providers = [self._provider(name, prompt) for name in self.named or (self._own(prompt),)]
        return [provider for provider in providers if provider.writes_files or prompt.name in PLANS]

    def _own(self, prompt: Prompt) -> str:
        return prompt.spec.model or self.engines.default

    def _provider(self, name: str, prompt: Prompt) -> Provider:
        if name in self.entries:
            entry = self.entries[name]
            engine = lambda: self.engines.provider(name)  # noqa: E731  (made when it is asked)
            return Provider(name, entry.writes_files, engine, entry.input_price, entry.output_price, entry.missing())
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
